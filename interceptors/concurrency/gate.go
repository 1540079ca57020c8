package concurrency

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// gate counts the calls that run and holds those that wait. Its fields are
// guarded by lock.
type gate struct {
	lock    *sync.Mutex // its own, or that of the shard it is in
	used    int
	waiting queue
	came    uint64           // how many have waited, ever
	idle    func(who caller) // told, under lock, when nobody is here; may be nil
	who     caller           // whose gate it is, for idle
}

func newGate() *gate { return &gate{lock: new(sync.Mutex)} }

// find makes a gate a room for all.
func (g *gate) find(context.Context) *gate {
	g.lock.Lock()
	return g
}

func (g *gate) count() (running, waiting int) {
	g.lock.Lock()
	defer g.lock.Unlock()
	return g.used, len(g.waiting)
}

// waiter is a call in the queue.
type waiter struct {
	deadline time.Time     // zero is never
	came     uint64        // who came first goes first, among equals
	calls    int           // the limit that it came with
	ready    chan struct{} // closed when it may go on
	place    int           // in the queue; negative when it has left
}

// enter takes a place, waiting for it if that makes sense. The caller gives the
// place back with leave.
func (l *limit) enter(ctx context.Context) (*gate, error) {
	g := l.room.find(ctx)
	if g.used < l.calls {
		g.used++
		g.lock.Unlock()
		return g, nil
	}
	deadline, bound := ctx.Deadline()
	if len(g.waiting) >= l.queue || bound && time.Until(deadline) < l.maxWait {
		g.lock.Unlock()
		return nil, l.refusal
	}
	g.came++
	w := &waiter{deadline: deadline, came: g.came, calls: l.calls, ready: make(chan struct{})}
	heap.Push(&g.waiting, w)
	g.lock.Unlock()
	if err := l.wait(ctx, g, w); err != nil {
		return nil, err
	}
	return g, nil
}

func (l *limit) wait(ctx context.Context, g *gate, w *waiter) error {
	timer := time.NewTimer(l.maxWait)
	defer timer.Stop()
	select {
	case <-w.ready:
		return nil
	case <-timer.C:
		if g.withdraw(w) {
			return l.refusal
		}
		return nil // its turn came in the same moment
	case <-ctx.Done():
		if !g.withdraw(w) {
			g.leave()
		}
		return ended(ctx.Err())
	}
}

// ended is how a call ends that did so while it waited here. That its deadline
// passed is then no fault of the upstream's.
func ended(err error) error {
	fault := call.Gateway
	if errors.Is(err, context.Canceled) {
		fault = call.Client
	}
	return call.RefuseStatus(fault, call.StatusOf(err)).By(name)
}

// withdraw takes w out of the queue; it is false if w has its place already.
func (g *gate) withdraw(w *waiter) bool {
	g.lock.Lock()
	defer g.lock.Unlock()
	if w.place < 0 {
		return false
	}
	heap.Remove(&g.waiting, w.place)
	return true
}

// leave gives a place back, to the next who waits.
func (g *gate) leave() {
	g.lock.Lock()
	defer g.lock.Unlock()
	g.used--
	for i := g.waiting.next(g.used); i >= 0; i = g.waiting.next(g.used) {
		w := heap.Remove(&g.waiting, i).(*waiter)
		g.used++
		close(w.ready)
	}
	if g.used == 0 && g.idle != nil {
		g.idle(g.who)
	}
}

// queue is a heap: the first is the one whose deadline is the next to pass.
type queue []*waiter

// next is the place of the first waiter whose limit lets it go on while so many
// run, or negative. Limits differ only between RPCs that share an upstream, and
// between tables.
func (q queue) next(running int) int {
	if len(q) > 0 && running < q[0].calls {
		return 0
	}
	found := -1
	for i, w := range q {
		if running < w.calls && (found < 0 || q.Less(i, found)) {
			found = i
		}
	}
	return found
}

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	if a.deadline.Equal(b.deadline) {
		return a.came < b.came
	}
	if a.deadline.IsZero() || b.deadline.IsZero() {
		return b.deadline.IsZero()
	}
	return a.deadline.Before(b.deadline)
}

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push is for package heap.
func (q *queue) Push(x any) {
	w := x.(*waiter)
	w.place = len(*q)
	*q = append(*q, w)
}

// Pop is for package heap.
func (q *queue) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	w.place = -1
	return w
}
