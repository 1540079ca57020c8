package connect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
)

// source is the request's body as the library reads it. It reads nothing before the
// library asks, reserves memory for what it reads, and decompresses messages.
type source struct {
	stream *stream
	limit  int    // of a message, in bytes
	buf    []byte // what was read
	rest   []byte // the part of buf that the library has not read yet
	last   int    // bytes of the last message
	begun  bool
}

var _ io.ReadCloser = (*source)(nil)

// Envelopes: a byte of flags, and the length.
const (
	prefixSize     = 5
	flagCompressed = 1
)

// Read hands out what was read, and reads more if that is all gone.
func (r *source) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if err := r.next(); err != nil {
			if err != io.EOF {
				r.stream.inFault = err
			}
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Close leaves the body to net/http.
func (r *source) Close() error { return nil }

// next reads the whole body of a single request, or one message of many. io.EOF follows
// the last one.
func (r *source) next() error {
	s := r.stream
	if !s.single() {
		return r.nextEnvelope()
	}
	if r.begun {
		return io.EOF
	}
	r.begun = true
	if s.query != nil {
		return r.readQuery()
	}
	body, err := s.Body.Read()
	if err != nil {
		return err
	}
	r.buf = append(r.buf, *body...)
	edge.PutScratch(body)
	if s.enveloped {
		return r.expandEnvelopes()
	}
	r.rest, r.last = r.buf, len(r.buf)
	if name := s.compression(s.R); name != "" && len(r.buf) > 0 {
		return r.expandAll(name)
	}
	return r.endIfEmpty()
}

func (r *source) endIfEmpty() error {
	if len(r.rest) == 0 {
		return io.EOF
	}
	return nil
}

// readQuery reads the message of a call by GET.
func (r *source) readQuery() (err error) {
	if r.stream.R.ContentLength < 0 { // HTTP/2 need not tell that there is none
		if err := r.stream.Body.Refuse(); err != nil {
			return err
		}
	}
	if r.buf, err = r.stream.message(); err != nil {
		return err
	}
	if err := r.stream.Body.Hold(len(r.buf)); err != nil {
		return err
	}
	r.rest, r.last = r.buf, len(r.buf)
	if name := r.stream.compression(r.stream.R); name != "" && len(r.buf) > 0 {
		return r.expandAll(name)
	}
	return r.endIfEmpty()
}

func (r *source) expandAll(name string) (err error) {
	if r.buf, err = r.expand(nil, name, r.buf); err != nil {
		return err
	}
	r.rest, r.last = r.buf, len(r.buf)
	return r.endIfEmpty()
}

// expandEnvelopes decompresses the message of a whole body. The library reports what is
// wrong with an envelope.
func (r *source) expandEnvelopes() error {
	body := r.buf
	r.rest, r.last = body, max(0, len(body)-prefixSize)
	name := r.stream.compression(r.stream.R)
	if name == "" || len(body) < prefixSize || body[0] != flagCompressed {
		return r.endIfEmpty()
	}
	end := prefixSize + int64(binary.BigEndian.Uint32(body[1:prefixSize]))
	if end > int64(len(body)) {
		return nil
	}
	out, err := r.expand(make([]byte, prefixSize), name, body[prefixSize:end])
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(out[1:prefixSize], uint32(len(out)-prefixSize))
	r.last = len(out) - prefixSize
	out = append(out, body[end:]...)
	r.buf = out
	r.rest = r.buf
	return nil
}

// nextEnvelope reads the next message of a stream.
func (r *source) nextEnvelope() error {
	r.shrink()
	err := r.stream.Body.EndWait(r.readEnvelope())
	r.rest = r.buf
	return err
}

// shrink leaves the buffer of a long message to the collector.
func (r *source) shrink() {
	if cap(r.buf) > edge.UnknownLength {
		r.buf = nil
	}
}

// readEnvelope reads an envelope into buf.
func (r *source) readEnvelope() error {
	s := r.stream
	var prefix [prefixSize]byte
	n, err := io.ReadFull(s.R.Body, prefix[:])
	r.buf = append(r.buf[:0], prefix[:n]...)
	switch {
	case err == io.EOF:
		return io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil // the library says what is missing
	case err != nil:
		return edge.BrokenBody(err)
	}
	size := binary.BigEndian.Uint32(prefix[1:])
	if int64(size) > int64(r.limit) {
		return r.tooLarge()
	}
	if err := r.readMessage(int(size)); err != nil {
		return err
	}
	r.last = len(r.buf) - prefixSize
	name := s.compression(s.R)
	if name == "" || prefix[0] != flagCompressed || r.last < int(size) {
		return nil
	}
	out, err := r.expand(make([]byte, prefixSize), name, r.buf[prefixSize:])
	if err != nil {
		return err
	}
	r.last = len(out) - prefixSize
	binary.BigEndian.PutUint32(out[1:prefixSize], uint32(r.last))
	r.buf = out
	return nil
}

// readMessage reads size bytes. The buffer grows with what has come, not with what was
// announced.
func (r *source) readMessage(size int) error {
	s := r.stream
	for left := size; left > 0; {
		at := len(r.buf)
		room := min(left, max(edge.MinRead, at))
		r.buf = append(r.buf, make([]byte, room)...)
		n, err := io.ReadFull(s.R.Body, r.buf[at:])
		r.buf, left = r.buf[:at+n], left-n
		if len(r.buf) >= edge.UnknownLength {
			if held := s.Body.HoldPart(cap(r.buf)); held != nil {
				return held
			}
		}
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil // the library says what is missing
		}
		if err != nil {
			return edge.BrokenBody(err)
		}
	}
	return s.Body.Hold(size)
}

// expand appends to dst what a compressed message becomes. The limit holds while it
// grows.
func (r *source) expand(dst []byte, name string, compressed []byte) ([]byte, error) {
	if len(compressed) == 0 {
		return dst, nil
	}
	in, err := compressorOf(name).Decompress(bytes.NewReader(compressed))
	if err != nil {
		return nil, notCompressed(name, err)
	}
	defer func() { _ = in.Close() }() // it only gives up what it holds
	head, body := len(dst), &r.stream.Body
	body.Keep(0) // two calls that each held a part would wait for each other
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, make([]byte, max(edge.MinRead, len(dst)))...)[:len(dst)]
			if n := cap(dst); n >= edge.UnknownLength {
				if err := body.HoldExpanded(n); err != nil {
					return nil, err
				}
			}
		}
		n, err := in.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst)-head > r.limit:
			return nil, r.tooLarge()
		case err == io.EOF:
			return dst, body.Hold(len(dst) - head)
		case err != nil:
			return nil, notCompressed(name, err)
		}
	}
}

func notCompressed(name string, cause error) error {
	return call.Refuse(call.Client, codes.InvalidArgument, "the message is not compressed by %q as it says", name).Because(cause)
}

func (r *source) tooLarge() error {
	return call.Refuse(call.Client, codes.ResourceExhausted, "the message is too large: at most %d bytes are taken", r.limit)
}
