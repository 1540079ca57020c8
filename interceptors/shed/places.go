package shed

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// A call holds a place while it runs, but not for ever: the limiter learns of a call
// only when it ends, so calls that never end would shut the gateway for all others.
// A call that has run many times as long as is usual waits for something that
// more room would not bring. It gives its place back.
//
// The calls of an RPC are counted in batches by the time at which they began, so that
// no call is looked at on its own.

// batch counts the calls of an RPC that began while it was the newest. One word
// holds how many of them run and, as a bit, that they hold no places any more: so
// each call knows for certain which of the two it is when it ends.
type batch struct {
	shedder *Shedder
	word    atomic.Int64
	began   time.Time // of whoever ends a window
	ended   time.Time // when another became the newest, likewise
}

// overdue is the bit.
const overdue = int64(1) << 62

func (b *batch) calls() int64 { return b.word.Load() &^ overdue }

// places are how many are taken.
func (s *Shedder) places() int64 { return s.inFlight.Load() - s.overdue.Load() }

// enter counts a call, and tells how many run with it. The call must leave the batch.
func (g *guard) enter() (_ *batch, running int64) {
	b := g.method.newest.Load()
	running = g.shedder.inFlight.Add(1)
	if b.word.Add(1)&overdue != 0 { // the batch was the newest a long moment ago
		g.shedder.overdue.Add(1)
	}
	return b, running
}

var _ call.Place = (*batch)(nil)

// Leave ends what enter began.
func (b *batch) Leave() {
	if b.word.Add(-1)&overdue != 0 {
		b.shedder.overdue.Add(-1)
	}
	b.shedder.inFlight.Add(-1)
}

// lease is how long a call of the RPC holds its place at most, or up to twice as
// long, since a batch is as old as its youngest call.
func (m *method) lease() time.Duration {
	return max(longest, time.Duration(worst*math.Exp(m.baseline)))
}

// expire takes the places from calls of m whose time is over, and begins a new batch
// when it is time. It is for whoever ends a window.
func (s *Shedder) expire(m *method, now time.Time) {
	lease := m.lease()
	if b := m.newest.Load(); now.Sub(b.began) >= lease {
		m.newest.Store(&batch{shedder: s, began: now})
		b.ended = now
		m.older = append(m.older, b)
	}
	for len(m.older) > 0 && now.Sub(m.older[0].ended) >= lease {
		if n := m.older[0].word.Or(overdue); n > 0 {
			s.overdue.Add(n)
			m.hangs.Store(true)
		}
		m.older = m.older[1:]
	}
}

// roll ends the window if it is over, and reports whether it was.
func (s *Shedder) roll(now time.Time) bool {
	if now.UnixNano() < s.next.Load() {
		return false
	}
	s.adapt(now)
	return true
}
