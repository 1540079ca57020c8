package shed

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// window is the least time over which latencies are averaged, longest the
	// most. It is twice what calls take, so that what was changed shows in it.
	window, longest = 250 * time.Millisecond, 5 * time.Second
	// samples are how many calls of an RPC make an average.
	samples = 10
	// settled is how many make one that is believed by half.
	settled = 100
	// tolerance is how many times its unloaded latency a call may take before
	// there are too many: with as much waiting as work nothing idles, and
	// deadlines hold.
	tolerance = 2
	// comfort is below tolerance, so that the limit rests between the two.
	comfort = 1.5
	// slack is how much longer calls may take before it is taken for waiting:
	// scheduling and garbage collection are no overload.
	slack = 5 * time.Millisecond
	// growth and doubling are by what the limit grows in a window.
	growth, doubling = 1.1, 2
	// shrink is the most by which it falls in one.
	shrink = 0.5
	// worst is the most that one RPC may say of the load: one that hangs is its
	// own trouble.
	worst = 10
	// drift is how much of the difference a baseline follows upwards in a second
	// where nothing is shed: what gets slower over hours is no overload.
	drift = 0.002
	// relearn is the same where so few calls run that there can be no overload:
	// then calls take as long as they take.
	relearn = 1.0
	// fade is by what the fastest call is forgotten in a window.
	fade = 1.1
	// lately is how long a fastest call is believed.
	lately = time.Second
	// unit is one in the sums of logarithms, which are integers.
	unit = 1 << 20
)

// method is what is known of one RPC. The atomics are written by calls, the rest
// by whoever ends a window. Times are logarithms of nanoseconds: their mean is
// that of typical calls, which the few that take a hundred times as long do not
// move, but waiting does, because all wait.
type method struct {
	done, doneLog atomic.Int64 // calls that succeeded, and the sum of their times
	late, lateLog atomic.Int64 // calls whose deadline passed, likewise
	least         atomic.Int64 // nanoseconds of the fastest success; 0 for none

	fastest atomic.Int64 // nanoseconds; no call lately took less; 0 is unknown
	until   atomic.Int64 // up to when, in nanoseconds of the Unix epoch

	baseline float64 // without load; 0 is unknown

	newest atomic.Pointer[batch]
	older  []*batch    // that hold places, the oldest first; of whoever ends a window
	hangs  atomic.Bool // calls became overdue, and none has succeeded since
}

func (s *Shedder) newMethod() *method {
	m := new(method)
	m.newest.Store(&batch{shedder: s, began: time.Now()})
	return m
}

// reading is what an RPC had to say in a window.
type reading struct {
	calls, average float64
	done, success  float64 // the same of those that succeeded
}

// load is what all RPCs together had to say in a window.
type load struct {
	calls, took, waited float64 // took and waited are sums of nanoseconds
	logs, weight        float64 // how many times longer, as logarithms, weighted
}

// add counts what one RPC said. It weighs as much as its calls would take
// without load: that is its part of what is in flight (Little's law).
func (l *load) add(r reading, baseline float64) {
	unloaded, took := math.Exp(baseline), math.Exp(r.average)
	l.calls += r.calls
	l.took += r.calls * took
	l.waited += r.calls * (min(took, unloaded*worst) - unloaded)
	l.weight += r.calls * unloaded
	l.logs += r.calls * unloaded * min(r.average-baseline, math.Log(worst))
}

// adapt ends the window. Only one call at a time does; others go on.
func (s *Shedder) adapt(now time.Time) {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if now.UnixNano() < s.next.Load() {
		return // another did while this one came
	}
	seconds := now.Sub(s.began).Seconds()
	peak := float64(max(s.peak.Swap(0), min(s.places(), s.limit.Load())))
	var l load
	for _, m := range s.All() {
		if r, ok := m.read(now); ok {
			m.learn(r, s.follow(peak, r, m.baseline), seconds)
			if m.baseline > 0 {
				l.add(r, m.baseline)
			}
		}
		s.expire(m, now)
	}
	length := window
	if l.calls > 0 {
		s.move(math.Exp(l.logs/l.weight), time.Duration(l.waited/l.calls), peak)
		length = min(max(window, 2*time.Duration(l.took/l.calls)), longest)
	}
	s.began = now
	s.next.Store(now.Add(length).UnixNano())
}

// move sets the limit by how many times longer than without load calls take.
func (s *Shedder) move(ratio float64, waiting time.Duration, peak float64) {
	switch {
	case ratio > tolerance && waiting > slack:
		// The queue is as long as what is in flight, so the ratio falls with it.
		// Where the limit was far from being used, it is what was used that
		// counts; calls of low priority use a part even when they use all.
		s.slow = false
		used := min(s.exact, peak*10/float64(tenthsLeast))
		s.set(used * max(shrink, tolerance/ratio))
	case (ratio < comfort || waiting <= slack) && peak > s.exact/2:
		by := growth
		if s.slow {
			by = doubling
		}
		s.set(s.exact*by + 1)
	}
}

// follow is how fast, in shares of the difference a second, a baseline may grow.
// It must not while calls wait for one another, or an overload that lasts would
// become what is normal.
func (s *Shedder) follow(peak float64, r reading, baseline float64) float64 {
	switch {
	case peak <= s.min:
		return relearn
	case peak < s.exact/2 && r.average-baseline < math.Log(comfort):
		return drift
	default:
		return 0
	}
}

// read takes what calls have noted, once there is enough of it.
func (m *method) read(now time.Time) (r reading, ok bool) {
	if m.done.Load()+m.late.Load() < samples {
		return reading{}, false
	}
	// A call that ends meanwhile may be counted in this window and timed in the
	// next: of many, one does not matter.
	done, doneLog := float64(m.done.Swap(0)), float64(m.doneLog.Swap(0))/unit
	late, lateLog := float64(m.late.Swap(0)), float64(m.lateLog.Swap(0))/unit
	r = reading{calls: done + late, average: (doneLog + lateLog) / (done + late)}
	if done >= samples {
		r.done, r.success = done, doneLog/done
		m.remember(now)
	}
	return r, true
}

// remember keeps the fastest call, which fades.
func (m *method) remember(now time.Time) {
	least := m.least.Swap(0)
	if before := m.fastest.Load(); now.UnixNano() < m.until.Load() {
		least = min(least, int64(float64(before)*fade))
	}
	m.fastest.Store(least)
	m.until.Store(now.Add(lately).UnixNano())
}

// learn has the baseline fall with what is faster, as fast as there are calls
// that say so, and follow what is slower as far as it may.
func (m *method) learn(r reading, follow, seconds float64) {
	switch {
	case r.done == 0:
	case m.baseline == 0:
		m.baseline = r.success
	case r.success < m.baseline:
		m.baseline += (r.success - m.baseline) * r.done / (r.done + settled)
	default:
		m.baseline += (r.success - m.baseline) * min(1, follow*seconds)
	}
}
