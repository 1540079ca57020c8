package rest

import (
	"bytes"
	"io"

	"github.com/gatehouse-dev/gatehouse/internal/edge"
)

// rawMost is how many bytes of a raw body go into one message at most. With the other
// fields the message has at most 64 KiB.
const rawMost = 63 << 10

// rawReader splits a body into pieces of bytes as they come. An empty body is one empty
// piece.
type rawReader struct {
	src  io.Reader
	most int // bytes of a piece
	buf  []byte
	err  error // of the last read, returned when its bytes have been
	some bool  // a piece has been returned
}

func (r *rawReader) next() ([]byte, error) {
	if len(r.buf) < r.most && len(r.buf) == cap(r.buf) { // the last one filled it
		r.buf = make([]byte, 0, min(r.most, 4*cap(r.buf)+minRawRead))
	}
	n := 0
	for n == 0 && r.err == nil {
		n, r.err = r.src.Read(r.buf[:cap(r.buf)])
	}
	r.buf = r.buf[:n]
	switch {
	case n > 0 || r.err == io.EOF && !r.some:
		r.some = true
		return r.buf, nil
	case r.err == io.EOF:
		return nil, io.EOF
	default:
		return nil, edge.BrokenBody(r.err)
	}
}

const minRawRead = 4 << 10

// frameReader splits a body into JSON values: one per line (NDJSON), or one
// after the other as grpc-gateway's clients write them.
type frameReader struct {
	src   io.Reader
	limit int
	buf   []byte
	begin int // of what next has not returned yet
	eof   bool
	// hold reserves memory for a value of n bytes. It is called for a value longer than
	// [edge.UnknownLength], before more of it is read.
	hold func(n int) error
}

// next returns the next value, which is valid until the following call, or io.EOF.
func (f *frameReader) next() ([]byte, error) {
	scan := frameScanner{}
	at := f.begin
	for {
		for ; at < len(f.buf); at++ {
			if scan.ends(f.buf[at]) {
				return f.bounded(at + 1)
			}
			if !scan.begun {
				f.begin = at + 1 // skip the space before a value
			}
		}
		if f.eof {
			if f.begin == len(f.buf) {
				return nil, io.EOF
			}
			return f.bounded(len(f.buf)) // the transcoder reports what is missing
		}
		if len(f.buf)-f.begin > f.limit {
			return nil, edge.BodyTooLarge(int64(f.limit))
		}
		at -= f.begin
		if err := f.fill(); err != nil {
			return nil, err
		}
	}
}

// bounded returns the value that ends at end, unless it is longer than the limit.
func (f *frameReader) bounded(end int) ([]byte, error) {
	frame := f.buf[f.begin:end]
	f.begin = end
	if len(bytes.TrimRight(frame, " \t\r\n")) > f.limit {
		return nil, edge.BodyTooLarge(int64(f.limit))
	}
	return frame, nil
}

// fill moves the unread bytes to the front of the buffer and reads more.
func (f *frameReader) fill() error {
	f.buf = append(f.buf[:0], f.buf[f.begin:]...)
	f.begin = 0
	switch {
	case cap(f.buf)-len(f.buf) < edge.MinRead:
		if len(f.buf) >= edge.UnknownLength {
			if err := f.hold(2 * cap(f.buf)); err != nil {
				return err
			}
		}
		f.buf = append(make([]byte, 0, 2*cap(f.buf)+edge.MinRead), f.buf...)
	case cap(f.buf) > 2*edge.UnknownLength+edge.MinRead && len(f.buf) < edge.MinRead: // after a long value
		f.buf = append(make([]byte, 0, edge.UnknownLength), f.buf...)
	}
	n, err := f.src.Read(f.buf[len(f.buf):cap(f.buf)])
	f.buf = f.buf[:len(f.buf)+n]
	if err == io.EOF {
		f.eof = true
		return nil
	}
	if err != nil {
		return edge.BrokenBody(err)
	}
	return nil
}

// frameScanner finds the end of one JSON value by its nesting and strings. The
// transcoder reports what is wrong inside the value.
type frameScanner struct {
	depth    int
	inString bool
	escaped  bool
	begun    bool
}

// ends takes the next byte and reports whether it is the value's last.
func (s *frameScanner) ends(c byte) bool {
	switch {
	case s.inString:
		return s.stringEnds(c)
	case c == '"':
		s.inString, s.begun = true, true
	case c == '{' || c == '[':
		s.depth++
		s.begun = true
	case c == '}' || c == ']':
		s.depth--
		return s.depth <= 0
	case c == '\n' && s.depth == 0:
		return s.begun
	case c != ' ' && c != '\t' && c != '\r' && c != '\n':
		s.begun = true
	}
	return false
}

func (s *frameScanner) stringEnds(c byte) bool {
	switch {
	case s.escaped:
		s.escaped = false
	case c == '\\':
		s.escaped = true
	case c == '"':
		s.inString = false
		return s.depth == 0
	}
	return false
}
