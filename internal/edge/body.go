package edge

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// Body is the body of a request, which is read within its time, its size and what the
// client may have the gateway hold. Read reads it whole; doors that read a message at
// a time use the other methods, which say what they hold.
type Body struct {
	// Growth is how many bytes of a message one byte of the body can become at most; 0
	// stands for 1. JSON grows.
	Growth int64
	// Limit is how many bytes the body may have, or one message of it; 0 stands for
	// [Settings.MaxBody].
	Limit int64

	half     *HTTPHalf
	reserved int64             // bytes that the client was promised room for
	held     int64             // bytes that the call holds for the request
	wait     memory.ClientWait // for the rest of a message
	upload   upload            // of a stream of requests
}

// JSONGrowth is the Growth of JSON: a zero in a Struct becomes eleven bytes.
const JSONGrowth = 11

// scratch are buffers for bodies and answers. Very large ones are left to the
// collector, so that one large answer does not stay in memory for good.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

const scratchMax = 1 << 20

// Scratch returns an empty buffer with room for so many bytes, to be given back by
// PutScratch.
func Scratch(room int) *[]byte {
	b := scratch.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	if cap(*b) < room {
		*b = make([]byte, 0, room)
	}
	*b = (*b)[:0]
	return b
}

// PutScratch gives a buffer back.
func PutScratch(b *[]byte) {
	if cap(*b) <= scratchMax {
		scratch.Put(b)
	}
}

const (
	// UnknownLength is how much of a message without a length is read before there must
	// be room for the longest. Nothing is reserved until then: two calls that each had
	// a part of the room would wait for each other.
	UnknownLength = 64 << 10
	// MinRead is the room for a first read.
	MinRead = 512

	trustedLength = 128 << 10 // an announced length up to this is allocated at once
)

// Read reads the whole body into a buffer of [Scratch]. A client that stalls is not
// waited for. Keep must follow.
func (b *Body) Read() (*[]byte, error) {
	h := b.half
	if n := h.R.ContentLength; n > 0 {
		if err := b.reserve(n); err != nil {
			return nil, err
		}
	}
	done := b.bound()
	if h.R.ContentLength != 0 && h.Call.Memory.Busy() {
		b.beginWait()
	}
	body, err := b.readAll()
	err = b.EndWait(err)
	done(err)
	if err != nil {
		return nil, err
	}
	if err := b.Hold(len(*body)); err != nil {
		PutScratch(body)
		return nil, err
	}
	return body, nil
}

// Refuse refuses a request that has a body. One byte of it is enough to refuse the
// rest unread.
func (b *Body) Refuse() error {
	done := b.bound()
	var probe [1]byte
	n, err := io.ReadFull(b.half.R.Body, probe[:])
	switch {
	case n > 0:
		return call.Refuse(call.Client, codes.InvalidArgument, "%s takes no body", b.half.Call.Binding)
	case err != io.EOF:
		return BrokenBody(err)
	}
	done(nil)
	return nil
}

// beginWait notes that the call holds a part of a message and waits for the rest. A client
// whose rest does not come is ended when the gateway is short of memory.
func (b *Body) beginWait() {
	if b.held > 0 {
		return // noted before
	}
	h := b.half
	b.wait.Begin(&h.Call.Memory, func() {
		_ = http.NewResponseController(h.W).SetReadDeadline(time.Unix(1, 0)) // not every writer can
	})
}

// EndWait notes that the call waits for nothing more of a message, and returns what
// reading it has ended with.
func (b *Body) EndWait(err error) error {
	b.wait.Done()
	if err != nil && b.wait.Ended() {
		return call.MemoryError(memory.ErrFull)
	}
	return err
}

// reserve reserves memory for a body of n bytes and the message that it becomes.
func (b *Body) reserve(n int64) error {
	room := n + b.messageSize(n) - b.reserved
	if room <= 0 {
		return nil
	}
	if err := b.half.Call.Memory.Promise(b.half.ctx, room); err != nil {
		return call.MemoryError(err)
	}
	b.reserved += room
	return nil
}

// hold notes that n bytes are held for the request by now.
func (b *Body) hold(n int64) error {
	if err := b.half.Call.Memory.Arrived(n - b.held); err != nil {
		return call.MemoryError(err)
	}
	b.held = max(n, b.held)
	return nil
}

// Hold holds memory for n bytes that have come, and for the message that they become.
func (b *Body) Hold(n int) error {
	if err := b.reserve(int64(n)); err != nil {
		return err
	}
	return b.hold(int64(n) + b.messageSize(int64(n)))
}

// HoldPart holds memory for the first n bytes of a message of unknown length.
func (b *Body) HoldPart(n int) error {
	if err := b.reserve(b.limit()); err != nil {
		return err
	}
	b.beginWait()
	return b.hold(int64(n))
}

// HoldExpanded holds memory for n bytes that a compressed message has become so far.
// Before the first of them the caller gives up, by Keep, what it held for the message.
func (b *Body) HoldExpanded(n int) error {
	if err := b.reserve(b.limit()); err != nil {
		return err
	}
	return b.hold(int64(n))
}

func (b *Body) limit() int64 { return cmp.Or(b.Limit, b.half.Settings.MaxBody) }

// Keep gives up what is held for the body, but for the n wire bytes of its message, which
// the call holds to its end.
func (b *Body) Keep(n int) {
	share := &b.half.Call.Memory
	share.Forgo(b.reserved)
	share.Hold(int64(n) - b.held) // where path and query have made it longer
	share.Release(b.held - int64(n))
	b.reserved, b.held = 0, int64(n)
}

// messageSize is how many wire bytes a body of n bytes becomes at most.
func (b *Body) messageSize(n int64) int64 {
	switch limit := b.half.Settings.MaxMessage; {
	case b.Growth <= 1:
		return n
	case limit > 0:
		return min(limit, n*b.Growth)
	default:
		return n * b.Growth
	}
}

// bound sets a time by which the body must have come: within the client's deadline and
// the method's limit. The function it returns lifts it, unless reading failed: what is
// left is not waited for.
func (b *Body) bound() func(error) {
	h := b.half
	due, bound := h.ctx.Deadline()
	if limit := h.Method.RequestWithin; limit > 0 {
		if at := time.Now().Add(limit); !bound || at.Before(due) {
			due, bound = at, true
		}
	}
	if h.R.ContentLength == 0 || !bound {
		return func(error) {}
	}
	rc := http.NewResponseController(h.W)
	_ = rc.SetReadDeadline(due) // not every writer can
	return func(err error) {
		if err == nil {
			_ = rc.SetReadDeadline(time.Time{})
		}
	}
}

// readAll reads a body of at most MaxBody bytes. The buffer grows with what has come,
// not with what was announced.
func (b *Body) readAll() (*[]byte, error) {
	r, limit := b.half.R, b.limit()
	room := int64(MinRead)
	if r.ContentLength >= 0 {
		room = min(r.ContentLength+1, trustedLength) // one more, to see the end
	}
	buf := Scratch(int(room))
	for {
		if len(*buf) == cap(*buf) {
			*buf = append(*buf, 0)[:len(*buf)]
		}
		n, err := r.Body.Read((*buf)[len(*buf):cap(*buf)])
		*buf = (*buf)[:len(*buf)+n]
		if int64(len(*buf)) > limit {
			PutScratch(buf)
			return nil, BodyTooLarge(limit)
		}
		if err == nil && int64(len(*buf)) >= b.held+UnknownLength {
			err = b.holdSoFar(buf)
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			PutScratch(buf)
			return nil, BrokenBody(err)
		}
	}
}

// holdSoFar holds memory for what has come of a long body. For one without a length it
// first reserves memory for the longest, and grows the buffer to that.
func (b *Body) holdSoFar(buf *[]byte) error {
	if limit := b.limit(); b.reserved == 0 {
		if err := b.reserve(limit); err != nil {
			return err
		}
		*buf = slices.Grow(*buf, int(limit)+1-len(*buf))
	}
	b.beginWait()
	return b.hold(int64(len(*buf)))
}

// CheckMessage refuses a message of more wire bytes than are taken.
func (h *HTTPHalf) CheckMessage(bytes int) error {
	if limit := h.Settings.MaxMessage; limit > 0 && int64(bytes) > limit {
		return RefuseHTTP(http.StatusRequestEntityTooLarge, codes.ResourceExhausted,
			"the request is a message of %d bytes: at most %d are taken", bytes, limit)
	}
	return nil
}

// BodyTooLarge refuses a body of more than limit bytes.
func BodyTooLarge(limit int64) error {
	return RefuseHTTP(http.StatusRequestEntityTooLarge, codes.ResourceExhausted,
		"the request body is too large: at most %d bytes are taken", limit)
}

// BrokenBody is the outcome of a call whose body could not be read whole.
func BrokenBody(err error) error {
	if _, ok := errors.AsType[*call.Error](err); ok {
		return err
	}
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return BodyTooLarge(tooBig.Limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return RefuseHTTP(http.StatusRequestTimeout, codes.DeadlineExceeded, "the request body did not arrive in time")
	}
	return call.Refuse(call.Client, codes.InvalidArgument, "the request body ended before it was complete").Because(err)
}
