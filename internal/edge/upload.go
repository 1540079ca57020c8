package edge

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// scratch are buffers for JSON. Very large ones are left to the collector, so
// that one large answer does not stay in memory for good.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

const scratchMax = 1 << 20

func getScratch(room int) *[]byte {
	b := scratch.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	if cap(*b) < room {
		*b = make([]byte, 0, room)
	}
	*b = (*b)[:0]
	return b
}

func putScratch(b *[]byte) {
	if cap(*b) <= scratchMax {
		scratch.Put(b)
	}
}

// receiveBody reads the one request's body. A client that stalls is not waited
// for: the body is read outside of every deadline of the call.
func (s *restStream) receiveBody() (*[]byte, error) {
	done := s.boundReading()
	body, err := readBody(s.r, s.settings.MaxBody)
	done(err)
	return body, err
}

// boundReading sets a time by which the body must have come. The function it
// returns lifts it, unless reading failed: what is left is not waited for.
func (s *restStream) boundReading() func(error) {
	if s.r.ContentLength == 0 || s.settings.Stall <= 0 {
		return func(error) {}
	}
	rc := http.NewResponseController(s.w)
	_ = rc.SetReadDeadline(time.Now().Add(s.settings.Stall)) // not every writer can
	return func(err error) {
		if err == nil {
			_ = rc.SetReadDeadline(time.Time{})
		}
	}
}

// readBody reads a body of at most limit bytes. The buffer grows with what has
// come, not with what was announced.
func readBody(r *http.Request, limit int64) (*[]byte, error) {
	room := int64(minRead)
	if r.ContentLength >= 0 {
		room = min(r.ContentLength+1, trustedLength) // one more, to see the end
	}
	buf := getScratch(int(room))
	for {
		if len(*buf) == cap(*buf) {
			*buf = append(*buf, 0)[:len(*buf)]
		}
		n, err := r.Body.Read((*buf)[len(*buf):cap(*buf)])
		*buf = (*buf)[:len(*buf)+n]
		if int64(len(*buf)) > limit {
			putScratch(buf)
			return nil, tooLarge(limit)
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			putScratch(buf)
			return nil, brokenBody(err)
		}
	}
}

const (
	minRead       = 512
	trustedLength = 128 << 10 // an announced length up to this is allocated at once
)

// brokenBody says that the body did not arrive whole.
func brokenBody(err error) error {
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(tooBig.Limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return httpRefusal(http.StatusRequestTimeout, codes.DeadlineExceeded, "the request body did not arrive in time")
	}
	return call.Refuse(call.Client, codes.InvalidArgument, "the request body ended before it was complete").Because(err)
}

// recvFrame reads one message of a stream of requests.
func (s *restStream) recvFrame(m *call.Message) error {
	s.uploading.Lock()
	defer s.uploading.Unlock()
	if s.frames == nil {
		s.frames = &frameReader{src: s.r.Body, limit: int(s.settings.MaxBody)}
		// HTTP/1 servers close the upload with the first byte of the answer
		// unless told otherwise; HTTP/2 needs no telling.
		rc := http.NewResponseController(s.w)
		_ = rc.EnableFullDuplex()
		_ = rc.SetReadDeadline(time.Time{}) // a stream may pause: it is bound by its messages
	}
	if s.over.Load() { // asked last: endUpload sets a time that must not be lifted
		return call.Refuse(call.Client, codes.Canceled, "the call is over")
	}
	frame, err := s.frames.next()
	if err != nil {
		return err
	}
	return s.translate(m, frame)
}

// contentType is the media type of one message of the body: of a stream of
// requests each is plain JSON.
func (s *restStream) contentType() string {
	ct := s.r.Header.Get("Content-Type")
	if s.route.Method.Stream.ClientStreams && isNDJSON(ct) {
		return typeJSON
	}
	return ct
}

// isNDJSON knows the names of a type that was never registered.
func isNDJSON(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case typeNDJSON, "application/ndjson", "application/jsonl":
		return true
	}
	return false
}

// endUpload waits until no goroutine reads the body any more: the request must
// not be touched after the handler has returned. A read that is under way is
// ended by a deadline in the past.
func (s *restStream) endUpload() {
	s.over.Store(true)
	if s.uploading.TryLock() {
		s.uploading.Unlock()
		return
	}
	_ = http.NewResponseController(s.w).SetReadDeadline(time.Unix(1, 0)) // not every writer can; then the body ends with the client
	s.uploading.Lock()
	s.uploading.Unlock() //nolint:staticcheck // taken to wait, not to guard
}

// frameReader splits a body into JSON values: one per line (NDJSON), or one
// after the other as grpc-gateway's clients write them.
type frameReader struct {
	src   io.Reader
	limit int
	buf   []byte
	begin int // of what has not been handed out
	eof   bool
}

// next returns the next value, which is good until the following call, or
// io.EOF.
func (f *frameReader) next() ([]byte, error) {
	scan := frameScanner{}
	at := f.begin
	for {
		for ; at < len(f.buf); at++ {
			if scan.ends(f.buf[at]) {
				return f.cut(at + 1), nil
			}
		}
		if f.eof {
			rest := bytes.TrimSpace(f.cut(len(f.buf)))
			if len(rest) == 0 {
				return nil, io.EOF
			}
			return rest, nil // the translation says what is missing
		}
		if len(f.buf)-f.begin > f.limit {
			return nil, tooLarge(int64(f.limit))
		}
		at -= f.begin
		if err := f.fill(); err != nil {
			return nil, err
		}
	}
}

func (f *frameReader) cut(end int) []byte {
	frame := f.buf[f.begin:end]
	f.begin = end
	return frame
}

// fill reads more, after moving what is left to the front.
func (f *frameReader) fill() error {
	f.buf = append(f.buf[:0], f.buf[f.begin:]...)
	f.begin = 0
	if cap(f.buf)-len(f.buf) < minRead {
		f.buf = append(make([]byte, 0, 2*cap(f.buf)+minRead), f.buf...)
	}
	n, err := f.src.Read(f.buf[len(f.buf):cap(f.buf)])
	f.buf = f.buf[:len(f.buf)+n]
	if err == io.EOF {
		f.eof = true
		return nil
	}
	if err != nil {
		return brokenBody(err)
	}
	return nil
}

// frameScanner follows one JSON value far enough to see its end: nesting and
// strings. What is wrong inside it is for the translation to say.
type frameScanner struct {
	depth    int
	inString bool
	escaped  bool
	begun    bool
}

// ends takes the next byte and tells whether it is the value's last.
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
