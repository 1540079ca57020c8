package memory

import (
	"container/list"
	"time"
)

// ClientWait is a call that waits for its client: to take an answer, or to send the
// rest of a request. The zero value is ready; it is used for one wait at a time.
type ClientWait struct {
	share *Share
	end   func()
	since time.Time
	ended bool
	place *list.Element // among all, the longest first
}

// Begin notes that the call of s begins to wait. end is called, from any goroutine
// and at most once, if the process is full and this call is among those that have
// waited longest: it must have the call end soon, and must not block. It is not called
// any more when Done has returned. Begin has no effect while the wait runs.
func (w *ClientWait) Begin(s *Share, end func()) {
	if s.client == nil || w.share != nil {
		return
	}
	w.share, w.end, w.since, w.ended = s, end, time.Now(), false
	p := s.client.process
	p.mu.Lock()
	defer p.mu.Unlock()
	w.place = p.waits.PushBack(w)
}

// Done notes that the client has done what the call waited for, or that the call waits
// no longer.
func (w *ClientWait) Done() {
	if w.share == nil {
		return
	}
	p := w.share.client.process
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waits.Remove(w.place)
	w.share = nil
}

// Ended reports whether the last wait, which is done, was ended to make room.
func (w *ClientWait) Ended() bool { return w.ended }

// A client that takes less than patience is not slow. When the process is full it has
// less time: until others are ended, nobody else is served.
const (
	patience         = time.Second
	patienceWhenFull = 100 * time.Millisecond
)

// relieve ends calls that wait for their clients, those that have waited longest
// first, until what they hold would bring the process out of the spare part.
func (p *Process) relieve() {
	slow := patience
	if p.Full() {
		slow = patienceWhenFull
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	over := p.held.Load() - p.crowded()
	for place := p.waits.Front(); place != nil && over > 0; place = place.Next() {
		w := place.Value.(*ClientWait) //nolint:forcetypeassert // the list holds nothing else
		if time.Since(w.since) < slow {
			return
		}
		over -= w.share.held.Load()
		if !w.ended {
			w.ended = true
			p.ended.Add(1)
			w.end()
		}
	}
}
