package edge

import (
	"context"
	"io"
	"sync"
)

// demandedBody is the body of a gRPC request behind net/http. grpc-go reads such a
// body to its end whether anybody wants it or not, and holds 16 KiB for each read,
// even if that brought one byte. So it gets what the receiver of messages has
// demanded, in as few reads as that takes, and waits for the next demand. Until a
// receiver has claimed it, it is like any other.
type demandedBody struct {
	body      io.ReadCloser
	endAnswer func() // has the writing of the answer fail

	mu      sync.Mutex
	change  sync.Cond
	wanted  int // below 0: so much was read before it was demanded
	claimed bool
	closed  bool
}

func newDemandedBody(body io.ReadCloser, endAnswer func()) *demandedBody {
	b := &demandedBody{body: body, endAnswer: endAnswer}
	b.change.L = &b.mu
	return b
}

// claim has the body give what is demanded, and no more. A nil body has no need for
// it.
func (b *demandedBody) claim() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claimed = true
}

// demand has n bytes more be read. A nil body has no need for it.
func (b *demandedBody) demand(n int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted += n
	b.change.Signal()
}

// Read waits for a demand and reads all of it, or as much as p has room for.
func (b *demandedBody) Read(p []byte) (n int, err error) {
	most, least := b.await(len(p))
	if most == 0 {
		return 0, io.ErrClosedPipe
	}
	n, err = io.ReadAtLeast(b.body, p[:most], least)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	b.demand(-n)
	return n, err
}

// await waits for a demand and returns how many of room bytes are to be read, 0 if
// the body was closed.
func (b *demandedBody) await(room int) (most, least int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.claimed && b.wanted <= 0 && !b.closed {
		b.change.Wait()
	}
	switch {
	case b.closed:
		return 0, 0
	case !b.claimed:
		return room, 1
	default:
		n := min(room, b.wanted)
		return n, n
	}
}

// Close ends a Read that waits.
func (b *demandedBody) Close() error {
	b.mu.Lock()
	b.closed = true
	b.change.Broadcast()
	b.mu.Unlock()
	return b.body.Close()
}

type bodyKey struct{}

// withBody returns ctx carrying the body that a call's receiver demands from.
func withBody(ctx context.Context, b *demandedBody) context.Context {
	return context.WithValue(ctx, bodyKey{}, b)
}

// bodyOf is that body, nil on the port of gRPC's own.
func bodyOf(ctx context.Context) *demandedBody {
	b, _ := ctx.Value(bodyKey{}).(*demandedBody)
	return b
}
