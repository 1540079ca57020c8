package redis

import "github.com/prometheus/client_golang/prometheus"

// metrics are
//
//	gatehouse_redis_up
//	gatehouse_redis_failures_total{kind}
//
// where kind is "failed" for operations that Redis did not answer or refused,
// and "skipped" for those that were not tried because it was down.
type metrics struct {
	up              prometheus.Gauge
	failures        *prometheus.CounterVec
	failed, skipped prometheus.Counter
}

func newMetrics() metrics {
	failures := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_redis_failures_total",
		Help: "Operations that failed, or that were skipped because Redis was down.",
	}, []string{"kind"})
	return metrics{
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gatehouse_redis_up", Help: "Whether Redis answers and takes writes.",
		}),
		failures: failures,
		failed:   failures.WithLabelValues("failed"),
		skipped:  failures.WithLabelValues("skipped"),
	}
}
