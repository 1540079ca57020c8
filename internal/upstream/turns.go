package upstream

import (
	"sync"
	"sync/atomic"
	"time"
)

// replica is what one of several has had, and is to have.
type replica struct {
	cold   bool // next time it can be called, it begins slowly
	calls  atomic.Int64
	weight float64   // these three are guarded by the lock of turns
	since  time.Time // it can be called
	credit float64   // what it is owed, in calls times the sum of all shares
}

// leastShare is the part of its share that a replica has at first. It grows
// steadily from there.
const leastShare = 0.1

// share is the replica's weight, or as much of it as it may have by now.
func (r *replica) share(window time.Duration, now time.Time) float64 {
	if age := now.Sub(r.since); window > 0 && age < window {
		return r.weight * (leastShare + (1-leastShare)*float64(age)/float64(window))
	}
	return r.weight
}

// turns chooses among replicas in proportion to their shares. The replicas
// outlive it, and so does what each is owed.
type turns struct {
	replicas []*replica
	lock     *sync.Mutex
	window   time.Duration // of the slow start, zero for none
	now      func() time.Time
	random   func() float64
}

// time is only asked for where it matters.
func (t *turns) time() time.Time {
	if t.window == 0 {
		return time.Time{}
	}
	return t.now()
}

// next is the one that is owed most: everybody is owed its share of every call,
// and who is called pays for all. So shares are exact and evenly mixed, whatever
// they are and however they change.
func (t *turns) next() int {
	now := t.time()
	t.lock.Lock()
	defer t.lock.Unlock()
	best, sum := 0, 0.0
	for i, r := range t.replicas {
		share := r.share(t.window, now)
		r.credit += share
		sum += share
		if r.credit > t.replicas[best].credit {
			best = i
		}
	}
	t.replicas[best].credit -= sum
	return best
}

// freer is, of two drawn by their shares, the one that has fewer calls for its
// share; the first if they are alike, so that shares hold without load too.
func (t *turns) freer() int {
	now := t.time()
	t.lock.Lock()
	defer t.lock.Unlock()
	sum := 0.0
	for _, r := range t.replicas {
		sum += r.share(t.window, now)
	}
	a, b := t.draw(sum, now), t.draw(sum, now)
	if t.load(b, now) < t.load(a, now) {
		return b
	}
	return a
}

func (t *turns) draw(sum float64, now time.Time) int {
	point := t.random() * sum
	for i, r := range t.replicas {
		if point -= r.share(t.window, now); point < 0 {
			return i
		}
	}
	return len(t.replicas) - 1 // of a sum that was rounded
}

func (t *turns) load(i int, now time.Time) float64 {
	r := t.replicas[i]
	return float64(r.calls.Load()) / r.share(t.window, now)
}
