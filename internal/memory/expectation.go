package memory

import (
	"container/list"
	"context"
	"time"
)

// Expectation is room for an answer that has begun to come. The zero value is ready,
// for one answer.
type Expectation struct {
	share *Share
	size  int64 // guarded by the process's mu; 0 when the room was given up
	since time.Time
	place *list.Element
}

const (
	// soon is how long room is kept for an answer that has begun to come, where others
	// need the room.
	soon = time.Second
	// longest is how long it is kept for one whose window is open: it cannot be closed.
	longest = time.Minute
)

// Ask notes that an upstream is asked for an answer of at most size bytes, and
// reports whether Expect must be called before that is received: else the answers
// that the client awaits could be more together than it may hold.
func (s *Share) Ask(size int64) bool {
	if s.client == nil || s.client.limit <= 0 {
		return false
	}
	s.asking.Add(size)
	return s.client.asking.Add(size) > s.client.limit
}

// Unask takes back what was asked for: no answer of that kind is awaited any more.
func (s *Share) Unask(size int64) {
	if s.client != nil && s.client.limit > 0 {
		s.asking.Add(-size)
		s.client.asking.Add(-size)
	}
}

// AwaitRoom waits until the client holds no more than it may. It keeps nothing.
func (s *Share) AwaitRoom(ctx context.Context) error {
	c := s.client
	if c == nil || c.limit <= 0 || c.held.Load() <= c.limit {
		return nil
	}
	if err := c.take(ctx, s, small+1, true); err != nil { // what is small would not wait
		return err
	}
	c.give(small + 1)
	return nil
}

// Expect waits until the client may hold an answer of at most size bytes, of which
// the beginning has come. The caller calls Came next. The process counts the answer
// when it comes, see [Process.Let].
func (s *Share) Expect(ctx context.Context, e *Expectation, size int64) error {
	if s.client == nil {
		return nil
	}
	if err := s.client.take(ctx, s, size, true); err != nil {
		return err
	}
	s.promised.Add(size)
	if s.closed.Load() {
		s.Forgo(size)
	}
	e.share, e.size, e.since = s, size, time.Now()
	p := s.client.process
	p.mu.Lock()
	defer p.mu.Unlock()
	e.place = p.expected.PushBack(e)
	return nil
}

// Came notes that the answer has come, of so many bytes, or that none will. They are
// held from then on. It reports whether the answer was so late that its room was given
// up. a is what [Share.LetSmall] let come.
func (s *Share) Came(e *Expectation, a *Arrival, size int64) (late bool) {
	if s.client != nil && size > 0 {
		s.client.held.Add(size)
		s.client.process.change(size - s.client.process.takeOver(a, size))
		s.add(size)
	} else {
		a.Over()
	}
	if e.share == nil {
		return false
	}
	p := s.client.process
	p.mu.Lock()
	kept := e.size
	e.size = 0
	p.expected.Remove(e.place)
	p.mu.Unlock()
	s.Forgo(kept)
	return kept == 0
}

// forgetLate gives up the room that is kept for answers that are late: they hold
// none until they have come.
func (p *Process) forgetLate() {
	for _, s := range p.takeLate() {
		s.client.settle(s)
	}
}

// takeLate gives up the room, and returns the calls that had it.
func (p *Process) takeLate() (late []*Share) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for place := p.expected.Front(); place != nil; place = place.Next() {
		e := place.Value.(*Expectation) //nolint:forcetypeassert // the list holds nothing else
		if time.Since(e.since) < soon {
			break
		}
		if e.size > 0 {
			e.share.client.held.Add(-e.share.takeBack(e.size))
			e.size = 0
			late = append(late, e.share)
		}
	}
	p.dropLate()
	return late
}

// settle lets others go on after s has given up room.
func (c *Client) settle(s *Share) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.rests() && c.beyond.Load() == s {
		c.beyond.Store(nil)
	}
	c.admit()
}
