package edge

import (
	"errors"
	"iter"
	"net/http"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// HTTPHalf is the [Half] of a door that reads requests and writes answers itself,
// through net/http. It keeps the backend's headers until the answer begins: until then
// the HTTP status can still tell of an error. One goroutine receives and one sends, as
// grpc-go promises for a ServerStream.
type HTTPHalf struct {
	Half
	W http.ResponseWriter
	R *http.Request
	// Body reads the request's body.
	Body Body

	header, trailer metadata.MD
	taking          memory.ClientWait // an answer
	cut             atomic.Bool       // the rest of it has no time: the gateway is short of memory
	committed       bool              // the status line is out
	failed          bool              // the client takes no more
}

// BeginHTTP is Begin for a request of net/http.
func (h *HTTPHalf) BeginHTTP(s *Settings, t *Table, p call.Protocol, w http.ResponseWriter, r *http.Request) {
	h.W, h.R, h.Body.half = w, r, h
	a := ArrivalOf(r)
	h.Begin(r.Context(), s, t, p, &a)
}

// AdmitHTTP refuses a request for a host that is not served, one that nobody should
// send, and one for whose header there is no memory.
func (h *HTTPHalf) AdmitHTTP() error {
	if err := h.CheckHost(); err != nil {
		return err
	}
	bytes, err := h.checkShape()
	if err != nil {
		return err
	}
	return h.ReserveHeader(bytes)
}

// checkShape refuses a request line and a header that nobody should send. It returns how
// many bytes the header has.
func (h *HTTPHalf) checkShape() (bytes int, err error) {
	r, most := h.R, h.Settings.MaxHeaders
	n, bytes := HeaderSize(r.Header)
	if n > most {
		return bytes, RefuseHTTP(http.StatusRequestHeaderFieldsTooLarge, codes.InvalidArgument,
			"the request has %d header fields: at most %d are taken", n, most)
	}
	if r.Method == http.MethodPost {
		for _, name := range methodOverrides {
			if len(r.Header[name]) > 0 {
				return bytes, call.Refuse(call.Client, codes.InvalidArgument, "header %s is not supported: send the request with the method that it means", name)
			}
		}
	}
	if u := r.URL; u.Scheme != "" || u.Host != "" { // RFC 9112, section 3.2.2: a server takes it
		if r.ProtoMajor >= 2 || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return bytes, call.Refuse(call.Client, codes.InvalidArgument, `bad path: the path must start with "/"`)
		}
	}
	return bytes, nil
}

// methodOverrides are headers by which a client has POST stand for another method.
// To ignore them would run an RPC that the client did not mean.
var methodOverrides = []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// SetOutgoingHTTP is SetOutgoing for the request's own headers. The deadline that they ask for holds
// from then on.
func (h *HTTPHalf) SetOutgoingHTTP() error {
	if err := h.bound(); err != nil {
		return err
	}
	h.SetOutgoing(h.requestMetadata(), h.R.Header["X-Forwarded-For"])
	return nil
}

// SetHeader keeps the backend's headers.
func (h *HTTPHalf) SetHeader(md metadata.MD) error {
	h.header = metadata.Join(h.header, md)
	return nil
}

// SendHeader keeps the headers for the first message.
func (h *HTTPHalf) SendHeader(md metadata.MD) error { return h.SetHeader(md) }

// SetTrailer keeps the backend's trailers.
func (h *HTTPHalf) SetTrailer(md metadata.MD) {
	if len(md) > 0 {
		h.trailer = metadata.Join(h.trailer, md)
	}
}

// Committed reports whether the status line is out.
func (h *HTTPHalf) Committed() bool { return h.committed }

// Failed reports whether the client takes no more of the answer.
func (h *HTTPHalf) Failed() bool { return h.failed }

// Commit sends the status line and the headers that were set.
func (h *HTTPHalf) Commit(status int) {
	h.committed = true
	h.Call.SetHTTPStatus(status)
	h.BoundWriting()
	h.W.WriteHeader(status)
}

// WriteWhole writes the answer of a call that has just one.
func (h *HTTPHalf) WriteWhole(b []byte, contentType string) error {
	h.SetHeaders(contentType)
	h.setLength(len(b))
	h.Commit(http.StatusOK)
	return h.write(b)
}

// WritePart writes one message of a stream and sends it on its way.
func (h *HTTPHalf) WritePart(b []byte, contentType string) error {
	if !h.committed {
		h.SetHeaders(contentType)
		h.Unbuffered()
		h.Commit(http.StatusOK)
	}
	h.BoundWriting()
	if err := h.write(b); err != nil {
		return err
	}
	return h.Flush()
}

// Flush sends what was written on its way, and ends the client's time for it.
func (h *HTTPHalf) Flush() error {
	if err := http.NewResponseController(h.W).Flush(); err != nil {
		return h.gone(err)
	}
	h.Settings.LiftWriting(h.W)
	return nil
}

// Unbuffered asks proxies to pass each part of the answer on at once.
func (h *HTTPHalf) Unbuffered() { h.W.Header()["X-Accel-Buffering"] = headerNo }

// BoundWriting gives the client time to take what is written next.
func (h *HTTPHalf) BoundWriting() { h.Settings.BoundWriting(h.W) }

func (h *HTTPHalf) write(b []byte) error {
	h.Call.Out.Add(len(b))
	return h.Deliver(b)
}

// Deliver writes a part of the answer, within the time that BoundWriting has begun for
// its first 64 KiB, and gives the client as much for each further 64 KiB.
func (h *HTTPHalf) Deliver(b []byte) error {
	if len(b) > Chunk || h.Call.Memory.Busy() {
		h.taking.Begin(&h.Call.Memory, func() {
			h.cut.Store(true)
			h.Settings.EndWriting(h.W)
		})
		defer h.taking.Done()
	}
	for len(b) > Chunk {
		if err := h.writeChunk(b[:Chunk]); err != nil {
			return err
		}
		b = b[Chunk:]
		h.BoundWriting()
		if h.cut.Load() { // there is no more time
			h.Settings.EndWriting(h.W)
		}
	}
	return h.writeChunk(b)
}

func (h *HTTPHalf) writeChunk(b []byte) error {
	if _, err := h.W.Write(b); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		return h.gone(err)
	}
	return nil
}

// gone notes that the client takes no more.
func (h *HTTPHalf) gone(err error) error {
	h.failed = true
	return call.Refuse(call.Client, codes.Canceled, "the client went away").Because(err)
}

// WriteError answers with err, in the format that the client accepts or else the
// configured one. Nothing of the answer may be out.
func (h *HTTPHalf) WriteError(err error) {
	body, contentType := h.Table.Errors.Body(err, h.R.Header["Accept"])
	h.WriteErrorBody(err, body, contentType)
}

// WriteErrorBody answers with err by a body of the door's own.
func (h *HTTPHalf) WriteErrorBody(err error, body []byte, contentType string) {
	h.SetHeaders(contentType)
	h.setLength(len(body))
	h.SetErrorHeaders(err)
	h.Commit(httpStatusOf(err))
	h.Call.Out.Add(len(body))
	_, _ = h.W.Write(body) // a client that is gone gets nothing
	h.WriteTrailers()
}

// SetErrorHeaders sets the headers of an answer that is err.
func (h *HTTPHalf) SetErrorHeaders(err error) {
	header := h.W.Header()
	setErrorHeaders(header, err)
	if len(header["Cache-Control"]) == 0 { // else caches may guess (RFC 9111, section 4.2.2): 404 is fair game
		header["Cache-Control"] = headerNoStore
	}
}

// HasHeader reports whether the backend has sent headers that go to the client.
func (h *HTTPHalf) HasHeader() bool {
	for key := range h.header {
		if h.passes(key) {
			return true
		}
	}
	return false
}

// Trailer has the backend's trailers that go to the client, in the form of HTTP, for
// protocols with a place of their own for them.
func (h *HTTPHalf) Trailer() iter.Seq2[string, []string] {
	return func(yield func(string, []string) bool) {
		for key, values := range h.trailer {
			if h.passes(key) && !yield(key, httpValues(key, values)) {
				return
			}
		}
	}
}
