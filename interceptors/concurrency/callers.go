package concurrency

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

const (
	shards = 16 // so that callers seldom wait for one another
	spares = 64 // gates that a shard keeps to use again
)

// caller is who is counted: one that proved who it is, or an address.
type caller struct {
	call.Identity
	addr netip.Addr
}

func callerOf(ctx context.Context) caller {
	c := call.From(ctx)
	if c == nil {
		return caller{}
	}
	if id, known := c.Caller().Identity(); known {
		return caller{Identity: id}
	}
	return caller{addr: c.PeerNetwork()}
}

// callers has a gate for each caller with a call running.
type callers struct {
	seed   maphash.Seed
	shards [shards]shard
}

type shard struct {
	mu    sync.Mutex
	gates map[caller]*gate
	spare []*gate
}

func newCallers() *callers {
	c := &callers{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].gates = map[caller]*gate{}
	}
	return c
}

func (c *callers) find(ctx context.Context) *gate {
	who := callerOf(ctx)
	s := &c.shards[maphash.Comparable(c.seed, who)%shards]
	s.mu.Lock()
	g, ok := s.gates[who]
	if !ok {
		g = s.gate()
		g.who = who
		s.gates[who] = g
	}
	return g
}

// gate makes one, or takes a spare one.
func (s *shard) gate() *gate {
	if last := len(s.spare) - 1; last >= 0 {
		g := s.spare[last]
		s.spare = s.spare[:last]
		return g
	}
	return &gate{lock: &s.mu, idle: s.forget}
}

// forget is called under the lock when a caller's last call has ended.
func (s *shard) forget(who caller) {
	g := s.gates[who]
	delete(s.gates, who)
	g.who = caller{}
	if len(s.spare) < spares {
		s.spare = append(s.spare, g)
	}
}

func (c *callers) count() (running, waiting int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for _, g := range s.gates {
			running += g.used
			waiting += len(g.waiting)
		}
		s.mu.Unlock()
	}
	return running, waiting
}

// collector reads the counts when it is asked.
type collector struct{ caps *Caps }

var (
	running = prometheus.NewDesc("gatehouse_concurrency_running", "Calls that run now, by what a cap counts together.", []string{"scope", "name"}, nil)
	waiting = prometheus.NewDesc("gatehouse_concurrency_waiting", "Calls that wait for their turn, by what a cap counts together.", []string{"scope", "name"}, nil)
)

// Describe is for Prometheus.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- running
	ch <- waiting
}

// Collect is for Prometheus.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for key, r := range c.caps.All() {
		runs, waits := r.count()
		tell(ch, running, runs, key)
		tell(ch, waiting, waits, key)
	}
}

func tell(ch chan<- prometheus.Metric, desc *prometheus.Desc, n int, key scoped) {
	m, err := prometheus.NewConstMetric(desc, prometheus.GaugeValue, float64(n), key.scope, key.name)
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err)
	}
	ch <- m
}
