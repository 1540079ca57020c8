package idempotency

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// fingerprint is the SHA-256 of a request's bytes.
type fingerprint [32]byte

// claim is what a call that asks for a key is told: that it has it (won), or else
// what the first call with it sent and was answered; a nil answer says that it
// still runs.
type claim struct {
	won    bool
	sent   fingerprint
	answer *answer
}

// store keeps keys. A call that has won one either keeps its answer or frees it.
// token is the call's own.
type store interface {
	claim(ctx context.Context, of id, sent fingerprint, token token, lease time.Duration) (claim, error)
	// renew lengthens the lease of a call that runs.
	renew(ctx context.Context, of id, sent fingerprint, token token, lease time.Duration) error
	// keep keeps an answer, if the key is still the call's.
	keep(ctx context.Context, of id, sent fingerprint, token token, a *answer, ttl time.Duration) error
	// free frees the key, if it is still the call's.
	free(ctx context.Context, of id, sent fingerprint, token token) error
}

// token tells calls with one key apart.
type token [16]byte

// memory is the store in this process. Calls that run take a few bytes each and
// are as many as run; answers take at most max bytes, the oldest go first. A
// running call has no lease here: it ends with the process at the latest.
type memory struct {
	max int64

	mu      sync.Mutex
	entries map[id]*entry
	kept    list.List // of id, the oldest answer first
	bytes   int64
	evicted int64 // answers dropped before their time
}

type entry struct {
	sent    fingerprint
	token   token
	answer  *answer // nil while the call runs
	size    int64
	expires time.Time
	place   *list.Element
}

// overhead is about what an entry takes beside its answer.
const overhead = 512

func newMemory(maxBytes int64) *memory {
	return &memory{max: maxBytes, entries: map[id]*entry{}}
}

var _ store = (*memory)(nil)

func (m *memory) claim(_ context.Context, of id, sent fingerprint, token token, _ time.Duration) (claim, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[of]
	if e != nil && e.answer != nil && !time.Now().Before(e.expires) {
		m.drop(of, e)
		e = nil
	}
	if e != nil {
		return claim{sent: e.sent, answer: e.answer}, nil
	}
	m.entries[of] = &entry{sent: sent, token: token}
	return claim{won: true}, nil
}

// peek is claim without claiming: it finds answers only.
func (m *memory) peek(of id) (claim, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[of]
	if e == nil || e.answer == nil || !time.Now().Before(e.expires) {
		return claim{}, false
	}
	return claim{sent: e.sent, answer: e.answer}, true
}

func (m *memory) renew(context.Context, id, fingerprint, token, time.Duration) error { return nil }

func (m *memory) keep(_ context.Context, of id, sent fingerprint, token token, a *answer, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[of]
	if e == nil {
		e = &entry{sent: sent, token: token} // of a call that another store lost
		m.entries[of] = e
	}
	if e.token != token || e.answer != nil {
		return nil
	}
	now := time.Now()
	e.answer, e.size, e.expires = a, int64(a.size())+overhead, now.Add(ttl)
	e.place = m.kept.PushBack(of)
	m.bytes += e.size
	m.makeRoom(now)
	return nil
}

func (m *memory) free(_ context.Context, of id, _ fingerprint, token token) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[of]; e != nil && e.token == token && e.answer == nil {
		delete(m.entries, of)
	}
	return nil
}

// makeRoom drops the oldest answers: those whose time is over, and as many others
// as it takes.
func (m *memory) makeRoom(now time.Time) {
	for first := m.kept.Front(); first != nil; first = m.kept.Front() {
		of, _ := first.Value.(id)
		e := m.entries[of]
		expired := !now.Before(e.expires)
		if m.bytes <= m.max && !expired {
			return
		}
		if !expired {
			m.evicted++
		}
		m.drop(of, e)
	}
}

func (m *memory) drop(of id, e *entry) {
	m.kept.Remove(e.place)
	m.bytes -= e.size
	delete(m.entries, of)
}

// state is for metrics.
func (m *memory) state() (answers int, bytes, evicted int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept.Len(), m.bytes, m.evicted
}
