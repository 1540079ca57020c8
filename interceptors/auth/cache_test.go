package auth

import (
	"sync"
	"testing"
)

func TestCacheIsBounded(t *testing.T) {
	const limit, weight = 1600, 10
	c := newCache[int](limit, func(int) uint32 { return weight })
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 10000 {
				c.Set(g*10000+i, i)
				c.Set(g*10000+i, i) // the same weighs no more
				c.GetIfPresent(i)
			}
		})
	}
	wg.Wait()
	c.CleanUp()
	if total := c.WeightedSize(); total > limit || total < limit/2 {
		t.Errorf("the weight held is %d; want nearly %d", total, limit)
	}
	heavy := newCache[int](limit, func(int) uint32 { return limit + 1 })
	heavy.Set(1, 1)
	if _, ok := heavy.GetIfPresent(1); ok {
		t.Error("what is heavier than all is held")
	}
}
