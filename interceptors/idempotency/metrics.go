package idempotency

import "github.com/prometheus/client_golang/prometheus"

// metrics are
//
//	gatehouse_idempotency_calls_total{result}
//	gatehouse_idempotency_store_failures_total
//	gatehouse_idempotency_answers
//	gatehouse_idempotency_bytes
//	gatehouse_idempotency_evicted_total
//
// where result is "first", "replayed", "running" or "other_request", of calls with
// a key, and the last three are of the answers in this process.
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
	if reg == nil {
		return out, nil
	}
	for _, c := range []prometheus.Collector{
		calls, failures,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gatehouse_idempotency_answers", Help: "Answers kept in this process.",
		}, func() float64 { n, _, _ := m.state(); return float64(n) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gatehouse_idempotency_bytes", Help: "Bytes of the answers kept in this process.",
		}, func() float64 { _, n, _ := m.state(); return float64(n) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatehouse_idempotency_evicted_total", Help: "Answers dropped before their time, for want of room.",
		}, func() float64 { _, _, n := m.state(); return float64(n) }),
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return out, nil
}
