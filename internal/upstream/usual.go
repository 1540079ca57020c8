package upstream

import (
	"sync/atomic"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// usual is what is known of the answers of an RPC that has one for each call.
type usual struct {
	// nanoseconds is how long good answers of a unary RPC take at most, as a rule: it
	// jumps to the longest and comes down by a small part for each that is shorter. It
	// is 0 until there is one.
	nanoseconds atomic.Int64
	// gap is how long answers come behind their headers on average, in nanoseconds.
	gap atomic.Int64
}

// slowness is how many shorter answers in a row take usual down to about a third.
const slowness = 256

func (u *usual) learn(took time.Duration) {
	for {
		old := u.nanoseconds.Load()
		now := max(int64(took), old-(old-int64(took))/slowness)
		if now == old || u.nanoseconds.CompareAndSwap(old, now) {
			return
		}
	}
}

func (u *usual) get() time.Duration { return time.Duration(u.nanoseconds.Load()) }

func (c *Conn) usualOf(method string) *usual {
	u, ok := c.usual.Load(method)
	if !ok {
		u, _ = c.usual.LoadOrStore(method, new(usual))
	}
	return u.(*usual) //nolint:forcetypeassert // the map holds nothing else
}

// hadFairTime reports whether a call whose deadline has passed is the upstream's
// fault. Clients choose deadlines, and a few with too short ones must not be able
// to have a breaker open for everybody. So the upstream must have had the call for
// as long as good answers take, or, until there was one, for as long as the
// gateway's own time limit gives it. A call that no backend was there for must
// have waited that long, whatever is usual.
//
// A tenth of the limit may have gone before: into the request's body, a queue, or
// an attempt that was no good.
//
// How long a stream lasts is its client's choice.
func (x *exchange) hadFairTime() bool {
	if x.stream {
		return false
	}
	elapsed := x.elapsed()
	if limit := call.LimitOf(x); limit > 0 && elapsed >= limit-limit/10 {
		return true
	}
	usual := x.conn.usualOf(x.method).get()
	return x.has(sent) && usual > 0 && elapsed >= usual
}
