package memory

import (
	"container/list"
	"context"
	"sync/atomic"
	"time"
)

// Connection is what the edges know of a client's connection.
type Connection struct {
	Client *Client
	// End closes the connection.
	End func()

	untaken   atomic.Int64 // bytes of answers that wait in the transport
	taken     atomic.Int64 // how often some were taken
	lingering atomic.Int64 // bytes that count with the process for finished calls
	watching  atomic.Bool
	closed    atomic.Bool
	came      atomic.Int64 // calls since one began: they wait until there is time for them

	// Guarded by the process's mu:
	place  *list.Element // among those that are watched
	since  time.Time     // when taken was last looked at
	before int64         // what taken was then
}

// Untaken is how many bytes of answers wait in the transport, where that has a queue.
func (c *Connection) Untaken() int64 { return c.untaken.Load() }

// perAnswer is about what the transport takes for a stream whose answer waits.
const perAnswer = 9 << 10

// Linger notes n bytes of an answer that go into the transport and whose call may end
// before the client has taken them. Until Taken they count with the process. If the
// client takes nothing for timeout, the connection ends; sooner when memory is tight. A
// timeout of 0 is none.
func (c *Connection) Linger(n int64, timeout time.Duration) {
	c.Client.lingers.Add(1)
	c.linger(n + perAnswer)
	c.untaken.Add(n)
	if timeout > 0 && !c.watching.Load() {
		c.watch(timeout)
	}
	if p := c.Client.process; p.lingersTooMuch() {
		p.relieve()
	}
}

// Taken notes that the n bytes have been taken, or never will be.
func (c *Connection) Taken(n int64) {
	c.untaken.Add(-n)
	c.taken.Add(1)
	c.linger(-n - perAnswer)
	c.Client.lingers.Add(-1)
}

func (c *Connection) linger(n int64) {
	if c.closed.Load() {
		return
	}
	c.lingering.Add(n)
	c.Client.process.lingering.Add(n)
	if c.closed.Load() {
		c.Close()
	}
}

// Close gives up what still counts: a transport that has ended frees nothing.
func (c *Connection) Close() {
	c.closed.Store(true)
	c.Client.process.lingering.Add(-c.lingering.Swap(0))
}

// IsClosed reports whether the connection has ended.
func (c *Connection) IsClosed() bool { return c.closed.Load() }

// watch looks after the connection as long as answers wait, by one timer.
func (c *Connection) watch(timeout time.Duration) {
	if !c.watching.CompareAndSwap(false, true) {
		return
	}
	p := c.Client.process
	p.mu.Lock()
	defer p.mu.Unlock()
	c.place = p.watched.PushBack(c)
	c.note()
	c.checkLater(timeout)
}

// note begins to watch for progress. The caller holds the process's lock.
func (c *Connection) note() { c.since, c.before = time.Now(), c.taken.Load() }

// isStalled reports whether nothing was taken since it was noted. The caller holds the
// process's lock.
func (c *Connection) isStalled() bool { return c.untaken.Load() > 0 && c.taken.Load() == c.before }

func (c *Connection) checkLater(timeout time.Duration) {
	time.AfterFunc(timeout, func() { c.check(timeout) })
}

func (c *Connection) check(timeout time.Duration) {
	p := c.Client.process
	p.mu.Lock()
	ended, waits := c.closed.Load(), c.untaken.Load() > 0
	stalled := waits && c.isStalled() && time.Since(c.since) >= timeout
	if waits && !stalled && !ended {
		p.watched.MoveToBack(c.place)
		c.note()
		c.checkLater(timeout)
	} else {
		p.watched.Remove(c.place)
	}
	p.mu.Unlock()
	switch {
	case stalled:
		c.End()
	case !waits:
		c.watching.Store(false)
		if c.untaken.Load() > 0 { // it came in between
			c.watch(timeout)
		}
	}
}

// endStalled ends connections whose answers wait for longer than slow, those that have
// stalled longest first, until so many bytes are given up. The caller holds the lock.
func (p *Process) endStalled(over int64, slow time.Duration) int64 {
	next := p.watched.Front()
	for range p.watched.Len() {
		place := next
		next = place.Next()
		c := place.Value.(*Connection) //nolint:forcetypeassert // the list holds nothing else
		if over <= 0 || time.Since(c.since) < slow {
			break
		}
		p.watched.MoveToBack(place)
		if stalled := c.isStalled() && !c.closed.Load(); stalled {
			over -= c.lingering.Load()
			p.ended.Add(1)
			c.End()
		}
		c.note()
	}
	return over
}

type connectionKey struct{}

// With returns ctx carrying a connection.
func With(ctx context.Context, c *Connection) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// From returns the connection that ctx belongs to, or nil.
func From(ctx context.Context) *Connection {
	c, _ := ctx.Value(connectionKey{}).(*Connection)
	return c
}
