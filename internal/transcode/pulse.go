package transcode

import "github.com/gatehouse-dev/gatehouse/internal/call"

// beat is after how many bytes of a message a transcoder asks whether the call is
// over. No byte costs more than about a hundred nanoseconds, so that it stops within
// a few milliseconds. White space, the digits of one number and the base64 of one
// value go by at a nanosecond a byte and are not interrupted.
const beat = 64 << 10

// pulse asks from time to time whether a call is over.
type pulse struct {
	until call.Lifetime // nil for never
	// next is where in the document the call is asked for next.
	next int
	over error // of until, which ended the work
}

// stops asks whether the call is over, at a place in the document.
func (p *pulse) stops(pos int) bool {
	p.next = pos + beat
	if p.until != nil && p.over == nil {
		p.over = p.until.Err()
	}
	return p.over != nil
}

// goOn asks whether the call is over. If so the decoding fails.
func (s *inState) goOn(pos int) bool {
	if !s.pulse.stops(pos) {
		return true
	}
	return s.fail("the call is over") // which failure replaces
}

// itemWork is what one field or element counts as work, in bytes.
const itemWork = 64

// goOn counts one field or element more and asks from time to time whether the call
// is over. If so the encoding fails. A message that says things twice is read in
// another order and more than once, so that places in it tell nothing.
func (s *outState) goOn() bool {
	s.work += itemWork
	return s.work < s.pulse.next || s.ask()
}

func (s *outState) ask() bool {
	if !s.pulse.stops(s.work) {
		return true
	}
	return s.fail("the call is over") // which the error of the call replaces
}
