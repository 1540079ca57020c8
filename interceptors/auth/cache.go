package auth

import (
	"hash/maphash"
	"sync"
)

// cacheShards keeps calls on many cores out of each other's way.
const cacheShards = 16

// cache keeps values up to a total weight; beyond it any of the others go. It is
// safe for concurrent use.
type cache[K comparable, V any] struct {
	seed   maphash.Seed
	shards [cacheShards]cacheShard[K, V]
	limit  int // weight of one shard
}

type cacheShard[K comparable, V any] struct {
	mu     sync.Mutex
	held   map[K]weighed[V]
	weight int
}

type weighed[V any] struct {
	value  V
	weight int
}

func newCache[K comparable, V any](limit int) *cache[K, V] {
	c := &cache[K, V]{seed: maphash.MakeSeed(), limit: limit / cacheShards}
	for i := range c.shards {
		c.shards[i].held = map[K]weighed[V]{}
	}
	return c
}

func (c *cache[K, V]) shard(k K) *cacheShard[K, V] {
	return &c.shards[maphash.Comparable(c.seed, k)%cacheShards]
}

func (c *cache[K, V]) get(k K) (V, bool) {
	s := c.shard(k)
	s.mu.Lock()
	w, ok := s.held[k]
	s.mu.Unlock()
	return w.value, ok
}

func (c *cache[K, V]) put(k K, v V, weight int) {
	if weight > c.limit {
		return
	}
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(k)
	for other := range s.held { // in an order of chance
		if s.weight+weight <= c.limit {
			break
		}
		s.remove(other)
	}
	s.held[k] = weighed[V]{v, weight}
	s.weight += weight
}

func (c *cache[K, V]) remove(k K) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(k)
}

func (s *cacheShard[K, V]) remove(k K) {
	if w, ok := s.held[k]; ok {
		delete(s.held, k)
		s.weight -= w.weight
	}
}
