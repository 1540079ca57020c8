package ratelimit

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-dev/gatehouse/internal/collect"
)

// metrics are
//
//	gatehouse_ratelimit_calls_total{limit,result}
//	gatehouse_ratelimit_without_redis_total
//	gatehouse_ratelimit_keys
//	gatehouse_ratelimit_evicted_total
//
// where result is "allowed" or "refused".
type metrics struct {
	calls *prometheus.CounterVec
	alone prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, local *buckets) (*metrics, error) {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_ratelimit_calls_total", Help: "Calls that a limit let through or refused.",
		}, []string{"limit", "result"}),
		alone: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_ratelimit_without_redis_total", Help: "Calls decided without Redis, since it could not be asked.",
		}),
	}
	return m, collect.Register(reg, m.calls, m.alone,
		collect.Gauge("gatehouse_ratelimit_keys", "Keys of limits remembered in this process.", func() float64 { return float64(local.len()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatehouse_ratelimit_evicted_total", Help: "Keys forgotten before their buckets were full, for want of room.",
		}, func() float64 { return float64(local.evicted.Load()) }))
}

// of are the counters of one limit.
func (m *metrics) of(limit string) (allowed, refused prometheus.Counter) {
	return m.calls.WithLabelValues(limit, "allowed"), m.calls.WithLabelValues(limit, "refused")
}
