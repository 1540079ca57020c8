package idempotency

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/answers"
)

// fingerprint is the SHA-256 of a request's bytes, and of what else tells its call
// from another under the same key.
type fingerprint [32]byte

// token tells calls with one key apart.
type token [16]byte

// ticket is a call's claim to a key.
type ticket struct {
	of    id
	owner owner // whose share of the memory it takes
	sent  fingerprint
	token token
}

// claim is what a call that asks for a key is told: that it has it (won), or else
// what the first call with it sent and was answered; a nil answer says that it
// still runs.
type claim struct {
	won    bool
	sent   fingerprint
	answer *answers.Answer
}

// store keeps keys. A call that has won one either keeps its answer or frees it.
type store interface {
	claim(ctx context.Context, t *ticket, lease time.Duration) (claim, error)
	// renew lengthens the lease of a call that runs.
	renew(ctx context.Context, t *ticket, lease time.Duration) error
	// keep keeps an answer, if the key is still the call's.
	keep(ctx context.Context, t *ticket, a *answers.Answer, ttl time.Duration) error
	// free frees the key, if it is still the call's.
	free(ctx context.Context, t *ticket) error
}

// Errors of the memory. A key that was given before is answered in any case.
var (
	errFull  = errors.New("the memory for keys is full")
	errShare = errors.New("the caller's share of the memory for keys is full")
)

// memory is the store in this process. A running call has no lease here: it ends
// with the process at the latest.
//
// A key is never forgotten before its time: it is a promise. So when there is no
// room, new keys are refused, and since all keys take room, each owner has a share
// of it. An answer for which there is no room is not kept, but its key is. New keys
// may fill three quarters, so that the answers to calls that run find room.
type memory struct {
	max, share int64

	mu      sync.Mutex
	entries map[id]*entry
	owners  map[owner]int64 // bytes
	kept    byExpiry        // entries with an answer
	bytes   int64
	full    int64 // keys refused for want of room
	over    int64 // keys refused for want of room in their owner's share
	unkept  int64 // answers not kept for want of room
}

type entry struct {
	ticket
	answer  *answers.Answer // nil while the call runs
	size    int64
	expires time.Time
	index   int // in the heap, once there is an answer
}

// isOver reports whether the time of the key is over.
func (e *entry) isOver(now time.Time) bool { return e.answer != nil && !now.Before(e.expires) }

// overhead is about what an entry takes beside its answer, one that says that the
// answer was not kept included.
const overhead = 1024

func newMemory(maxBytes, share int64) *memory {
	return &memory{max: maxBytes, share: share, entries: map[id]*entry{}, owners: map[owner]int64{}}
}

var _ store = (*memory)(nil)

func (m *memory) claim(_ context.Context, t *ticket, _ time.Duration) (claim, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	full := func() bool { return m.bytes+overhead > m.max/4*3 }
	over := func() bool { return m.owners[t.owner]+overhead > m.share }
	m.sweep(now, func() bool { return full() || over() })
	if e := m.entries[t.of]; e != nil {
		if !e.isOver(now) {
			return claim{sent: e.sent, answer: e.answer}, nil
		}
		heap.Remove(&m.kept, e.index)
		m.drop(e)
	}
	switch {
	case full():
		m.full++
		return claim{}, errFull
	case over():
		m.over++
		return claim{}, errShare
	}
	m.add(t)
	return claim{won: true}, nil
}

// peek is claim without claiming: it finds answers only.
func (m *memory) peek(of id) (claim, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[of]
	if e == nil || e.answer == nil || e.isOver(time.Now()) {
		return claim{}, false
	}
	return claim{sent: e.sent, answer: e.answer}, true
}

func (m *memory) renew(context.Context, *ticket, time.Duration) error { return nil }

// keep fails with errFull where there is no room even for the key, of a call that
// another store has lost.
func (m *memory) keep(_ context.Context, t *ticket, a *answers.Answer, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, size := time.Now(), int64(a.Size())
	m.sweep(now, func() bool { return m.bytes+overhead+size > m.max || m.owners[t.owner]+size > m.share })
	e := m.entries[t.of]
	if e == nil {
		if m.bytes+overhead > m.max {
			m.full++
			return errFull
		}
		e = m.add(t)
	}
	if e.token != t.token || e.answer != nil {
		return nil
	}
	if m.bytes+size > m.max || m.owners[t.owner]+size > m.share {
		m.unkept++
		a, size = notKept(), 0 // has its place in overhead
	}
	e.answer, e.expires = a, now.Add(ttl)
	m.grow(e, size)
	heap.Push(&m.kept, e)
	return nil
}

func (m *memory) free(_ context.Context, t *ticket) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[t.of]; e != nil && e.token == t.token && e.answer == nil {
		m.drop(e)
	}
	return nil
}

// swept is how many keys a call looks at whose time may be over.
const swept = 16

// sweep drops keys whose time is over: a few, so that no call does the work of many
// others, and more only where the call itself is short of room.
func (m *memory) sweep(now time.Time, short func() bool) {
	for n := 0; len(m.kept) > 0 && m.kept[0].isOver(now) && (n < swept || short()); n++ {
		e, _ := heap.Pop(&m.kept).(*entry)
		m.drop(e)
	}
}

func (m *memory) add(t *ticket) *entry {
	e := &entry{ticket: *t}
	m.entries[t.of] = e
	m.grow(e, overhead)
	return e
}

func (m *memory) drop(e *entry) {
	delete(m.entries, e.of)
	m.grow(e, -e.size)
}

// grow counts bytes of an entry.
func (m *memory) grow(e *entry, by int64) {
	e.size += by
	m.bytes += by
	if m.owners[e.owner] += by; m.owners[e.owner] == 0 {
		delete(m.owners, e.owner)
	}
}

// memoryState is for metrics.
type memoryState struct{ answers, bytes, full, over, unkept int64 }

func (m *memory) state() memoryState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return memoryState{int64(len(m.kept)), m.bytes, m.full, m.over, m.unkept}
}

// byExpiry is a heap: the entry that expires first is the first.
type byExpiry []*entry

func (h *byExpiry) Len() int           { return len(*h) }
func (h *byExpiry) Less(i, j int) bool { return (*h)[i].expires.Before((*h)[j].expires) }

// Swap swaps two entries, which know where they are.
func (h *byExpiry) Swap(i, j int) {
	s := *h
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

// Push adds an entry at the end.
func (h *byExpiry) Push(x any) {
	if e, ok := x.(*entry); ok {
		e.index = len(*h)
		*h = append(*h, e)
	}
}

// Pop takes the last entry away.
func (h *byExpiry) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
