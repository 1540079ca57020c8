package edge

import (
	"net/http"
	"strings"
)

// serveGRPC serves gRPC behind net/http.
func (s *Settings) serveGRPC(grpc http.Handler, w http.ResponseWriter, r *http.Request) {
	t := &grpcWriter{ResponseWriter: w, settings: s}
	body := newDemandedBody(r.Body, func() { s.endWriting(w) })
	r = r.WithContext(withBody(r.Context(), body))
	r.Body = body
	grpc.ServeHTTP(t, r)
	t.end()
	s.boundWriting(w) // net/http writes the rest
}

// grpcWriter mends how grpc-go's server writes behind net/http: a call that
// ends before it sent anything is told in one header block ("Trailers-Only" of
// gRPC over HTTP/2, by which a client knows that it may retry), and no other
// announces its trailers in a header, which gRPC has no use for.
type grpcWriter struct {
	http.ResponseWriter
	settings *Settings
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
		w.settings.boundWriting(w.ResponseWriter)
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
		w.settings.liftWriting(w.ResponseWriter)
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
