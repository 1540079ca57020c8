package auth

import "github.com/maypok86/otter/v2"

// newCache makes a cache that keeps values up to a total weight, those that are asked
// for rather than others. It is safe for concurrent use and owns no goroutine.
func newCache[K comparable, V any](limit uint64, weigh func(V) uint32) *otter.Cache[K, V] {
	return otter.Must(&otter.Options[K, V]{
		MaximumWeight: limit,
		Weigher:       func(_ K, v V) uint32 { return weigh(v) },
		Executor:      func(f func()) { f() },
	})
}

// one is the weight of a value where values are counted.
func one[V any](V) uint32 { return 1 }
