package memory

import (
	"context"
	"sync/atomic"
)

// Share is what one call holds. The zero value accounts for nothing, and so does a
// share of no client. It is safe for concurrent use.
type Share struct {
	client *Client
	outer  *Share // of the call that this one is a part of; nil for none
	held   atomic.Int64
	base   int64 // what it takes beside that; 0 until it is admitted
	// promised is what the client may hold for it and does not yet: it counts with
	// the client only.
	promised atomic.Int64
	asking   atomic.Int64 // attempts whose answers are awaited or held
	leave    func()
	closed   atomic.Bool
}

// Open begins the share of a call of c. leave, if not nil, is called by Close.
func (s *Share) Open(c *Client, leave func()) {
	s.client, s.leave = c, leave
	c.calls.Add(1)
}

// OpenWithin begins the share of a call that is a part of another. What it holds at
// its end the other one holds from then on, for that has its answer.
func (s *Share) OpenWithin(outer *Share) { s.client, s.outer = outer.client, outer }

// root is the share of the client's call, of which this one may be a part.
func (s *Share) root() *Share {
	for s.outer != nil {
		s = s.outer
	}
	return s
}

// Held is how many bytes the call holds.
func (s *Share) Held() int64 { return s.held.Load() }

// Promise waits until the client may hold n bytes more: those of a request whose
// length it has announced. It returns the cause of the end of ctx if that comes
// before. The process counts what has arrived: an announcement costs a client
// nothing, and must not keep memory from others.
func (s *Share) Promise(ctx context.Context, n int64) error {
	if s.client == nil || n <= 0 {
		return nil
	}
	if err := s.client.take(ctx, s, n, false); err != nil {
		return err
	}
	s.promised.Add(n)
	if s.closed.Load() {
		s.Forgo(n)
	}
	return nil
}

// Arrived notes that n bytes of what was promised are held, or refuses them with
// ErrFull.
func (s *Share) Arrived(n int64) error {
	if s.client == nil || n <= 0 {
		return nil
	}
	if err := s.client.process.take(n); err != nil {
		return err
	}
	s.client.held.Add(n - s.takeBack(n)) // what is more than was promised
	s.add(n)
	return nil
}

// Forgo gives up n bytes that were promised, or all of them if that is less.
func (s *Share) Forgo(n int64) {
	if n = s.takeBack(n); n > 0 {
		s.client.give(n)
	}
}

// takeBack takes up to n bytes from what was promised, and returns how many.
func (s *Share) takeBack(n int64) int64 {
	for {
		promised := s.promised.Load()
		n = min(n, promised)
		if n <= 0 || s.promised.CompareAndSwap(promised, promised-n) {
			return max(n, 0)
		}
	}
}

// HasRoom reports whether Promise would not wait now.
func (s *Share) HasRoom(n int64) bool {
	c := s.client
	return c == nil || c.hasRoom(c.held.Load(), n, c.queued.Load() > 0)
}

// ReserveAnswer waits until the client may hold n bytes more, those of an answer of
// the upstream, which goes before requests; from then on it holds them for the call.
// It returns the cause of the end of ctx if that comes before, and ErrFull where the
// process is full. What is reserved is given up by Release, or all at once by Close.
func (s *Share) ReserveAnswer(ctx context.Context, n int64) error {
	if s.client == nil || n <= 0 {
		return nil
	}
	if err := s.client.take(ctx, s, n, true); err != nil {
		return err
	}
	if err := s.client.process.take(n); err != nil {
		s.client.give(n)
		return err
	}
	s.add(n)
	return nil
}

// add notes n bytes of which client and process know. A goroutine that outlives its
// call may come after Close: it gets nothing to keep.
func (s *Share) add(n int64) {
	s.held.Add(n)
	if s.closed.Load() {
		s.Release(n)
	}
}

// Hold adds n bytes that the call holds already, whatever the limits are.
func (s *Share) Hold(n int64) {
	if s.client == nil || n <= 0 {
		return
	}
	s.client.held.Add(n)
	s.client.process.held.Add(n)
	s.add(n)
}

// Release gives n bytes up, or all that the call holds if that is less.
func (s *Share) Release(n int64) {
	if n = s.drop(n); n > 0 {
		s.client.give(n)
		if s.rests() {
			s.client.close(s)
		}
	}
}

// rests reports whether the call holds nothing, like a stream on which nothing moves:
// no other need wait for its end. Of a part of a call it says nothing.
func (s *Share) rests() bool {
	return s.outer == nil && s.held.Load() == 0 && s.promised.Load() == 0
}

// drop is Release but for the client's part, and returns how much that is.
func (s *Share) drop(n int64) int64 {
	for s.client != nil && n > 0 {
		held := s.held.Load()
		if n = min(n, held); s.held.CompareAndSwap(held, held-n) {
			s.client.process.give(n)
			return n
		}
	}
	return 0
}

// Close gives up all that the call holds, or leaves it to the call that this one is
// a part of. What is reserved afterwards is given up at once.
func (s *Share) Close() {
	if s.client == nil {
		return
	}
	s.closed.Store(true)
	s.Forgo(s.promised.Load())
	if s.outer != nil {
		s.outer.add(s.held.Swap(0))
	} else {
		s.Release(s.held.Load())
	}
	s.client.close(s)
	s.client.asking.Add(-s.asking.Swap(0))
	if s.outer == nil {
		s.client.calls.Add(-1)
		s.client.process.base.Add(-s.base)
	}
	if s.leave != nil {
		s.leave()
	}
}
