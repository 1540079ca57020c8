package memory

import "sync/atomic"

// Background is what work holds that no client waits for, such as copies of calls.
// It has room only while clients have plenty: no client is refused anything or ended
// for it, and it never waits. It is safe for concurrent use.
type Background struct {
	process *Process
	limit   int64 // 0: none
	held    atomic.Int64
}

// background is the part of the process's limit that such work may hold.
const background = 0.1

// NewBackground returns one that holds nothing yet. What it holds counts with the
// process.
func (p *Process) NewBackground() *Background {
	return &Background{process: p, limit: int64(background * float64(p.limits.Process))}
}

// Limit is how many bytes may be held, 0 for no limit.
func (b *Background) Limit() int64 { return b.limit }

// Take holds n bytes more, and reports whether there was room for them. They are
// held until Give.
func (b *Background) Take(n int64) bool {
	p := b.process
	if p.isTight() {
		return false
	}
	for {
		held := b.held.Load()
		if b.limit > 0 && (held+n > b.limit || p.held.Load()+n > p.crowded()) {
			return false
		}
		if b.held.CompareAndSwap(held, held+n) {
			p.held.Add(n)
			return true
		}
	}
}

// Give gives up n bytes that were taken.
func (b *Background) Give(n int64) {
	b.held.Add(-n)
	b.process.give(n)
}
