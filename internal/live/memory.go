package live

import (
	"math"
	"runtime/debug"
	"sync"

	"github.com/KimMachineGun/automemlimit/memlimit"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

const (
	// usable is the part of what the process may have that it uses: the rest is for
	// what Go's runtime does not count.
	usable = 0.8
	// forClients is the part of the limit that clients may fill. The rest is for the
	// gateway itself, its caches, and garbage that Go has not collected yet.
	forClients = 0.4
	// forCalls is the part that running calls may fill beside that, with headers and
	// stacks, until those that ask for much are refused.
	forCalls = 0.25
	// accounted is the part of a connection's memory that is accounted for byte by
	// byte. The transports fill the other: they hold up to 64 KiB for each of a
	// hundred streams before anybody reads it.
	accounted = 0.5
)

// newMemory makes the account of what clients hold, and tells Go's runtime its limit.
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

// foundLimit is what is usable of the limit that is set around the process, 0 for no
// limit. It is looked for once: what was found becomes Go's own.
var foundLimit = sync.OnceValue(func() int64 {
	cgroup, err := memlimit.FromCgroup()
	if err != nil {
		cgroup = 0 // there is none
	}
	return usableLimit(debug.SetMemoryLimit(-1), cgroup) // reads it
})

// usableLimit is what is usable where Go's runtime has a limit, math.MaxInt64 for none,
// and the cgroup has one, 0 for none: a part of the smaller one, 0 for no limit.
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
