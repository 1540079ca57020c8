package compile

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// atOnce is how many calls of a function a goroutine makes before it looks for more:
// enough that it seldom looks.
const atOnce = 64

// eachAtOnce calls f for 0 to n-1, on all processors and in no order, and waits until
// all calls have returned.
func eachAtOnce(n int, f func(i int)) {
	var begun atomic.Int64
	var running sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (n+atOnce-1)/atOnce) {
		running.Go(func() {
			for {
				end := int(begun.Add(atOnce))
				if end-atOnce >= n {
					return
				}
				for i := end - atOnce; i < min(end, n); i++ {
					f(i)
				}
			}
		})
	}
	running.Wait()
}
