package edge

import (
	"net/http"
	"time"
)

// Chunk is how many bytes of an answer a client must take within WriteTimeout.
const Chunk = 64 << 10

// BoundWriting gives the client time to take what is written next. It is for
// every answer, the smallest too: an HTTP/2 client may have opened no window,
// and one of HTTP/1 may send requests without end and read no answer. What
// net/http writes after the handler has returned is bound as well.
func (s *Settings) BoundWriting(w http.ResponseWriter) {
	if s.WriteTimeout > 0 {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.WriteTimeout)) // not every writer can
	}
}

// LiftWriting ends what BoundWriting began. A stream needs it after each
// message: over HTTP/2 the time would end it though nothing is left to write.
func (s *Settings) LiftWriting(w http.ResponseWriter) {
	if s.WriteTimeout > 0 {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	}
}

// EndWriting has what is written at that time fail.
func (s *Settings) EndWriting(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)) // not every writer can
}

// endAfterFraming ends the connection after a request whose end two parties may
// see at two places. net/http takes a Content-Length beside Transfer-Encoding,
// and a Transfer-Encoding over HTTP/1.0, for nothing, and shows neither; so the
// connection ends after every request that may have had one, as RFC 9112 wants
// it (section 6.1): what follows on it is read as a request by nobody.
func endAfterFraming(w http.ResponseWriter, r *http.Request) {
	if len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) {
		w.Header()["Connection"] = headerClose
	}
}

// boundUnread gives the body of an HTTP/1 request time to come. Whoever reads
// the body sets a time of its own; this one is for the body of a request that is
// refused unread: net/http reads what is left of it before it answers, and would
// wait for it without end. That is half of the time, so that the answer, whose
// time runs already, has the other half.
func (s *Settings) boundUnread(w http.ResponseWriter, r *http.Request) {
	if s.WriteTimeout > 0 && r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.WriteTimeout / 2)) // not every writer can
	}
}
