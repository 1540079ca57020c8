package auth

import (
	"sync"
	"testing"
)

func TestCacheIsBounded(t *testing.T) {
	const limit, weight = 1600, 10
	c := newCache[int, int](limit)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 10000 {
				c.put(g*10000+i, i, weight)
				c.put(g*10000+i, i, weight) // the same weighs no more
				c.get(i)
			}
		})
	}
	wg.Wait()
	total, held := 0, 0
	for i := range c.shards {
		total += c.shards[i].weight
		held += len(c.shards[i].held)
	}
	if total > limit || total != held*weight || held < limit/weight/2 {
		t.Errorf("%d held, of the weight %d; want nearly %d", held, total, limit)
	}
	c.put(-1, 1, limit)
	if _, ok := c.get(-1); ok {
		t.Error("what is heavier than all is held")
	}
	c.put(-2, 2, weight)
	if v, ok := c.get(-2); !ok || v != 2 {
		t.Errorf("get = %v, %v", v, ok)
	}
	c.remove(-2)
	if _, ok := c.get(-2); ok {
		t.Error("what was removed is held")
	}
}
