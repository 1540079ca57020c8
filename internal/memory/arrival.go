package memory

import (
	"container/list"
	"slices"
	"time"
)

// Arrival is an answer that an upstream has, or a part of one: what it may not send
// unasked. The zero value is ready, for one answer.
type Arrival struct {
	process *Process
	size    int64
	held    int64  // for it; 0 when that was given up
	come    func() // set while it waits
	landed  bool   // it has come, and its call has not taken it yet
	small   bool   // it need not come: its window is not opened for it
	moved   time.Time
	place   *list.Element // among those that wait, or those that come
}

// arrivals are answers that wait: those that are smaller go first, for more of them have
// room, those of about one size in their order.
type arrivals struct {
	queues [3]list.List // of *Arrival
	wanted int64        // bytes
}

// Sizes of answers that wait in the first queue, and in the second.
const (
	smallAnswer  = 32 << 10
	mediumAnswer = 512 << 10
)

func (q *arrivals) of(a *Arrival) *list.List {
	switch {
	case a.size <= smallAnswer:
		return &q.queues[0]
	case a.size <= mediumAnswer:
		return &q.queues[1]
	default:
		return &q.queues[2]
	}
}

func (q *arrivals) push(a *Arrival) {
	a.place = q.of(a).PushBack(a)
	q.wanted += a.size
}

func (q *arrivals) remove(a *Arrival) {
	q.of(a).Remove(a.place)
	q.wanted -= a.size
}

// waits reports whether one must wait before a does.
func (q *arrivals) waits(a *Arrival) bool {
	for i := range q.queues {
		if queue := &q.queues[i]; queue.Len() > 0 {
			return true
		} else if queue == q.of(a) {
			break
		}
	}
	return false
}

// stuck reports whether one has waited for long.
func (q *arrivals) stuck() bool {
	for i := range q.queues {
		if place := q.queues[i].Front(); place != nil {
			a := place.Value.(*Arrival) //nolint:forcetypeassert // the list holds nothing else
			return time.Since(a.moved) > soon
		}
	}
	return false
}

// Let counts an answer of size bytes, and reports whether it may come now. If not, come
// is called when there is room, once and in a goroutine of its own, unless Over is called
// before.
func (p *Process) Let(a *Arrival, size int64, come func()) bool {
	if p == nil || p.limits.Process <= 0 {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	a.process, a.size = p, size
	if !p.arrivals.waits(a) && p.hasRoom(size) {
		p.comes(a)
		return true
	}
	a.come, a.moved = come, time.Now()
	p.arrivals.push(a)
	p.arrivalsWait.Add(1)
	if !p.letting {
		p.letting = true
		go p.letAll()
	}
	return false
}

// hasRoom adds size bytes if there is room. One answer that is larger than all room there
// is comes when there is hardly anything else. The caller holds the lock.
func (p *Process) hasRoom(size int64) bool {
	if p.fits(size) {
		return true
	}
	if crowded := p.crowded(); size <= crowded || p.held.Load() > int64(little*float64(crowded)) {
		return false
	}
	p.held.Add(size)
	return true
}

// comes notes that a may come. The caller holds the lock.
func (p *Process) comes(a *Arrival) {
	a.held, a.come, a.landed, a.moved = a.size, nil, false, time.Now()
	a.place = p.coming.PushBack(a)
}

// letAll lets answers come, in their order, until none waits.
func (p *Process) letAll() {
	tick := time.NewTicker(patienceWhenFull)
	defer tick.Stop()
	for p.letNext() {
		select {
		case <-p.gave:
		case <-tick.C:
			p.forgetLate()
			p.relieve()
		}
	}
}

// letNext lets those come for which there is room, and reports whether any waits still.
func (p *Process) letNext() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.letting = false
	for i := range p.arrivals.queues {
		if !p.letFrom(&p.arrivals.queues[i]) {
			p.letting = true
			break
		}
	}
	return p.letting
}

// letFrom lets those of one queue come, and reports whether all could. The caller holds
// the lock.
func (p *Process) letFrom(queue *list.List) bool {
	for place := queue.Front(); place != nil; place = queue.Front() {
		a := place.Value.(*Arrival) //nolint:forcetypeassert // the list holds nothing else
		if !p.hasRoom(a.size) {
			return false
		}
		p.arrivals.remove(a)
		come := a.come
		p.comes(a)
		p.arrivalsWait.Add(-1)
		go come()
	}
	return true
}

// give notes that n bytes are held no longer.
func (p *Process) give(n int64) { p.change(-n) }

// change notes that n bytes more are held.
func (p *Process) change(n int64) {
	p.held.Add(n)
	if n < 0 && p.arrivalsWait.Load() > 0 {
		select {
		case p.gave <- struct{}{}:
		default:
		}
	}
}

// Moves notes that a part of the answer came.
func (a *Arrival) Moves() {
	p := a.process
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.held > 0 && time.Since(a.moved) > soon/4 {
		a.moved = time.Now()
		p.coming.MoveToBack(a.place)
	}
}

// Landed notes that the answer has come. Its room is that of its call as soon as this one
// takes it, see [Share.Came]. What takes none, since it ends, leaves the room to others
// who need it.
func (a *Arrival) Landed() {
	p := a.process
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.held > 0 && !a.landed {
		a.landed = true
		a.moved = time.Now()
		p.coming.MoveToBack(a.place)
		p.landed[a.size] = append(p.landed[a.size], a)
		p.landings.Add(1)
		if !p.sweeping {
			p.sweeping = true
			time.AfterFunc(soon, p.forgetLanded)
		}
	}
}

// forgetLanded gives up the room of answers that have come and that no call has taken: it
// has ended.
func (p *Process) forgetLanded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLate()
	if p.sweeping = p.landings.Load() > 0; p.sweeping {
		time.AfterFunc(soon, p.forgetLanded)
	}
}

// takeOver takes over the room of an answer of so many bytes that its call has, which it
// waited for as a in the end or that has landed, and returns how much that is.
func (p *Process) takeOver(a *Arrival, size int64) (held int64) {
	if a.process == nil && p.landings.Load() == 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.held > 0 {
		held = p.forget(a)
	}
	if all := p.landed[size]; len(all) > 0 {
		held += p.forget(all[0]) // answers of one size are alike
	}
	return held
}

// Over notes that no more of the answer comes.
func (a *Arrival) Over() {
	p := a.process
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case a.come != nil:
		p.arrivals.remove(a)
		p.arrivalsWait.Add(-1)
		a.come = nil
	case a.held > 0:
		p.stops(a)
	}
}

// stops gives up the room of an answer that comes or has come. The caller holds the lock.
func (p *Process) stops(a *Arrival) { p.give(p.forget(a)) }

// forget forgets an answer that comes or has come, and returns what is held for it. The
// caller holds the lock.
func (p *Process) forget(a *Arrival) (held int64) {
	if a.landed {
		all := p.landed[a.size]
		i := slices.Index(all, a)
		if all = slices.Delete(all, i, i+1); len(all) > 0 {
			p.landed[a.size] = all
		} else {
			delete(p.landed, a.size)
		}
		p.landings.Add(-1)
	}
	p.coming.Remove(a.place)
	held, a.held = a.held, 0
	return held
}

// dropLate gives up the room of answers that no call has taken, and of those that have not
// moved for so long that no call waits for them. The caller holds the lock.
func (p *Process) dropLate() {
	var next *list.Element
	for place := p.coming.Front(); place != nil; place = next {
		next = place.Next()
		a := place.Value.(*Arrival) //nolint:forcetypeassert // the list holds nothing else
		idle := time.Since(a.moved)
		if idle < soon {
			break
		}
		if a.landed || a.small || idle > longest {
			p.stops(a)
		}
	}
}

// IsCrowded reports whether small answers must ask for room, too: half of it could be
// needed if each running call had one.
func (s *Share) IsCrowded() bool {
	if s.client == nil {
		return false
	}
	p := s.client.process
	return p.limits.Process > 0 && p.held.Load()+p.base.Load() > p.crowded()/2
}

// LetSmall is [Process.Let] of the call's process, which there must be, for an answer that
// the upstream may have sent, and may send much later. Its room is given up then.
func (s *Share) LetSmall(a *Arrival, size int64, come func()) bool {
	a.small = true
	return s.client.process.Let(a, size, come)
}
