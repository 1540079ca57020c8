package connect

import (
	"net/http"
	"strconv"
)

// writer is what the library writes the answer to. It gives the client its time for
// each part, and notes the HTTP status.
type writer struct {
	stream *stream
	status int   // in the place of an error's; 0 for none
	err    error // of writing
}

var (
	_ http.ResponseWriter = (*writer)(nil)
	_ http.Flusher        = (*writer)(nil)
)

// Header is the answer's.
func (w *writer) Header() http.Header { return w.stream.W.Header() }

// WriteHeader sends the status line.
func (w *writer) WriteHeader(status int) {
	if w.status != 0 {
		status = w.status
	}
	if !w.stream.Committed() {
		w.commit(status)
	}
}

// commit sends the status line and the headers.
func (w *writer) commit(status int) {
	if w.stream.textOut {
		nameText(w.Header())
	}
	w.stream.Commit(status)
}

// Write writes a part of the answer. The library writes that of a unary call at once.
func (w *writer) Write(b []byte) (int, error) {
	s := w.stream
	if w.err != nil {
		return 0, w.err
	}
	if !s.Committed() {
		if !s.enveloped {
			w.Header()["Content-Length"] = []string{strconv.Itoa(len(b))}
		}
		w.commit(http.StatusOK)
	}
	s.BoundWriting()
	part := b
	if s.textOut {
		part = text(b)
	}
	if w.err = s.Deliver(part); w.err != nil {
		return 0, w.err
	}
	return len(b), nil
}

// Flush sends what was written on its way. What a unary call writes goes all at once,
// when the handler has returned.
func (w *writer) Flush() {
	s := w.stream
	if w.err != nil || s.Method == nil || s.Method.Unary() {
		return
	}
	if !s.Committed() {
		w.commit(http.StatusOK)
	}
	w.err = s.Flush()
}
