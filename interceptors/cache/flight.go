package cache

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/answers"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// flight is a call on its way to an answer that others wait for. It is an
// ordinary call with a client, a deadline and a trace of its own. Nothing runs
// on behalf of those who wait: when it fails for its own reasons, the next of
// them asks itself.
type flight struct {
	caches  *Caches
	key     answers.Key
	landed  chan struct{} // closed when what follows is known
	answer  *answers.Answer
	variant answers.Key // that the answer has
	err     error
	ended   ending
}

// ending is what a flight means for those who waited.
type ending uint8

const (
	aborted ending = iota // for reasons of its own, a panic included: somebody must ask again
	alone                 // its answer is nobody else's: each must ask
	common                // its answer or error is theirs, too
)

// answerRoom is how much room a client must have in its memory for others to wait for
// one of its calls: the answer may have to wait for the room.
const answerRoom = 4 << 20

// together answers the call with that of another one on its way, or else asks
// for all who come meanwhile.
func (c *one) together() error {
	for began := c.variant; c.call.Memory.HasRoom(answerRoom); {
		f, first := c.rpc.caches.join(c.variant)
		if first {
			c.rpc.results[miss].Inc()
			return c.lead(f)
		}
		select {
		case <-f.landed:
		case <-c.ctx.Done():
			err := c.ctx.Err()
			return call.RefuseStatus(call.FaultOf(err), call.StatusOf(err)).Because(err)
		}
		switch f.ended {
		case aborted:
			continue
		case common:
			if f.err != nil {
				c.rpc.results[shared].Inc()
				return f.err
			}
			variant := c.key.Variant(c.ctx, f.answer.Vary())
			if variant == f.variant {
				c.rpc.results[shared].Inc()
				return c.serve(f.answer)
			}
			if c.variant == began { // wait for those with the same headers
				c.variant = variant
				continue
			}
		case alone:
		}
		break
	}
	c.rpc.results[bypass].Inc()
	_, err := c.ask()
	return err
}

// join returns the flight of a key, and whether it was begun by this.
func (c *Caches) join(k answers.Key) (_ *flight, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.flights[k]; ok {
		return f, false
	}
	f := &flight{caches: c, key: k, landed: make(chan struct{})}
	c.flights[k] = f
	return f, true
}

// lead asks the upstream and tells those who wait, unless the flight has ended since
// the call waits for its client.
func (c *one) lead(f *flight) error {
	c.call.TakePlace(f)
	defer c.call.LeavePlace(f) // also when the chain panics
	a, err := c.ask()
	if c.call.Waited() {
		return err
	}
	f.answer, f.err = a, err
	switch {
	case err == nil && a != nil:
		f.ended, f.variant = common, c.key.Variant(c.ctx, a.Vary())
	case err == nil:
		f.ended = alone
	case ofItsOwn(c.ctx, err):
	case call.FaultOf(err) == call.Client:
		f.ended = alone // a mistake or a right is its caller's
	default:
		f.ended = common // the upstream is as bad for all: do not ask it for each
	}
	return err
}

var _ call.Place = (*flight)(nil)

// Leave ends the flight: others wait for it no longer.
func (f *flight) Leave() {
	f.caches.mu.Lock()
	delete(f.caches.flights, f.key)
	f.caches.mu.Unlock()
	close(f.landed)
}

// ofItsOwn tells an outcome that came of the call's own deadline or client, and
// says nothing of what another would have got.
func ofItsOwn(ctx context.Context, err error) bool {
	code := call.CodeOf(err)
	return ctx.Err() != nil || code == codes.Canceled || code == codes.DeadlineExceeded || errors.Is(err, context.Canceled)
}
