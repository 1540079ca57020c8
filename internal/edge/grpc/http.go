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
// methods Handler serves. What grpc-go answers there with a bare HTTP status, and with
// its parser's words, is refused before it as gRPC wants it.
func Door(s *edge.Settings, server http.Handler) edge.Door {
	d := &httpDoor{s, server}
	return edge.Door{Takes: takes, Serve: d.serve, NoPages: true}
}

type httpDoor struct {
	settings *edge.Settings
	server   http.Handler
}

// takes tells native gRPC: "application/grpc", alone or with a message format
// ("+proto") or parameters. gRPC-Web has a type of its own. A gRPC content type over
// HTTP/1 or with GET is refused by grpc-go.
func takes(r *http.Request) bool {
	ct := r.Header.Get("Content-Type")
	rest, ok := strings.CutPrefix(ct, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';') && !edge.IsPreflight(r)
}

func (d *httpDoor) serve(table *edge.Table, w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor >= 2 && r.Method == http.MethodPost { // else it is not gRPC, which is for grpc-go to say
		if err := malformed(r); err != nil {
			d.refuse(table, w, r, err)
			return
		}
	}
	t := &grpcWriter{ResponseWriter: w, settings: d.settings}
	body := newDemandedBody(r.Body, func() { d.settings.EndWriting(w) })
	r = r.WithContext(context.WithValue(r.Context(), requestKey{}, &httpRequest{body, table}))
	r.Body = body
	d.server.ServeHTTP(t, r)
	t.end()
	d.settings.BoundWriting(w) // net/http writes the rest
}

// httpRequest is what a call that came over the HTTP port knows of its request.
type httpRequest struct {
	body  *demandedBody
	table *edge.Table
}

type requestKey struct{}

// requestOf is the request of a call on the HTTP port, nil on the port of gRPC's own.
func requestOf(ctx context.Context) *httpRequest {
	r, _ := ctx.Value(requestKey{}).(*httpRequest)
	return r
}

// malformed finds a path that names no RPC the way gRPC does, headers that gRPC
// cannot read, and a compression that nobody here knows. grpc-go takes the path as
// net/http decoded it, in which a name would have any number of spellings. Where
// binary headers have several values in a line, malformed parts them, which grpc-go
// does not.
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

// refuse answers with trailers only (gRPC over HTTP/2, "Responses"). They name the
// compressions that would do, which gRPC wants beside UNIMPLEMENTED for another
// (its compression.md).
func (d *httpDoor) refuse(table *edge.Table, w http.ResponseWriter, r *http.Request, refusal error) {
	half := new(edge.Half)
	a := edge.ArrivalOf(r)
	half.Begin(r.Context(), d.settings, table, call.GRPC, &a)
	_ = half.Run(func() error { return half.Refuse(refusal) }, func(err error) {
		writeTrailersOnly(w, call.StatusOf(err), half.Call.RequestID)
	})
}

func writeTrailersOnly(w http.ResponseWriter, st *status.Status, requestID string) {
	h := w.Header()
	h["Content-Type"] = []string{"application/grpc"}
	h["Grpc-Status"] = []string{strconv.Itoa(int(st.Code()))}
	h["Grpc-Message"] = []string{percentEncoded(st.Message())}
	h["Grpc-Accept-Encoding"] = []string{gzip.Name}
	h["X-Request-Id"] = []string{requestID}
	w.WriteHeader(http.StatusOK)
}

// percentEncoded is a text as grpc-message has it.
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

// grpcWriter mends how grpc-go's server writes behind net/http: a call that
// ends before it sent anything is told in one header block ("Trailers-Only" of
// gRPC over HTTP/2, by which a client knows that it may retry), and no other
// announces its trailers in a header, which gRPC has no use for.
type grpcWriter struct {
	http.ResponseWriter
	settings *edge.Settings
	begun    bool
	bound    bool // in writing, until the next Flush
	written  int  // since the client had time for more
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

// Flush waits for a message, or a header sent on its own: until then all that
// could go is a header that the status may still join.
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

// end gives the trailers their place, once the call has ended.
func (w *grpcWriter) end() {
	h := w.Header()
	if !w.begun && hasMetadata(h) { // which is no part of the trailers
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

// hasMetadata reports whether the backend had headers of its own.
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

// demandedBody is the body of a gRPC request behind net/http. grpc-go reads such a
// body to its end whether anybody wants it or not, and holds 16 KiB for each read,
// even if that brought one byte. So it gets what the receiver of messages has
// demanded, in as few reads as that takes, and waits for the next demand. Until a
// receiver has claimed it, it is like any other.
type demandedBody struct {
	body      io.ReadCloser
	endAnswer func() // has the writing of the answer fail

	mu      sync.Mutex
	change  sync.Cond
	wanted  int // below 0: so much was read before it was demanded
	claimed bool
	closed  bool
}

func newDemandedBody(body io.ReadCloser, endAnswer func()) *demandedBody {
	b := &demandedBody{body: body, endAnswer: endAnswer}
	b.change.L = &b.mu
	return b
}

// claim has the body give what is demanded, and no more. A nil body has no need for
// it.
func (b *demandedBody) claim() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claimed = true
}

// demand has n bytes more be read. A nil body has no need for it.
func (b *demandedBody) demand(n int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted += n
	b.change.Signal()
}

// Read waits for a demand and reads all of it, or as much as p has room for.
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

// await waits for a demand and returns how many of room bytes are to be read, 0 if
// the body was closed.
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

// Close ends a Read that waits.
func (b *demandedBody) Close() error {
	b.mu.Lock()
	b.closed = true
	b.change.Broadcast()
	b.mu.Unlock()
	return b.body.Close()
}
