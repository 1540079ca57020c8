package edge

import (
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
// for.
func (s *restStream) receiveBody() (*[]byte, error) {
	done := s.boundReading()
	body, err := readBody(s.r, s.settings.MaxBody)
	done(err)
	return body, err
}

// boundReading sets a time by which the body must have come: within the client's
// deadline and the method's limit. The function it returns lifts it, unless reading
// failed: what is left is not waited for.
func (s *restStream) boundReading() func(error) {
	due, bound := s.ctx.Deadline()
	if limit := s.route.Method.RequestWithin; limit > 0 {
		if at := time.Now().Add(limit); !bound || at.Before(due) {
			due, bound = at, true
		}
	}
	if s.r.ContentLength == 0 || !bound {
		return func(error) {}
	}
	rc := http.NewResponseController(s.w)
	_ = rc.SetReadDeadline(due) // not every writer can
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

// pieces are the messages of a body, one after the other. What next returns is
// good until the following call; io.EOF follows the last piece.
type pieces interface {
	next() ([]byte, error)
}

// recvPiece reads one message of a stream of requests.
func (s *restStream) recvPiece(m *call.Message) error {
	s.uploading.Lock()
	defer s.uploading.Unlock()
	if s.upload == nil {
		s.beginUpload()
	}
	if s.over.Load() { // asked last: endUpload sets a time that must not be lifted
		return call.Refuse(call.Client, codes.Canceled, "the call is over")
	}
	piece, err := s.upload.next()
	if err != nil {
		return err
	}
	return s.translate(m, piece)
}

func (s *restStream) beginUpload() {
	s.upload = &frameReader{src: s.r.Body, limit: int(s.settings.MaxBody)}
	if s.route.RawBody {
		s.upload = &rawReader{src: s.r.Body, most: s.rawMost()}
	}
	// HTTP/1 servers close the upload with the first byte of the answer unless told
	// otherwise; HTTP/2 needs no telling.
	rc := http.NewResponseController(s.w)
	_ = rc.EnableFullDuplex()
	_ = rc.SetReadDeadline(time.Time{}) // a stream may pause: it is bound by its messages
}

// rawMost is how many bytes of a raw body one message may have. There is room
// beside them for what path and query say.
func (s *restStream) rawMost() int {
	most := min(rawMost, s.settings.MaxBody)
	if limit := s.settings.MaxMessage; limit > 0 {
		most = min(most, max(1, limit/2))
	}
	return int(most)
}

// contentType is the media type of one message of the body: of a stream of
// requests each is plain JSON, unless nobody parses it.
func (s *restStream) contentType() string {
	ct := s.r.Header.Get("Content-Type")
	if s.route.Method.Stream.ClientStreams && !s.route.RawBody && isNDJSON(ct) {
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
