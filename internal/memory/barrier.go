package memory

import (
	"sync/atomic"

	"google.golang.org/grpc/mem"
)

// Barrier is an empty buffer at the end of a message. It tells when nobody holds
// the message any more, be it grpc-go's transports: they give all buffers of a
// message back when they have written it or the stream has ended.
type Barrier struct {
	mem.SliceBuffer // of which grpc-go needs the methods that it does not export

	refs  atomic.Int32
	over  atomic.Bool
	freed func()
}

var _ mem.Buffer = (*Barrier)(nil)

// NewBarrier returns a barrier with one reference. freed is called once, when the
// last reference has been given up, or by [Expire].
func NewBarrier(freed func()) *Barrier {
	b := &Barrier{freed: freed}
	b.refs.Store(1)
	return b
}

// Ref adds a reference.
func (b *Barrier) Ref() { b.refs.Add(1) }

// Free gives a reference up.
func (b *Barrier) Free() {
	if b.refs.Add(-1) == 0 {
		b.end()
	}
}

func (b *Barrier) end() {
	if b.over.CompareAndSwap(false, true) {
		b.freed()
	}
}

// Expire has the barriers among data tell at once: grpc-go drops what was sent while
// its stream ended, and frees nothing of it.
func Expire(data mem.BufferSlice) {
	for _, buffer := range data {
		if b, ok := buffer.(*Barrier); ok {
			b.end()
		}
	}
}
