package edge

import (
	"net/http"
	"time"
)

// Chunk is how many bytes of an answer a client must take within WriteTimeout.
const Chunk = 64 << 10

// BoundWriting sets the deadline for what is written next, and for what net/http writes
// after the handler has returned. Every answer needs one, the smallest too: an HTTP/2
// client may have opened no window, and an HTTP/1 client may send requests without end and
// read no answer.
func (s *Settings) BoundWriting(w http.ResponseWriter) {
	if s.WriteTimeout > 0 {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.WriteTimeout)) // not every writer can
	}
}

// LiftWriting removes the deadline of BoundWriting. A stream needs this after each
// message: over HTTP/2 the deadline would end it even if nothing is being written.
func (s *Settings) LiftWriting(w http.ResponseWriter) {
	if s.WriteTimeout > 0 {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	}
}

// EndWriting makes a write that is under way fail.
func (s *Settings) EndWriting(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)) // not every writer can
}

// endAfterFraming closes the connection after a request whose end a proxy may see
// elsewhere than we do (RFC 9112, section 6.1). net/http ignores, and does not show, a
// Content-Length beside Transfer-Encoding and a Transfer-Encoding over HTTP/1.0. So the
// connection is closed after every request that may have had one.
func endAfterFraming(w http.ResponseWriter, r *http.Request) {
	if len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) {
		w.Header()["Connection"] = headerClose
	}
}

// boundUnread sets the deadline for the body of an HTTP/1 request that is refused unread:
// net/http reads the rest of it before it answers, and would wait forever. The body has
// half of the write timeout, because the deadline for the answer runs already. Code that
// reads the body sets a deadline of its own.
func (s *Settings) boundUnread(w http.ResponseWriter, r *http.Request) {
	if s.WriteTimeout > 0 && r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.WriteTimeout / 2)) // not every writer can
	}
}
