package breaker

import "time"

// machine decides. It has neither a clock nor a lock: times are handed in and do
// not go back, and its breaker sees to it that one call is in it at a time.
type machine interface {
	// refuse reports whether admit would let no attempt through now, and after what
	// time it is worth coming back. It is asked before a request is read. What chance
	// had to say is in luck, for admit.
	refuse(now time.Time) (_ luck, retryAfter time.Duration, refused bool)
	// admit lets an attempt through with a ticket for settle, or refuses it.
	admit(now time.Time, l luck) (_ ticket, retryAfter time.Duration, ok bool)
	// settle is told once how an admitted attempt ended.
	settle(t ticket, o outcome, elapsed time.Duration, now time.Time)
	// rest says that an admitted attempt is a stream, which may be silent for as
	// long as its client likes: that it is out says nothing.
	rest(t ticket, now time.Time)
	// wake is told before settle of an attempt that rested. The ticket that it
	// returns is the one to settle.
	wake(t ticket, now time.Time) ticket
	// strike is told of a stream that broke after it had been settled as good.
	strike(t ticket, now time.Time)
	// report fills in what the machine knows.
	report(s *State, now time.Time)
}

// luck is a number in [0, 1) that was drawn for an attempt, or undrawn.
type luck float64

const undrawn luck = -1

// ticket tells a machine when it let an attempt through, in its own terms.
type ticket int64

// outcome is what an attempt says of the upstream.
type outcome uint8

const (
	nothing outcome = iota // it never got there, or the client went away
	good                   // the upstream answered, be it with a client's mistake
	failed                 // the upstream is at fault
)
