package memory

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Client is what one client holds. It is safe for concurrent use.
type Client struct {
	process *Process
	limit   int64 // 0: none
	held    atomic.Int64
	asking  atomic.Int64 // what upstreams may answer at most
	calls   atomic.Int64 // that run
	lingers atomic.Int64 // answers of finished calls that are not taken
	queued  atomic.Int32 // len(queue), for those without the lock

	mu    sync.Mutex
	queue []*waiter
	// beyond is the call that may exceed the limit, nil if none does. It is written
	// under mu.
	beyond atomic.Pointer[Share]
}

// NewClient returns a client that holds nothing yet.
func (p *Process) NewClient() *Client { return &Client{process: p, limit: p.limits.Client} }

// Held is how many bytes the client holds.
func (c *Client) Held() int64 { return c.held.Load() }

// small is what a client gets without waiting, whatever it holds: calls whose
// messages are small must not wait for those whose messages are large.
const small = 4 << 10

// waiter is a call that waits until there is room for n bytes.
type waiter struct {
	share *Share
	n     int64
	// answer says that an upstream has answered: a client's requests wait behind
	// its answers, which must be able to go.
	answer bool
	ready  chan struct{} // closed when the bytes are held
}

// take waits until the client may hold n bytes more.
func (c *Client) take(ctx context.Context, s *Share, n int64, answer bool) error {
	if c.fits(n, c.queued.Load() > 0) {
		return nil
	}
	w := &waiter{share: s.root(), n: n, answer: answer, ready: make(chan struct{})}
	c.line(w)
	late := time.NewTicker(soon)
	defer late.Stop()
	for {
		select {
		case <-w.ready:
			return nil
		case <-late.C:
			c.process.forgetLate()
		case <-ctx.Done():
			c.leave(w)
			return context.Cause(ctx)
		}
	}
}

// little is the part of the limit beside which any call may go on: calls whose
// messages are small never wait, so one that needs the whole room would wait for them
// for ever.
const little = 1.0 / 8

// hasRoom reports whether n bytes more may be held beside those that are held.
func (c *Client) hasRoom(held, n int64, others bool) bool {
	return n <= small || c.limit <= 0 || held <= int64(little*float64(c.limit)) || !others && held+n <= c.limit
}

// fits adds n bytes if there is room.
func (c *Client) fits(n int64, others bool) bool {
	for {
		held := c.held.Load()
		if !c.hasRoom(held, n, others) {
			return false
		}
		if c.held.CompareAndSwap(held, held+n) {
			return true
		}
	}
}

// line puts w into the queue: that of the call that may exceed the limit first, for
// nobody else may go on, then answers before requests, else in their order.
func (c *Client) line(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := len(c.queue)
	switch {
	case w.share == c.beyond.Load():
		at = 0
	case w.answer:
		if i := slices.IndexFunc(c.queue, func(o *waiter) bool { return !o.answer }); i >= 0 {
			at = i
		}
	}
	c.queue = slices.Insert(c.queue, at, w)
	c.queued.Store(int32(len(c.queue)))
	c.admit() // something may have been given up since
}

// admit lets calls in the queue go on, in their order, as long as there is room. One
// call whose upstream has answered may exceed the limit: otherwise two calls could
// wait for each other's room. The caller holds the lock.
func (c *Client) admit() {
	for len(c.queue) > 0 {
		w := c.queue[0]
		if !c.fits(w.n, false) {
			if other := c.beyond.Load(); !w.answer || other != nil && other != w.share {
				return
			}
			c.beyond.Store(w.share)
			c.held.Add(w.n)
			c.prefer(w.share)
		}
		i := slices.Index(c.queue, w)
		close(w.ready)
		c.queue = slices.Delete(c.queue, i, i+1)
		c.queued.Store(int32(len(c.queue)))
	}
}

// prefer has those of the call that may exceed the limit go first: the others wait
// for it.
func (c *Client) prefer(s *Share) {
	slices.SortStableFunc(c.queue, func(a, b *waiter) int {
		switch {
		case a.share == s && b.share != s:
			return -1
		case a.share != s && b.share == s:
			return 1
		}
		return 0
	})
}

// leave takes w out of the queue. What it got in the same moment is given up.
func (c *Client) leave(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.queue, w); i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
		c.queued.Store(int32(len(c.queue)))
	} else {
		c.held.Add(-w.n)
	}
	c.admit()
}

func (c *Client) give(n int64) {
	c.held.Add(-n)
	if c.queued.Load() > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.admit()
	}
}

// close ends what the call of s was allowed beyond the limit.
func (c *Client) close(s *Share) {
	if c.beyond.Load() != s {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beyond.Store(nil)
	c.admit()
}

// proxied is a client behind a trusted proxy, and how many calls it has.
type proxied struct {
	client *Client
	calls  int
}

// Behind returns the client of a trusted proxy that name identifies, such as its
// address. It is one and the same for all of the client's calls that run; each of
// them calls leave when it ends.
func (p *Process) Behind(name string) (c *Client, leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.behind[name]
	if known == nil {
		known = &proxied{client: p.NewClient()}
		if p.behind == nil {
			p.behind = map[string]*proxied{}
		}
		p.behind[name] = known
	}
	known.calls++
	return known.client, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if known.calls--; known.calls == 0 {
			delete(p.behind, name)
		}
	}
}
