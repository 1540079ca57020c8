// Package remember holds what policies remember from table to table.
package remember

import (
	"iter"
	"maps"
	"sync"
)

// Map is what is remembered of each key, made when it is first asked for. It
// outlives tables: the gateway says when a table is begun, all that is asked for
// until it says how that ended is the table's, and what no table needs any more
// is forgotten. Who never says so has nothing forgotten.
//
// A policy embeds it to be an interceptors.Stateful. The zero value is ready. It is
// safe for concurrent use, but for two tables at once.
type Map[K comparable, V any] struct {
	// Busy tells what is needed yet though the table in force does not use it: then it
	// is kept, and the next table asks again. It may be nil.
	Busy func(V) bool

	mu   sync.Mutex
	all  map[K]V
	used map[K]bool // by the table that is being built; nil if none is
	born map[K]bool // for that table
}

// Get returns what is remembered of k, and makes it if there is nothing.
func (m *Map[K, V]) Get(k K, fresh func() V) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.all[k]
	if !ok {
		if m.all == nil {
			m.all = map[K]V{}
		}
		v = fresh()
		m.all[k] = v
	}
	if m.used != nil {
		m.used[k] = true
		m.born[k] = m.born[k] || !ok
	}
	return v
}

// Begin says that a table is compiled from now on.
func (m *Map[K, V]) Begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used, m.born = map[K]bool{}, map[K]bool{}
}

// Commit says that this table is in force now. What it does not use is forgotten,
// unless it is busy.
func (m *Map[K, V]) Commit() {
	m.end(func(k K, v V) bool { return !m.used[k] && (m.Busy == nil || !m.Busy(v)) })
}

// Abandon says that this table was refused. What was made for it is forgotten.
func (m *Map[K, V]) Abandon() { m.end(func(k K, _ V) bool { return m.born[k] }) }

func (m *Map[K, V]) end(forget func(K, V) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.all, forget)
	m.used, m.born = nil, nil
}

// All yields all that is remembered, as it was when asked.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.All(maps.Clone(m.all))
}
