package memory

import (
	"sync/atomic"

	"google.golang.org/grpc/mem"
)

// Part is a buffer of an answer that can be forgotten once its connection has ended. grpc-go
// frees nothing of what it had not written by then, and Go keeps stopped timers, and with
// them the connection's streams and all that was to be written, until there are enough of
// them to be worth the sweep. It has one reference at first, like any buffer.
type Part struct {
	mem.SliceBuffer // for what is private to package mem

	size int
	refs atomic.Int32
	of   atomic.Pointer[mem.Buffer]
}

var _ mem.Buffer = (*Part)(nil)

// Hold has p stand for b, of which it takes over the reference.
func (p *Part) Hold(b mem.Buffer) {
	p.size = b.Len()
	p.refs.Store(1)
	p.of.Store(&b)
}

// ReadOnlyData returns the bytes, or as many zeros when they have been forgotten: they go
// nowhere.
func (p *Part) ReadOnlyData() []byte {
	if b := p.of.Load(); b != nil {
		return (*b).ReadOnlyData()
	}
	return make([]byte, p.size)
}

// Len is how many bytes there are.
func (p *Part) Len() int { return p.size }

// Ref adds a reference.
func (p *Part) Ref() { p.refs.Add(1) }

// Free gives a reference up.
func (p *Part) Free() {
	if p.refs.Add(-1) > 0 {
		return
	}
	if b := p.of.Swap(nil); b != nil {
		(*b).Free()
	}
}

// Forget leaves the bytes to the garbage collector: the transport may be reading them.
func (p *Part) Forget() { p.of.Store(nil) }
