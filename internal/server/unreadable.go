package server

import (
	"bytes"
	"log/slog"
	"strconv"
)

// unreadable tells of a request that came on a connection and that no handler saw.
// net/http answers what it cannot read itself, and tells nobody.
func (s *Server) unreadable(listener string, c *conn) {
	if !c.unread.Swap(false) {
		return
	}
	said := c.said.Swap(nil)
	if said == nil && s.leaving.Load() {
		return // net/http answers nothing that it reads once it is shut down
	}
	attrs := []any{slog.String("listener", listener), slog.String("peer", c.RemoteAddr().String())}
	status := 0
	if said != nil {
		status = statusOf(*said)
		attrs = append(attrs, slog.String("answer", *said))
	}
	if s.options.Unreadable != nil {
		s.options.Unreadable(listener, status)
	}
	s.options.Log.Info("a request could not be read", attrs...)
}

var (
	http1   = []byte("HTTP/1.")
	lineEnd = []byte("\r\n")
)

// statusLine is what an answer of HTTP/1 begins with, without the version.
func statusLine(p []byte) (string, bool) {
	rest, ok := bytes.CutPrefix(p, http1)
	line, _, whole := bytes.Cut(rest, lineEnd)
	if !ok || !whole || len(line) < len("1 ") {
		return "", false
	}
	text := string(line[len("1 "):])
	return text, statusOf(text) > 0
}

func statusOf(line string) int {
	const digits = 3
	if len(line) < digits {
		return 0
	}
	status, err := strconv.ParseUint(line[:digits], 10, 16)
	if err != nil || status < 100 {
		return 0
	}
	return int(status)
}

// Write notes what is answered where no handler has a request to answer, also in the
// clear to a client that does not know of TLS.
func (c *conn) Write(p []byte) (int, error) {
	if c.unread.Load() || c.stage.Load() == fresh {
		if line, ok := statusLine(p); ok {
			c.said.Store(&line)
			c.unread.Store(true)
		}
	}
	return c.TCPConn.Write(p)
}
