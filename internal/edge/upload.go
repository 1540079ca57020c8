package edge

import (
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
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
	if n := s.r.ContentLength; n > 0 {
		if err := s.reserveBody(n); err != nil {
			return nil, err
		}
	}
	done := s.boundReading()
	if s.r.ContentLength != 0 && s.call.Memory.Busy() {
		s.waitForRest()
	}
	body, err := s.readBody()
	err = s.endSending(err)
	done(err)
	if err != nil {
		return nil, err
	}
	if err := s.holdBody(len(*body)); err != nil {
		putScratch(body)
		return nil, err
	}
	return body, nil
}

// unknownLength is how much of a body without a length is read before there must be
// room for the longest. Nothing is reserved until then: two calls that each had a
// part of the room would wait for each other.
const unknownLength = 64 << 10

// waitForRest notes that the call holds a part of a request and waits for the rest.
// A client whose rest does not come is ended when the gateway is short of memory.
func (s *restStream) waitForRest() {
	if s.holds > 0 {
		return // noted before
	}
	s.sending.Begin(&s.call.Memory, func() {
		_ = http.NewResponseController(s.w).SetReadDeadline(time.Unix(1, 0)) // not every writer can
	})
}

// endSending notes that the request waits for nothing more, and returns what reading it
// has ended with.
func (s *restStream) endSending(err error) error {
	s.sending.Done()
	if err != nil && s.sending.Ended() {
		return call.MemoryError(memory.ErrFull)
	}
	return err
}

// reserveBody has room for a body of n bytes and the message that it becomes.
func (s *restStream) reserveBody(n int64) error {
	room := n + s.translated(n) - s.reserved
	if room <= 0 {
		return nil
	}
	if err := s.call.Memory.Promise(s.ctx, room); err != nil {
		return call.MemoryError(err)
	}
	s.reserved += room
	return nil
}

// arrived notes that n bytes are held for the request by now.
func (s *restStream) arrived(n int64) error {
	if err := s.call.Memory.Arrived(n - s.holds); err != nil {
		return call.MemoryError(err)
	}
	s.holds = max(n, s.holds)
	return nil
}

// holdBody has memory for a body of n bytes that has come, and for the message that
// it becomes.
func (s *restStream) holdBody(n int) error {
	if err := s.reserveBody(int64(n)); err != nil {
		return err
	}
	return s.arrived(int64(n) + s.translated(int64(n)))
}

// wireMost is how many bytes of a message one byte of JSON can become: a zero in a
// Struct becomes eleven.
const wireMost = 11

// translated is how many bytes a body of n bytes becomes at most.
func (s *restStream) translated(n int64) int64 {
	switch limit := s.settings.MaxMessage; {
	case s.route.View.RawBody():
		return n
	case limit > 0:
		return min(limit, n*wireMost)
	default:
		return n * wireMost
	}
}

// freeBody gives up what a body took that has become a message of n wire bytes,
// which is held to the end of the call.
func (s *restStream) freeBody(n int) {
	s.call.Memory.Forgo(s.reserved)
	s.call.Memory.Hold(int64(n) - s.holds) // where path and query have made it longer
	s.call.Memory.Release(s.holds - int64(n))
	s.reserved, s.holds = 0, int64(n)
}

// roomFor has a buffer for what an answer of n wire bytes becomes.
func (s *restStream) roomFor(n int) (out *[]byte, held int64, err error) {
	room := 2 * n
	if n > largeAnswer {
		room = n + n/4
	}
	held = int64(room)
	if err := s.call.Memory.ReserveAnswer(s.ctx, held); err != nil {
		return nil, 0, call.MemoryError(err)
	}
	return getScratch(room), held, nil
}

// largeAnswer is the size of answers that get less room at first: those that are
// mostly text do not grow by much.
const largeAnswer = 1 << 20

// account notes that a buffer has grown to n bytes.
func (s *restStream) account(held int64, n int) int64 {
	if n := int64(n); n > held {
		s.call.Memory.Hold(n - held)
		return n
	}
	return held
}

func (s *restStream) freeScratch(out *[]byte, held int64) {
	putScratch(out)
	s.call.Memory.Release(held)
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
func (s *restStream) readBody() (*[]byte, error) {
	r, limit := s.r, s.settings.MaxBody
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
		if err == nil && int64(len(*buf)) >= s.holds+unknownLength {
			err = s.holdPart(buf)
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

// holdPart has memory for what has come of a long body. Of one without a length it
// has room for the longest first, and all of the buffer that it may need.
func (s *restStream) holdPart(buf *[]byte) error {
	if limit := s.settings.MaxBody; s.reserved == 0 {
		if err := s.reserveBody(limit); err != nil {
			return err
		}
		*buf = slices.Grow(*buf, int(limit)+1-len(*buf))
	}
	s.waitForRest()
	return s.arrived(int64(len(*buf)))
}

const (
	minRead       = 512
	trustedLength = 128 << 10 // an announced length up to this is allocated at once
)

// brokenBody says that the body did not arrive whole.
func brokenBody(err error) error {
	if _, ok := errors.AsType[*call.Error](err); ok {
		return err
	}
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
	s.freeBody(0) // of the last message, which has gone up
	piece, err := s.upload.next()
	if err = s.endSending(err); err != nil {
		return err
	}
	return s.translatePiece(m, piece)
}

// translatePiece is translate for a message of many.
func (s *restStream) translatePiece(m *call.Message, piece []byte) error {
	if err := s.holdBody(len(piece)); err != nil {
		return err
	}
	defer func() { s.freeBody(m.Len()) }()
	return s.translate(m, piece)
}

func (s *restStream) beginUpload() {
	s.upload = &frameReader{src: s.r.Body, limit: int(s.settings.MaxBody), hold: s.holdFrame}
	if s.route.View.RawBody() {
		s.upload = &rawReader{src: s.r.Body, most: s.rawMost()}
	}
	// HTTP/1 servers close the upload with the first byte of the answer unless told
	// otherwise; HTTP/2 needs no telling.
	rc := http.NewResponseController(s.w)
	_ = rc.EnableFullDuplex()
	_ = rc.SetReadDeadline(time.Time{}) // a stream may pause: it is bound by its messages
}

// holdFrame has memory for n bytes of a long message of a stream of requests.
func (s *restStream) holdFrame(n int) error {
	if err := s.reserveBody(s.settings.MaxBody); err != nil {
		return err
	}
	s.waitForRest()
	return s.arrived(int64(n))
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
	if s.route.Method.Stream.ClientStreams && !s.route.View.RawBody() && isNDJSON(ct) {
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
