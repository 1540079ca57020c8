package idempotency

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-dev/gatehouse/internal/collect"
)

// metrics are
//
//	gatehouse_idempotency_calls_total{result}
//	gatehouse_idempotency_store_failures_total
//	gatehouse_idempotency_answers
//	gatehouse_idempotency_bytes
//	gatehouse_idempotency_unkept_total
//	gatehouse_idempotency_refused_total{reason}
//
// where result is "first", "replayed", "running" or "other_request", of calls with
// a key, and reason is "full" or "share". The last four are of the memory of this
// process.
type metrics struct {
	first, replayed, running, other, failures prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, m *memory) (*metrics, error) {
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_idempotency_calls_total", Help: "Calls with an idempotency key, by what became of them.",
	}, []string{"result"})
	failures := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "gatehouse_idempotency_store_failures_total", Help: "Operations on keys that Redis did not do.",
	})
	out := &metrics{
		first: calls.WithLabelValues("first"), replayed: calls.WithLabelValues("replayed"),
		running: calls.WithLabelValues("running"), other: calls.WithLabelValues("other_request"), failures: failures,
	}
	gauge := func(name, help string, value func(memoryState) int64) prometheus.Collector {
		return collect.Gauge(name, help, func() float64 { return float64(value(m.state())) })
	}
	counter := func(reason string, value func(memoryState) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatehouse_idempotency_refused_total", Help: "New keys that were refused for want of room: of the memory (full), or of their caller's share of it (share).",
			ConstLabels: prometheus.Labels{"reason": reason},
		}, func() float64 { return float64(value(m.state())) })
	}
	return out, collect.Register(reg, calls, failures,
		counter("full", func(s memoryState) int64 { return s.full }), counter("share", func(s memoryState) int64 { return s.over }),
		gauge("gatehouse_idempotency_answers", "Answers kept in this process.", func(s memoryState) int64 { return s.answers }),
		gauge("gatehouse_idempotency_bytes", "Bytes of the keys and answers kept in this process.", func(s memoryState) int64 { return s.bytes }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatehouse_idempotency_unkept_total", Help: "Answers that were not kept for want of room; their keys were.",
		}, func() float64 { return float64(m.state().unkept) }))
}
