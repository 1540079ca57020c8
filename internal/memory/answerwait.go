package memory

import "container/list"

// AnswerWait is a call that waits for its upstream's answer and may hold what others need:
// its request, or the answers of steps before. The zero value is ready, for one wait.
type AnswerWait struct {
	share *Share
	end   func()
	ended bool // guarded by the process's mu
	place *list.Element
}

// Begin notes that the call of s waits. end is called, from any goroutine and at most once,
// if answers find no room and nobody who keeps the gateway waiting could be ended: calls
// that hold room would wait for one another. It must have the call end soon, and must not
// block. It is not called any more when Done has returned.
func (w *AnswerWait) Begin(s *Share, end func()) {
	w.share, w.end = s, end
	p := s.client.process
	p.mu.Lock()
	defer p.mu.Unlock()
	w.place = p.answerWaits.PushBack(w)
}

// Done notes that the answer is there, or that none comes. It reports whether the call was
// ended.
func (w *AnswerWait) Done() (ended bool) {
	p := w.share.client.process
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answerWaits.Remove(w.place)
	return w.ended
}

// endLargest ends the call that holds most of those that wait for answers, where these wait
// long for room. The caller holds the lock.
func (p *Process) endLargest() {
	if !p.arrivals.stuck() {
		return
	}
	var largest *AnswerWait
	most := int64(smallAnswer)
	for place := p.answerWaits.Front(); place != nil; place = place.Next() {
		w := place.Value.(*AnswerWait) //nolint:forcetypeassert // the list holds nothing else
		if held := w.share.root().held.Load(); !w.ended && held > most {
			largest, most = w, held
		}
	}
	if largest != nil {
		largest.ended = true
		p.refused.Add(1)
		largest.end()
	}
}
