package concurrency

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// gate counts the calls that run and holds those that wait. Its fields are
// guarded by lock.
type gate struct {
	lock    *sync.Mutex // its own, or that of the shard it is in
	used    int
	waiting []*waiter        // in the order of their turns
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
	calls    int           // the limit that it came with
	ready    chan struct{} // closed when it may go on
}

// enter takes a place, waiting for it if that makes sense. The caller gives the
// place back with Leave.
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
	w := &waiter{deadline: deadline, calls: l.calls, ready: make(chan struct{})}
	g.queueUp(w)
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
			g.Leave()
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
	i := slices.Index(g.waiting, w)
	if i < 0 {
		return false
	}
	g.waiting = slices.Delete(g.waiting, i, i+1)
	return true
}

var _ call.Place = (*gate)(nil)

// Leave gives a place back, to the next who waits.
func (g *gate) Leave() {
	g.lock.Lock()
	defer g.lock.Unlock()
	g.used--
	for {
		// Limits differ only between RPCs that share an upstream, and between
		// tables: mostly it is the first, or none.
		i := slices.IndexFunc(g.waiting, func(w *waiter) bool { return g.used < w.calls })
		if i < 0 {
			break
		}
		close(g.waiting[i].ready)
		g.waiting = slices.Delete(g.waiting, i, i+1)
		g.used++
	}
	if g.used == 0 && g.idle != nil {
		g.idle(g.who)
	}
}

// queueUp puts w behind those whose deadline is not later than its own.
func (g *gate) queueUp(w *waiter) {
	i, _ := slices.BinarySearchFunc(g.waiting, w, func(other, w *waiter) int {
		if w.before(other) {
			return 1
		}
		return -1
	})
	g.waiting = slices.Insert(g.waiting, i, w)
}

func (w *waiter) before(other *waiter) bool {
	if w.deadline.IsZero() || other.deadline.IsZero() {
		return !w.deadline.IsZero() && other.deadline.IsZero()
	}
	return w.deadline.Before(other.deadline)
}
