package breaker

import "time"

// threeState is closed until too large a share of the attempts in a sliding
// window fails or is slow; then open for a time, varied by a tenth so that many
// gateways do not come back at once; then half-open, when so many attempts as
// declared are let through, and it closes if all of them go well.
//
// An attempt counts when it ends, and only in the state that let it through. A
// half-open state that has not been decided after a whole window, because its
// probes hang, counts as failed.
type threeState struct {
	settings
	random func() float64
	window window // of the closed state

	state      state
	generation ticket // counts the states it was in
	since      time.Time
	until      time.Time // open: when it ends
	admitted   int       // half-open: probes that are out or went well
	succeeded  int       // half-open: probes that went well
	// resting are the times from which probes have been streams without an answer,
	// the oldest first. They are among those admitted.
	resting []time.Time
}

type state uint8

const (
	closed state = iota
	halfOpen
	open
)

func (s state) String() string { return [...]string{"closed", "half-open", "open"}[s] }

func newThreeState(s settings, random func() float64, now time.Time) *threeState {
	return &threeState{settings: s, random: random, window: newWindow(s.window, now), since: now}
}

// jitter is by how much the time that it is open varies, each way.
const jitter = .1

func (t *threeState) enter(s state, now time.Time) {
	t.state, t.since = s, now
	t.generation++
	t.resting = nil
	switch s {
	case open:
		vary := 1 + jitter*(2*t.random()-1)
		t.until = now.Add(time.Duration(float64(t.openTime) * vary))
	case halfOpen:
		t.admitted, t.succeeded = 0, 0
	case closed:
		t.window = newWindow(t.settings.window, now)
	}
}

func (t *threeState) refuse(now time.Time) (luck, time.Duration, bool) {
	t.tick(now)
	switch {
	case t.state == open:
		return undrawn, t.until.Sub(now), true
	case t.state == halfOpen && t.admitted >= t.probes:
		return undrawn, t.patience(), true // it is about to be decided
	default:
		return undrawn, 0, false
	}
}

func (t *threeState) admit(now time.Time, _ luck) (ticket, time.Duration, bool) {
	if _, after, refused := t.refuse(now); refused {
		return 0, after, false
	}
	if t.state == halfOpen {
		t.admitted++
	}
	return t.generation, 0, true
}

// tick makes the changes that come by themselves.
func (t *threeState) tick(now time.Time) {
	for len(t.resting) > 0 && now.Sub(t.resting[0]) >= t.patience() {
		t.resting = t.resting[1:]
		t.admitted--
	}
	if t.state == halfOpen && now.Sub(t.since) >= t.settings.window {
		if t.admitted-len(t.resting) > t.succeeded {
			t.enter(open, now)
		} else {
			t.since = now // nothing hangs: clients leave their streams quiet
		}
	}
	if t.state == open && !now.Before(t.until) {
		t.enter(halfOpen, now)
	}
}

func (t *threeState) settle(in ticket, o outcome, elapsed time.Duration, now time.Time) {
	if in != t.generation {
		return
	}
	slow := o != nothing && t.slowCall > 0 && elapsed > t.slowCall
	if t.state == halfOpen {
		t.probed(o, slow, now)
		return
	}
	if o != nothing {
		t.count(o == failed, slow, now)
	}
}

// rest has the place of a probe that is a stream go to another before long: a client
// that keeps quiet, or asks for what never comes, must not keep the breaker open.
func (t *threeState) rest(in ticket, now time.Time) {
	if in == t.generation && t.state == halfOpen {
		t.resting = append(t.resting, now)
	}
}

// wake takes the place again, whichever stream's it was.
func (t *threeState) wake(in ticket, _ time.Time) ticket {
	switch {
	case in != t.generation || t.state != halfOpen:
	case len(t.resting) > 0:
		t.resting = t.resting[1:]
	default:
		t.admitted++
	}
	return in
}

// patience is how long a probe that is a stream keeps its place without an answer,
// and how long who finds no place is told to wait.
func (t *threeState) patience() time.Duration { return min(t.openTime, time.Second) }

func (t *threeState) strike(in ticket, now time.Time) {
	switch {
	case in != t.generation:
	case t.state == halfOpen:
		t.enter(open, now)
	default:
		t.count(true, false, now)
	}
}

// count is for the closed state.
func (t *threeState) count(fault, slow bool, now time.Time) {
	slot := t.window.newest(now)
	slot.begun++
	if fault {
		slot.failed++
	}
	if slow {
		slot.slow++
	}
	sum := t.window.sum()
	if sum.begun < t.minimumCalls {
		return
	}
	calls := float64(sum.begun)
	if float64(sum.failed)/calls >= t.failureRatio || t.slowCall > 0 && float64(sum.slow)/calls >= t.slowRatio {
		t.enter(open, now)
	}
}

// probed is count for the half-open state.
func (t *threeState) probed(o outcome, slow bool, now time.Time) {
	switch {
	case o == nothing:
		t.admitted-- // it found nothing out: its place is free again
	case o == failed || slow:
		t.enter(open, now)
	default:
		if t.succeeded++; t.succeeded == t.probes {
			t.enter(closed, now)
		}
	}
}

func (t *threeState) report(s *State, now time.Time) {
	t.tick(now)
	t.window.slide(now)
	sum := t.window.sum()
	s.Kind, s.State, s.Since = "three-state", t.state.String(), t.since
	s.Requests, s.Failures, s.Slow = sum.begun, sum.failed, sum.slow
	if t.state == open || t.state == halfOpen && t.admitted == t.probes {
		s.Refusal = 1
	}
}
