package grpc

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
)

// Door returns the door for gRPC on the HTTP port. server is a grpc.Server whose
// methods [Handler] serves. To some bad requests grpc-go would answer with a bare HTTP
// status and its parser's words: the door refuses them with a gRPC status instead.
func Door(s *edge.Settings, server http.Handler) edge.Door {
	d := &httpDoor{s, server}
	return edge.Door{Takes: takes, Serve: d.serve, NoPages: true}
}

type httpDoor struct {
	settings *edge.Settings
	server   http.Handler
}

// takes reports whether a request is gRPC: its media type is "application/grpc", alone or
// with a message format ("+proto") or parameters. gRPC-Web has another one, and
// package connect serves JSON ("+json"). grpc-go refuses gRPC over HTTP/1 or with GET.
func takes(_ *edge.Table, r *http.Request) bool {
	ct := r.Header.Get("Content-Type")
	rest, ok := strings.CutPrefix(ct, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';') && rest != "+json" && !edge.IsPreflight(r)
}

func (d *httpDoor) serve(table *edge.Table, w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor >= 2 && r.Method == http.MethodPost { // grpc-go refuses all else
		if err := malformed(r); err != nil {
			d.refuse(table, w, r, err)
			return
		}
	}
	t := &grpcWriter{ResponseWriter: w, settings: d.settings}
	request := &httpRequest{table: table, body: demandedBody{body: r.Body, endAnswer: func() { d.settings.EndWriting(w) }}}
	request.body.change.L = &request.body.mu
	r = r.WithContext(context.WithValue(r.Context(), requestKey{}, request))
	r.Body = &request.body
	d.server.ServeHTTP(t, r)
	t.end()
	d.settings.BoundWriting(w) // net/http writes the rest
}

// httpRequest is what the handler of a call needs of its request on the HTTP port.
type httpRequest struct {
	table *edge.Table
	body  demandedBody
}

type requestKey struct{}

// requestOf is the request of a call on the HTTP port, nil on the port of gRPC's own.
func requestOf(ctx context.Context) *httpRequest {
	r, _ := ctx.Value(requestKey{}).(*httpRequest)
	return r
}

// malformed refuses a path that is not an RPC's name as gRPC sends it, headers that gRPC
// cannot read, and an unknown compression. grpc-go reads the path as net/http decoded it,
// so that a name would have many spellings. malformed also splits lines of several binary
// values, which grpc-go does not.
func malformed(r *http.Request) error {
	if !edge.IsPlainPath(r.URL) {
		return call.Unknown(r.RequestURI)
	}
	h := r.Header
	if v := first(h["Grpc-Timeout"]); v != "" {
		if err := edge.CheckGRPCTimeout(v); err != nil {
			return err
		}
	}
	if name := first(h["Grpc-Encoding"]); name != "" && name != encoding.Identity && encoding.GetCompressor(name) == nil {
		return call.Refuse(call.Client, codes.Unimplemented, "compression %q of messages is not supported: use %s, or none", name, gzip.Name)
	}
	return edge.SplitBinary(h)
}

// refuse answers a call that does not reach grpc-go.
func (d *httpDoor) refuse(table *edge.Table, w http.ResponseWriter, r *http.Request, refusal error) {
	half := new(edge.Half)
	a := edge.ArrivalOf(r)
	half.Begin(r.Context(), d.settings, table, call.GRPC, &a)
	_ = half.Run(func() error { return half.Refuse(refusal) }, func(err error) {
		writeTrailersOnly(w, call.StatusOf(err), half.Call.RequestID)
	})
}

// writeTrailersOnly writes the answer of a call that failed (gRPC over HTTP/2,
// "Responses"). It names the supported compressions, as gRPC's compression.md wants it
// for a call that is refused for its compression.
func writeTrailersOnly(w http.ResponseWriter, st *status.Status, requestID string) {
	h := w.Header()
	h["Content-Type"] = []string{"application/grpc"}
	h["Grpc-Status"] = []string{strconv.Itoa(int(st.Code()))}
	h["Grpc-Message"] = []string{percentEncoded(st.Message())}
	h["Grpc-Accept-Encoding"] = []string{gzip.Name}
	h["X-Request-Id"] = []string{requestID}
	w.WriteHeader(http.StatusOK)
}

// percentEncoded encodes a text for grpc-message.
func percentEncoded(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// grpcWriter corrects how grpc-go writes through net/http. A call that ends before it
// has sent anything gets one header block ("Trailers-Only" in gRPC over HTTP/2, which
// tells the client that it may retry), and no answer announces its trailers in a header,
// for which gRPC has no use.
type grpcWriter struct {
	http.ResponseWriter
	settings *edge.Settings
	begun    bool
	bound    bool // there is a deadline for writing, until the next Flush
	written  int  // bytes since that deadline was set
}

func (w *grpcWriter) WriteHeader(code int) {
	w.begin()
	w.ResponseWriter.WriteHeader(code)
}

func (w *grpcWriter) Write(p []byte) (int, error) {
	w.begin()
	if w.written += len(p); !w.bound || w.written > chunk {
		w.bound, w.written = true, 0
		w.settings.BoundWriting(w.ResponseWriter)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (w *grpcWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush does nothing before a message, or a header of its own, is sent: the status may
// still join the header.
func (w *grpcWriter) Flush() {
	if !w.begun {
		return
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush() // http.Flusher has no error
	if w.bound {
		w.bound = false
		w.settings.LiftWriting(w.ResponseWriter)
	}
}

func (w *grpcWriter) begin() {
	if !w.begun {
		w.begun = true
		delete(w.Header(), "Trailer")
	}
}

// end puts the trailers in their place, when the call has ended.
func (w *grpcWriter) end() {
	h := w.Header()
	if !w.begun && hasMetadata(h) { // metadata does not belong in the trailers
		w.WriteHeader(http.StatusOK)
		w.Flush()
	}
	if w.begun {
		for _, name := range statusHeaders {
			if values, ok := h[name]; ok {
				delete(h, name)
				h[http.TrailerPrefix+name] = values
			}
		}
		return
	}
	delete(h, "Trailer")
	for key, values := range h {
		if name, ok := strings.CutPrefix(key, http.TrailerPrefix); ok {
			delete(h, key)
			h[name] = append(h[name], values...)
		}
	}
}

var statusHeaders = [...]string{"Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin"}

// hasMetadata reports whether the backend set headers.
func hasMetadata(h http.Header) bool {
	for key := range h {
		switch key {
		case "Content-Type", "Date", "Trailer", "Grpc-Encoding", statusHeaders[0], statusHeaders[1], statusHeaders[2]:
			continue
		}
		if !strings.HasPrefix(key, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// demandedBody is the body of a gRPC request on the HTTP port. grpc-go reads such a body
// to its end, whether the messages are wanted or not, and holds 16 KiB for each read, even
// of one byte. A demandedBody gives it only what the receiver of messages has demanded, in
// as few reads as possible, and then waits for the next demand. Before a receiver claims
// it, it is a body like any other.
type demandedBody struct {
	body      io.ReadCloser
	endAnswer func() // makes writing the answer fail

	mu      sync.Mutex
	change  sync.Cond // its L is mu
	wanted  int       // bytes; negative if more was read than demanded
	claimed bool
	closed  bool
}

// claim makes the body give only what is demanded. It does nothing for a nil body.
func (b *demandedBody) claim() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claimed = true
}

// demand lets n more bytes be read. It does nothing for a nil body.
func (b *demandedBody) demand(n int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted += n
	b.change.Signal()
}

// Read waits for a demand and reads all of it, or as much as fits into p.
func (b *demandedBody) Read(p []byte) (n int, err error) {
	most, least := b.await(len(p))
	if most == 0 {
		return 0, io.ErrClosedPipe
	}
	n, err = io.ReadAtLeast(b.body, p[:most], least)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	b.demand(-n)
	return n, err
}

// await waits for a demand and returns how many bytes to read, at most room. It returns 0
// if the body was closed.
func (b *demandedBody) await(room int) (most, least int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.claimed && b.wanted <= 0 && !b.closed {
		b.change.Wait()
	}
	switch {
	case b.closed:
		return 0, 0
	case !b.claimed:
		return room, 1
	default:
		n := min(room, b.wanted)
		return n, n
	}
}

// Close ends a waiting Read.
func (b *demandedBody) Close() error {
	b.mu.Lock()
	b.closed = true
	b.change.Broadcast()
	b.mu.Unlock()
	return b.body.Close()
}
