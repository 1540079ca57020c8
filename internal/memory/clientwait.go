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
	ended time.Time     // zero while it goes on
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
	w.share, w.end, w.since, w.ended = s, end, time.Now(), time.Time{}
	p := s.client.process
	p.mu.Lock()
	defer p.mu.Unlock()
	w.place = p.waits.PushBack(w)
}

// Moves notes that the client has done a part of it, such as to take 64 KiB.
func (w *ClientWait) Moves() {
	if w.share == nil {
		return
	}
	p := w.share.client.process
	p.mu.Lock()
	defer p.mu.Unlock()
	if now, since := time.Now(), w.since.Add(perPart); since.Before(now) {
		w.since = since
	} else {
		w.since = now
	}
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
func (w *ClientWait) Ended() bool { return !w.ended.IsZero() }

// A client that takes less than patience is not slow. When the process is full it has
// less time: until others are ended, nobody else is served.
const (
	patience         = time.Second
	patienceWhenFull = 100 * time.Millisecond
	// perPart is how long a client may take for a part of what it is waited for.
	perPart = patience / 4
)

// relieve ends calls that wait for their clients, those that have waited longest
// first, until what they hold would bring the process out of the spare part, and running
// calls and the heap below what is tight.
func (p *Process) relieve() {
	if now, last := time.Now().UnixNano(), p.heap.relieved.Load(); now-last < int64(fresh) || !p.heap.relieved.CompareAndSwap(last, now) {
		return // there may be thousands of calls to look at, and as many that are refused
	}
	slow := patience
	if p.Full() || p.load() > high {
		slow = patienceWhenFull
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.endSlow(slow) == 0 {
		p.endLargest()
	}
}

// endSlow ends calls that have waited so long for their clients, and returns how many. The
// caller holds the lock.
func (p *Process) endSlow(slow time.Duration) (ended int) {
	over := p.endStalled(p.over(), slow)
	for place := p.waits.Front(); place != nil && over > 0; place = place.Next() {
		w := place.Value.(*ClientWait) //nolint:forcetypeassert // the list holds nothing else
		if time.Since(w.since) < slow {
			continue // those behind it may have moved less
		}
		if w.ended.IsZero() {
			w.ended = time.Now()
			p.ended.Add(1)
			w.end()
			ended++
		} else if time.Since(w.ended) > patience {
			continue // nothing has come of it yet
		}
		over -= w.share.held.Load() + w.share.base
	}
	return ended
}
