package breaker

import "time"

// adaptive refuses with the probability
//
//	max(0, (requests - k*accepts) / (requests + 1))
//
// over a sliding window (Google SRE, "Handling Overload", client-side
// throttling). An attempt counts as a request before it is sent, and as accepted
// once it ends without a fault of the upstream; what is refused is a request
// too.
//
// Two things are added. An attempt that has just been sent says nothing yet: it
// weighs once it has been out for a tenth of the window. Else any burst on a
// quiet RPC would be refused, though nothing failed; and a black hole is still
// noticed before its deadlines pass. And one attempt is let through in each
// twentieth of the window, however bad it is, so that an upstream that is back
// is noticed soon.
type adaptive struct {
	settings
	random   func() float64
	window   window
	passed   time.Time // when an attempt was last let through
	refusing bool
	since    time.Time
}

// young is how many of the newest slots hold attempts that may yet be answered:
// the newest has only begun, and the two before it are a tenth of the window.
const young = 3

func newAdaptive(s settings, random func() float64, now time.Time) *adaptive {
	return &adaptive{settings: s, random: random, window: newWindow(s.window, now), since: now}
}

func (a *adaptive) admit(now time.Time) (ticket, time.Duration, bool) {
	slot := a.window.advance(now)
	p := a.refusal()
	if refusing := p > 0; refusing != a.refusing {
		a.refusing, a.since = refusing, now
	}
	slot.begun++
	if p > 0 && now.Sub(a.passed) < a.window.width && a.random() < p {
		return 0, a.window.width, false
	}
	a.passed = now
	slot.open++
	return ticket(a.window.epoch), 0, true
}

// refusal is the probability. The window is up to date.
func (a *adaptive) refusal() float64 {
	sum := a.window.sum()
	requests := sum.begun
	for e := a.window.epoch; e > a.window.epoch-young && e >= 0; e-- {
		requests -= a.window.at(e).open
	}
	if requests < a.minimumCalls {
		return 0
	}
	return max(0, (float64(requests)-a.k*float64(sum.good))/float64(requests+1))
}

// settle counts an attempt where it began; one that outlasted the window counts
// no more.
func (a *adaptive) settle(t ticket, o outcome, _ time.Duration, now time.Time) {
	a.window.advance(now)
	slot := a.window.at(int64(t))
	if slot == nil {
		return
	}
	slot.open--
	switch o {
	case good:
		slot.good++
	case failed:
		slot.failed++
	default:
		slot.begun--
	}
}

func (a *adaptive) strike(_ ticket, now time.Time) {
	slot := a.window.advance(now)
	slot.begun++
	slot.failed++
}

func (a *adaptive) report(s *State, now time.Time) {
	a.window.advance(now)
	sum := a.window.sum()
	s.Kind, s.State, s.Since = "adaptive", "passing", a.since
	s.Refusal, s.Requests, s.Failures = a.refusal(), sum.begun, sum.failed
	if s.Refusal > 0 {
		s.State = "refusing"
	}
}
