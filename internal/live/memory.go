package live

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync"

	"github.com/KimMachineGun/automemlimit/memlimit"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

const (
	// usable is the part of a memory limit that the process uses. The rest is for memory
	// that Go's runtime does not count.
	usable = 0.8
	// forClients is the part of the limit that clients may fill. The rest is for the
	// gateway itself, its caches, and garbage that Go has not collected yet.
	forClients = 0.4
	// forCalls is the part that the headers and stacks of running calls may fill in
	// addition. Beyond it, calls that need much are refused.
	forCalls = 0.25
	// accounted is the part of a connection's memory that is counted byte by byte. The
	// transports fill the other part: they buffer up to 64 KiB for each of a hundred
	// streams.
	accounted = 0.5
)

// newMemory returns the account of the memory that clients hold, and sets the limit of Go's
// runtime.
func newMemory(l *configv1.Limits) *memory.Process {
	limit := l.GetMemory()
	if l.Memory == nil {
		limit = foundLimit()
	}
	if limit > 0 {
		debug.SetMemoryLimit(limit)
	}
	p := memory.New(memory.Limits{
		Client:  int64(accounted * float64(l.GetMaxConnectionBytes())),
		Process: int64(forClients * float64(limit)),
		Calls:   int64(forCalls * float64(limit)),
		Heap:    limit,
	})
	p.Watch()
	return p
}

// foundLimit is the usable part of the limit of Go's runtime or of the cgroup; 0 for no
// limit. It is computed once, because newMemory then changes the runtime's limit.
var foundLimit = sync.OnceValue(func() int64 {
	cgroup, err := memlimit.FromCgroup()
	if err != nil {
		cgroup = 0 // there is none
	}
	return usableLimit(debug.SetMemoryLimit(-1), cgroup) // reads it
})

// usableLimit is the usable part of the smaller of two limits, 0 for no limit: that of Go's
// runtime, where math.MaxInt64 is none, and that of the cgroup, where 0 is none.
func usableLimit(runtime int64, cgroup uint64) int64 {
	limit := runtime
	if cgroup > 0 && cgroup < uint64(limit) {
		limit = int64(cgroup) // smaller than limit
	}
	if limit == math.MaxInt64 {
		return 0
	}
	return int64(usable * float64(limit))
}

// muchGarbage is how many bytes are worth a run of the collector.
const muchGarbage = 32 << 20

// freeGarbage gives what compiling a table has left back to the system: else the
// collector would let the heap grow by it, and it would stay for minutes.
func freeGarbage() {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(heap)
	objects, free, live := heap[0].Value.Uint64(), heap[1].Value.Uint64(), heap[2].Value.Uint64()
	if objects+free > live+muchGarbage {
		debug.FreeOSMemory()
	}
}
