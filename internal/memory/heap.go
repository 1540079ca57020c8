package memory

import (
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// heap looks at what Go's runtime has in use, for what is accounted for nowhere:
// headers, goroutines, the buffers of transports.
type heap struct {
	limit int64 // 0: none
	asked atomic.Int64
	used  atomic.Int64
}

const (
	// fresh is for how long an answer of the runtime is good.
	fresh = 50 * time.Millisecond
	// tight is the part of the limit from which clients with more than few calls have
	// no new ones.
	tight = 0.65
	few   = 8
)

// isTight reports whether much of the limit is in use: what was in use at the last
// collection, and the stacks now. Garbage does not count: near its limit the runtime
// collects as often as it must.
func (h *heap) isTight() bool {
	if h.limit <= 0 {
		return false
	}
	now, last := time.Now().UnixNano(), h.asked.Load()
	if now-last > int64(fresh) && h.asked.CompareAndSwap(last, now) {
		inUse := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
		metrics.Read(inUse)
		h.used.Store(int64(inUse[0].Value.Uint64() + inUse[1].Value.Uint64()))
	}
	return float64(h.used.Load()) > tight*float64(h.limit)
}
