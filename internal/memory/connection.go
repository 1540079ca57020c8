package memory

import (
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
}

// Untaken is how many bytes of answers wait in the transport, where that has a queue.
func (c *Connection) Untaken() int64 { return c.untaken.Load() }

// perAnswer is what the transport takes for a stream whose answer waits (measured).
const perAnswer = 9 << 10

// Linger notes n bytes of an answer that go into the transport and whose call may end
// before the client has taken them. Until Taken they count like a running call. A
// connection of which nothing is taken for timeout, if that is not 0, ends.
func (c *Connection) Linger(n int64, timeout time.Duration) {
	c.Client.calls.Add(1)
	c.linger(n + perAnswer)
	c.untaken.Add(n)
	if timeout > 0 && !c.watching.Load() {
		c.watch(timeout)
	}
}

// Taken notes that the n bytes have been taken, or never will be.
func (c *Connection) Taken(n int64) {
	c.untaken.Add(-n)
	c.taken.Add(1)
	c.linger(-n - perAnswer)
	c.Client.calls.Add(-1)
}

func (c *Connection) linger(n int64) {
	if c.closed.Load() {
		return
	}
	c.lingering.Add(n)
	c.Client.process.base.Add(n)
	if c.closed.Load() {
		c.Close()
	}
}

// Close gives up what still counts: a transport that has ended frees nothing.
func (c *Connection) Close() {
	c.closed.Store(true)
	c.Client.process.base.Add(-c.lingering.Swap(0))
}

// watch looks after the connection as long as answers wait, by one timer.
func (c *Connection) watch(timeout time.Duration) {
	if c.watching.CompareAndSwap(false, true) {
		c.checkLater(timeout)
	}
}

func (c *Connection) checkLater(timeout time.Duration) {
	taken := c.taken.Load()
	time.AfterFunc(timeout, func() {
		switch {
		case c.untaken.Load() > 0 && c.taken.Load() == taken:
			c.End()
		case c.untaken.Load() > 0:
			c.checkLater(timeout)
		default:
			c.watching.Store(false)
			if c.untaken.Load() > 0 { // it came in between
				c.watch(timeout)
			}
		}
	})
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
