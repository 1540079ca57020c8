package ratelimit

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// ask is what one call asks of one limit, and what it was told.
type ask struct {
	rule *rule
	id   id
	// known says that the limit was asked, and debt is then how long its bucket
	// would take to be full, in nanoseconds.
	known bool
	debt  int64
	// wait is how long until the bucket holds what the call takes; more than
	// zero refuses the call.
	wait int64
}

// decide settles a bucket that is full at tat, without writing anything.
func (a *ask) decide(tat, now int64) {
	a.known = true
	// A bucket that owes more than it can hold was deeper under other settings.
	a.debt = min(max(tat-now, 0), a.rule.window)
	a.wait = max(a.debt+a.rule.take-a.rule.window, 0)
}

// remaining is how much of the limit is left.
func (a *ask) remaining() int64 { return (a.rule.window - a.debt) / a.rule.unit }

// buckets hold one time per id: when it is full. A bucket that is full is the
// same as none, and its place is taken by others. Safe for concurrent use.
type buckets struct {
	shards  []shard // at most 64; a power of two
	room    int     // ids in one shard
	evicted atomic.Int64
}

// shard is padded to a cache line of its own.
type shard struct {
	mu  sync.Mutex
	tat map[id]int64
	_   [48]byte
}

const (
	maxShards = 64 // one bit each in a mask of those that are locked
	// sampled is how many buckets are looked at when a new one comes: full ones
	// go, so that no more than a few in a hundred of the map are garbage.
	sampled = 8
)

func newBuckets(keys int) *buckets {
	shards := maxShards
	if keys < maxShards*sampled {
		shards = 1
	}
	b := &buckets{shards: make([]shard, shards), room: max(keys/shards, 1)}
	for i := range b.shards {
		b.shards[i].tat = map[id]int64{}
	}
	return b
}

// len is how many ids are held.
func (b *buckets) len() (n int) {
	for i := range b.shards {
		b.shards[i].mu.Lock()
		n += len(b.shards[i].tat)
		b.shards[i].mu.Unlock()
	}
	return n
}

func (b *buckets) index(of id) int { return int(of[0]) & (len(b.shards) - 1) }

func (b *buckets) shard(of id) *shard { return &b.shards[b.index(of)] }

// lock locks the shards of all asks, always in the same order.
func (b *buckets) lock(asks []ask) (locked uint64) {
	for i := range asks {
		locked |= 1 << b.index(asks[i].id)
	}
	for rest := locked; rest != 0; rest &= rest - 1 {
		b.shards[bits.TrailingZeros64(rest)].mu.Lock()
	}
	return locked
}

func (b *buckets) unlock(locked uint64) {
	for rest := locked; rest != 0; rest &= rest - 1 {
		b.shards[bits.TrailingZeros64(rest)].mu.Unlock()
	}
}

// take takes from all buckets, or from none and reports false.
func (b *buckets) take(now int64, asks []ask) bool {
	if len(asks) == 0 {
		return true
	}
	locked := b.lock(asks)
	defer b.unlock(locked)
	if !b.decide(now, asks) {
		b.forgive(now, asks)
		return false
	}
	for i := range asks {
		a := &asks[i]
		a.debt += a.rule.take
		b.put(now, a.id, now+a.debt)
	}
	return true
}

// look is take without taking.
func (b *buckets) look(now int64, asks []ask) bool {
	if len(asks) == 0 {
		return true
	}
	locked := b.lock(asks)
	defer b.unlock(locked)
	return b.decide(now, asks)
}

func (b *buckets) decide(now int64, asks []ask) bool {
	ok := true
	for i := range asks {
		a := &asks[i]
		a.decide(b.shard(a.id).tat[a.id], now)
		ok = ok && a.wait == 0
	}
	return ok
}

// forgive writes down what buckets owe that are shallower than they were, so that
// callers wait for no more than the settings of today.
func (b *buckets) forgive(now int64, asks []ask) {
	for i := range asks {
		a := &asks[i]
		if s := b.shard(a.id); s.tat[a.id] > now+a.debt {
			s.tat[a.id] = now + a.debt
		}
	}
}

// note remembers what was said of buckets elsewhere.
func (b *buckets) note(now int64, asks []ask) {
	locked := b.lock(asks)
	defer b.unlock(locked)
	for i := range asks {
		b.put(now, asks[i].id, now+asks[i].debt)
	}
}

// giveBack returns what asks took, after a time in which the buckets filled by
// themselves: they may have been full since without the call, so that what it
// took is theirs again without our help. To give back more would be a gift.
func (b *buckets) giveBack(elapsed int64, asks []ask) {
	locked := b.lock(asks)
	defer b.unlock(locked)
	for i := range asks {
		a := &asks[i]
		back := max(a.rule.take-elapsed, 0)
		a.debt = max(a.debt-back, 0)
		if s := b.shard(a.id); s.tat[a.id] != 0 {
			s.tat[a.id] -= back
		}
	}
}

// put writes one time. Its shard is locked.
func (b *buckets) put(now int64, of id, tat int64) {
	s := b.shard(of)
	if _, held := s.tat[of]; !held {
		b.makeRoom(s, now)
	}
	s.tat[of] = tat
}

// makeRoom drops full buckets, of a few that it looks at; and where there is no
// room even so, of these the one that is full the soonest. Go's maps begin
// anywhere, so every bucket is looked at some time.
func (b *buckets) makeRoom(s *shard, now int64) {
	var soonest id
	looked, first := 0, int64(0)
	for of, tat := range s.tat {
		if tat <= now {
			delete(s.tat, of)
		} else if first == 0 || tat < first {
			soonest, first = of, tat
		}
		if looked++; looked == sampled {
			break
		}
	}
	if len(s.tat) >= b.room {
		delete(s.tat, soonest)
		b.evicted.Add(1)
	}
}
