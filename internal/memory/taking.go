package memory

import (
	"container/list"
	"time"
)

// Taking is a client that takes an answer. The zero value is ready; it is used for
// one answer at a time.
type Taking struct {
	share *Share
	end   func()
	since time.Time
	ended bool
	place *list.Element // among all, the slowest first
}

// Begin notes that a client begins to take an answer that its call holds. end is
// called, from any goroutine and at most once, if the process is full and this
// reader is among the slowest: it must have the call end soon. It is not called any
// more when Done has returned.
func (t *Taking) Begin(s *Share, end func()) {
	if s.client == nil {
		return
	}
	t.share, t.end, t.since, t.ended = s, end, time.Now(), false
	p := s.client.process
	p.mu.Lock()
	defer p.mu.Unlock()
	t.place = p.takers.PushBack(t)
}

// Done notes that the client has taken what there was.
func (t *Taking) Done() {
	if t.share == nil {
		return
	}
	p := t.share.client.process
	p.mu.Lock()
	defer p.mu.Unlock()
	p.takers.Remove(t.place)
	t.share = nil
}

// patience is how long a reader may take to be no slow one.
const patience = time.Second

// relieve ends readers, the slowest first, until what they hold would bring the
// process out of the spare part.
func (p *Process) relieve() {
	p.mu.Lock()
	defer p.mu.Unlock()
	over := p.held.Load() - p.crowded()
	for place := p.takers.Front(); place != nil && over > 0; place = place.Next() {
		t := place.Value.(*Taking) //nolint:forcetypeassert // the list holds nothing else
		if time.Since(t.since) < patience {
			return
		}
		over -= t.share.held.Load()
		if !t.ended {
			t.ended = true
			p.ended.Add(1)
			t.end()
		}
	}
}
