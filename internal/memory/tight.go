package memory

import (
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"
	"weak"
)

const (
	// perCall is about what a call takes beside its headers and what it holds: stacks,
	// and what the transports and the chain know of it.
	perCall = 24 << 10
	// few is how many calls a client may have at once when memory becomes tight, and
	// ordinary how many bytes of headers a call may always have.
	few, ordinary = 8, 8 << 10
	// The load is 1 when memory is tight. Above busy it is noted which calls wait for
	// their clients, above high these have less time and clients one call each, and
	// above most no call is taken.
	busy, high, most = 0.5, 1.1, 1.6
	// quiet is the load of running calls up to which upstreams may send more unasked.
	quiet = 0.25
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
	c := s.client
	return c != nil && (c.calls.Load() > c.process.few() || c.lingers.Load() > few || s.base > perCall+ordinary)
}

// few is how many calls a client may have at once when memory is tight: the tighter it
// is the fewer, for a client may have many connections. Whoever has one call at a time is
// refused last, and only for the number of running calls.
func (p *Process) few() int64 {
	if p.running() > most {
		return 0
	}
	return max(1, int64(few*min(1, (high-p.load())/(high-1))))
}

// RefuseEarly reports whether a new call of c is refused before anything is done for it:
// when memory is tight and c has as many as it may have then. Those that Admit would refuse
// take memory too until they end, and there may be a hundred of them on each connection.
func (c *Connection) RefuseEarly() bool {
	p := c.Client.process
	came := c.came.Add(1)
	if p.load() <= high || max(came, c.Client.calls.Load()+1) <= p.few() {
		return false
	}
	p.relieve()
	p.refused.Add(1)
	return true
}

// Begins notes that a call for which RefuseEarly was asked begins.
func (c *Connection) Begins() { c.came.Store(0) }

// running is the load of running calls and their headers, which is 1 when memory is tight.
func (p *Process) running() float64 {
	if p.limits.Calls <= 0 {
		return 0
	}
	return float64(p.base.Load()) / float64(p.limits.Calls)
}

// Quiet reports whether so few calls run that each may have more of an answer waiting here
// than it needs. Where there is no limit it is always so.
func (p *Process) Quiet() bool { return p.running() <= quiet }

// load is how tight memory is for what calls take: 1 when it is tight. What the heap has
// in use counts as far as running calls can be its cause, for their transports hold more
// than is known here.
func (p *Process) load() float64 {
	if p.limits.Calls <= 0 {
		return 0
	}
	calls := float64(p.base.Load()+p.lingering.Load()) / float64(p.limits.Calls)
	if 3*calls <= busy { // what the heap has cannot matter
		return calls
	}
	return max(calls, min(p.heap.load(), 3*calls))
}

// lingersTooMuch reports whether memory is tight for the answers of finished calls.
func (p *Process) lingersTooMuch() bool {
	return p.limits.Calls > 0 && p.lingering.Load()+p.base.Load() > p.limits.Calls
}

// isTight reports whether the process has so much in use beside what it holds for
// clients that it takes no more calls that ask for much: running calls and their
// headers, which are known at once, or whatever else Go's runtime has found.
func (p *Process) isTight() bool { return p.lingersTooMuch() || p.heap.load() > 1 }

// Busy reports whether memory could become tight: from then on it is noted of each call
// when it waits for its client.
func (s *Share) Busy() bool { return s.client != nil && s.client.process.load() > busy }

// over is how many bytes calls must give up until memory is not tight, and answers that
// wait for it have come. The caller holds the lock.
func (p *Process) over() (over int64) {
	if p.limits.Process > 0 {
		over = p.held.Load() - p.crowded() + p.arrivals.wanted
	}
	if p.load() > 1 {
		over = max(over, p.base.Load()+p.lingering.Load()-p.limits.Calls, p.heap.over())
	}
	return over
}

// Watch has calls that wait for their clients end after each collection of garbage for
// which memory is too tight: what transports hold grows without new calls. It ends with p.
func (p *Process) Watch() {
	if p.heap.limit > 0 {
		afterCollections(weak.Make(p))
	}
}

func afterCollections(of weak.Pointer[Process]) {
	collected := &struct{ _ *byte }{} // at the next collection
	runtime.AddCleanup(collected, func(of weak.Pointer[Process]) {
		p := of.Value()
		if p == nil {
			return
		}
		p.heap.look()
		if p.load() > 1 {
			p.relieve()
		}
		afterCollections(of)
	}, of)
}

// heap looks at what Go's runtime has in use, for what is accounted for nowhere:
// connections, the buffers of transports.
type heap struct {
	limit int64 // 0: none
	asked atomic.Int64
	used  atomic.Int64

	relieved atomic.Int64 // when calls were last ended
}

const (
	// fresh is for how long an answer of the runtime is good.
	fresh = 50 * time.Millisecond
	// tight is the part of the limit above which the heap is tight.
	tight = 0.65
)

// load is how much of the limit is in use, and 1 when that is tight: what was in use at
// the last collection, and the stacks now. Garbage does not count: near its limit the
// runtime collects as often as it must.
func (h *heap) load() float64 {
	if h.limit <= 0 {
		return 0
	}
	now, last := time.Now().UnixNano(), h.asked.Load()
	if now-last > int64(fresh) && h.asked.CompareAndSwap(last, now) {
		h.look()
	}
	return float64(h.used.Load()) / (tight * float64(h.limit))
}

func (h *heap) look() {
	inUse := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(inUse)
	h.used.Store(int64(inUse[0].Value.Uint64() + inUse[1].Value.Uint64()))
}

// over is how much is in use beyond what is tight.
func (h *heap) over() int64 {
	if h.limit <= 0 {
		return 0
	}
	return h.used.Load() - int64(tight*float64(h.limit))
}
