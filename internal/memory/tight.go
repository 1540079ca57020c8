package memory

import (
	"runtime/metrics"
	"sync/atomic"
	"time"
)

const (
	// perCall is what a call takes beside its headers and what it holds: stacks, and
	// what the transports and the chain know of it (measured: 25 KiB).
	perCall = 24 << 10
	// few is how many calls a client may always have at once, and ordinary how many
	// bytes of headers a call may always have.
	few, ordinary = 8, 8 << 10
)

// open counts a call whose headers have so many bytes, until close.
func (p *Process) open(s *Share, headers int) {
	if s.client != nil && s.outer == nil {
		s.base = int64(headers) + perCall
		p.base.Add(s.base)
	}
}

// asksMuch reports whether a call is one of many of its client, or has headers that are
// larger than usual.
func (s *Share) asksMuch() bool {
	return s.client != nil && (s.client.calls.Load() > few || s.base > perCall+ordinary)
}

// isTight reports whether the process has so much in use beside what it holds for
// clients that it takes no more calls that ask for much: running calls and their
// headers, which are known at once, or whatever else Go's runtime has found.
func (p *Process) isTight() bool {
	return p.limits.Calls > 0 && p.base.Load() > p.limits.Calls || p.heap.isTight()
}

// heap looks at what Go's runtime has in use, for what is accounted for nowhere:
// connections, the buffers of transports.
type heap struct {
	limit int64 // 0: none
	asked atomic.Int64
	used  atomic.Int64
}

const (
	// fresh is for how long an answer of the runtime is good.
	fresh = 50 * time.Millisecond
	// tight is the part of the limit above which the heap is tight.
	tight = 0.65
)

// isTight reports whether much of the limit is in use: what was in use at the last
// collection, and the stacks now. Garbage does not count: near its limit the runtime
// collects as often as it must.
func (h *heap) isTight() bool {
	if h.limit <= 0 {
		return false
	}
	now, last := time.Now().UnixNano(), h.asked.Load()
	if now-last > int64(fresh) && h.asked.CompareAndSwap(last, now) {
		inUse := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
		metrics.Read(inUse)
		h.used.Store(int64(inUse[0].Value.Uint64() + inUse[1].Value.Uint64()))
	}
	return float64(h.used.Load()) > tight*float64(h.limit)
}
