// Package memory accounts for the bytes that the gateway holds for its clients:
// requests that are being read, messages that are decoded, answers that are not
// taken yet. What one client holds is bounded, and so is what all of them hold
// together.
//
// A [Process] has the bound of all clients. A [Client] is one connection, or, behind
// a trusted proxy, one client of that proxy. A [Share] is what one call holds.
package memory

import (
	"container/list"
	"errors"
	"sync"
	"sync/atomic"
)

// ErrFull says that the process holds as much for clients as it may.
var ErrFull = errors.New("the gateway holds as much for clients as its memory allows")

// Limits are in bytes. Zero is no limit.
type Limits struct {
	Client  int64 // of one client
	Process int64 // of all clients together
	Calls   int64 // of running calls beside that: their headers, stacks, and the like
	Heap    int64 // of Go's runtime
}

// Process is what all clients hold together. The zero value has no limits. It is
// safe for concurrent use.
type Process struct {
	limits    Limits
	heap      heap
	held      atomic.Int64
	base      atomic.Int64 // of running calls, beside what they hold
	lingering atomic.Int64 // of answers of finished calls
	refused   atomic.Int64
	ended     atomic.Int64

	arrivalsWait atomic.Int64  // len of arrivals, for those without the lock
	gave         chan struct{} // something was given up while arrivals wait
	landings     atomic.Int64  // how many arrivals are in landed

	mu          sync.Mutex
	arrivals    arrivals
	letting     bool                 // letAll runs
	sweeping    bool                 // forgetLanded will be called
	answerWaits list.List            // of *AnswerWait
	coming      list.List            // of *Arrival, those that have not moved for longest first
	landed      map[int64][]*Arrival // of those that come: that are here and not taken, by size
	waits       list.List            // of *ClientWait, the longest first
	// expected are answers that have begun to come: *Expectation, the longest awaited
	// first.
	expected list.List
	watched  list.List // of *Connection, those that may have stalled longest first
	behind   map[string]*proxied
}

// New returns a process that holds nothing yet.
func New(l Limits) *Process {
	return &Process{limits: l, heap: heap{limit: l.Heap}, gave: make(chan struct{}, 1), landed: map[int64][]*Arrival{}}
}

// Held is how many bytes the clients hold together.
func (p *Process) Held() int64 { return p.held.Load() }

// Limit is how many bytes they may hold together, 0 for no limit.
func (p *Process) Limit() int64 { return p.limits.Process }

// Refused is how often something was refused because the process was full.
func (p *Process) Refused() int64 { return p.refused.Load() }

// Ended is how many calls that waited for their clients were ended to make room.
func (p *Process) Ended() int64 { return p.ended.Load() }

const (
	// spare is the part of the limit that is kept for what is small: whoever asks for
	// much is refused first.
	spare = 0.2
	// smallest is the part of the rest that a call may take at once when only the spare
	// part is left. The less is left, the less it may take, so small calls go on.
	smallest = 1.0 / 640
)

// crowded is how much may be held until the spare part is all there is.
func (p *Process) crowded() int64 { return int64((1 - spare) * float64(p.limits.Process)) }

// Full reports whether new calls are to be refused.
func (p *Process) Full() bool { return p.limits.Process > 0 && p.held.Load() > p.limits.Process }

// Admit counts a new call, whose share is open and whose headers have so many bytes. It
// refuses it with ErrFull when the process is full, and ends calls then that have
// waited longest for their clients. When memory is tight it refuses calls that ask for
// much: those of clients that have many, and those with large headers.
func (p *Process) Admit(s *Share, headers int) error {
	if p == nil {
		return nil
	}
	p.open(s, headers)
	if p.Full() {
		p.forgetLate()
	}
	if !p.Full() && (!s.asksMuch() || !p.isTight()) {
		return nil
	}
	p.relieve()
	p.refused.Add(1)
	return ErrFull
}

// take adds n bytes, or refuses with ErrFull. Calls are ended for what is held already,
// never to make room for one that asks for much.
func (p *Process) take(n int64) error {
	if p.fits(n) {
		return nil
	}
	p.forgetLate()
	p.relieve()
	if p.fits(n) {
		return nil
	}
	p.refused.Add(1)
	return ErrFull
}

// fits adds n bytes if there is room.
func (p *Process) fits(n int64) bool {
	held := p.held.Add(n)
	if p.limits.Process <= 0 || held <= p.crowded() {
		return true
	}
	p.held.Add(-n)
	for {
		held := p.held.Load()
		left := p.limits.Process - held
		if held+n > p.crowded() && n > int64(smallest*float64(left)) {
			return false
		}
		if p.held.CompareAndSwap(held, held+n) {
			return true
		}
	}
}
