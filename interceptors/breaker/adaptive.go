package breaker

import (
	"math"
	"time"
)

// adaptive refuses the share of the calls by which failures exceed what it
// tolerates (Google SRE, "Handling Overload", client-side throttling):
//
//	max(0, 1 - k*good/attempts)
//
// It begins to refuse by what it counted over a sliding window. What it refuses
// itself is no evidence: only attempts that were let through count. An attempt
// that has just been sent says nothing yet: it counts once it has been out for a
// tenth of the window, as not good until it ends. Else any burst on a quiet RPC
// would be refused, though nothing failed; and a black hole is still noticed
// before its deadlines pass.
//
// From then on it goes by the latest attempts, so that its memory of an outage is
// bounded however long that took: each attempt that ends moves the share of the
// good ones by one part in memory, and so does each that has been out for a tenth
// of the window. While an upstream answers nothing, one attempt in probeEvery
// reaches it. Once it is back, each good answer lets one more call through at
// once, and k in memory of all calls from then on, until the share is what k
// tolerates; then the window is forgotten, with the outage in it.
type adaptive struct {
	settings
	random   func() float64
	window   window
	passed   time.Time // when an attempt was last let through; zero after a good answer
	refusing bool
	since    time.Time
	share    float64 // while refusing: of the latest attempts, the good ones
}

const (
	// young is how many of the newest slots hold attempts that may yet be
	// answered: the newest has only begun, and the two before it are a tenth of
	// the window.
	young = 3
	// memory is of how many attempts share tells: at k = 2, fourteen good ones
	// in a row end the refusing.
	memory = 20
	// probeEvery is how long nothing is let through at most, if there are calls.
	probeEvery = 250 * time.Millisecond
	// comeBack is what the refused are told: by then it is known whether a
	// probe succeeded.
	comeBack = time.Second
)

func newAdaptive(s settings, random func() float64, now time.Time) *adaptive {
	return &adaptive{settings: s, random: random, window: newWindow(s.window, now), since: now}
}

func (a *adaptive) refuse(now time.Time) (luck, time.Duration, bool) {
	l := undrawn
	refused := a.refuses(now, &l)
	return l, comeBack, refused
}

// refuses draws l if it is undrawn and matters. An attempt is drawn for once, or
// one whose request had to be awaited would have to be lucky twice.
func (a *adaptive) refuses(now time.Time, l *luck) bool {
	a.advance(now)
	a.decide(now)
	if !a.refusing || now.Sub(a.passed) >= probeEvery {
		return false
	}
	if *l == undrawn {
		*l = luck(a.random())
	}
	if float64(*l) >= a.refusal() {
		return false
	}
	a.window.newest(now).refused++
	return true
}

func (a *adaptive) admit(now time.Time, l luck) (ticket, time.Duration, bool) {
	if a.refuses(now, &l) {
		return 0, comeBack, false
	}
	slot := a.window.newest(now)
	a.passed = now
	slot.begun++
	slot.open++
	return ticket(a.window.epoch), 0, true
}

// advance slides the window to now. While refusing, the attempts that have been
// out for a tenth of the window by then count as failed.
func (a *adaptive) advance(now time.Time) {
	before := a.window.epoch
	after := a.window.epochAt(now)
	if a.refusing {
		for e := before - young + 1; e <= min(before, after-young); e++ {
			if slot := a.window.at(e); slot != nil {
				a.share *= math.Pow(1-1./memory, float64(slot.open))
			}
		}
	}
	a.window.slide(now)
}

// decide begins and ends the refusing.
func (a *adaptive) decide(now time.Time) {
	share, tolerable := a.counted()
	switch {
	case a.refusing && a.share*a.k >= 1:
		a.window.forget(now)
		a.refusing, a.since = false, now
	case a.refusing == tolerable: // one of them has changed
		a.refusing, a.since, a.share = !tolerable, now, share
	}
}

// counted tells by the window which share of the attempts was good, and whether
// that is tolerable. Few attempts always are, unless there are few because the
// others were refused.
func (a *adaptive) counted() (share float64, tolerable bool) {
	sum := a.window.sum()
	attempts := sum.begun
	for e := a.window.epoch; e > a.window.epoch-young; e-- {
		if slot := a.window.at(e); slot != nil {
			attempts -= slot.open
		}
	}
	if attempts == 0 || attempts+sum.refused < a.minimumCalls {
		return 1, true
	}
	share = float64(sum.good) / float64(attempts)
	return share, share*a.k >= 1
}

// refusal is the probability. The window is up to date.
func (a *adaptive) refusal() float64 {
	share, tolerable := a.counted()
	if tolerable {
		return 0
	}
	if a.refusing {
		share = a.share
	}
	return max(0, 1-a.k*share)
}

// learn moves the share of the good ones by one attempt.
func (a *adaptive) learn(good float64) { a.share += (good - a.share) / memory }

// settle counts an attempt where it began; one that outlasted the window, or
// began before it was forgotten, counts no more.
func (a *adaptive) settle(t ticket, o outcome, _ time.Duration, now time.Time) {
	a.advance(now)
	slot := a.window.at(int64(t))
	if slot == nil {
		return
	}
	slot.open--
	switch o {
	case good:
		slot.good++
		a.learn(1)
		a.passed = time.Time{} // the next call may go at once
	case failed:
		slot.failed++
		if int64(t) > a.window.epoch-young { // else advance has counted it
			a.learn(0)
		}
	default:
		slot.begun--
	}
}

func (a *adaptive) rest(t ticket, now time.Time) { a.settle(t, nothing, 0, now) }

func (a *adaptive) wake(_ ticket, now time.Time) ticket {
	a.advance(now)
	slot := a.window.newest(now)
	slot.begun++
	slot.open++
	return ticket(a.window.epoch)
}

func (a *adaptive) strike(_ ticket, now time.Time) {
	a.advance(now)
	slot := a.window.newest(now)
	slot.begun++
	slot.failed++
	a.learn(0)
}

func (a *adaptive) report(s *State, now time.Time) {
	a.advance(now)
	sum := a.window.sum()
	s.Kind, s.State, s.Since = "adaptive", "passing", a.since
	s.Refusal, s.Requests, s.Failures = a.refusal(), sum.begun, sum.failed
	if s.Refusal > 0 {
		s.State = "refusing"
	}
}
