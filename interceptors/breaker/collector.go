package breaker

import "github.com/prometheus/client_golang/prometheus"

var (
	stateDesc = prometheus.NewDesc("gatehouse_breaker_state",
		"State of a three-state breaker: 0 closed, 1 half-open, 2 open.", []string{"upstream", "method"}, nil)
	refusalDesc = prometheus.NewDesc("gatehouse_breaker_refusal_probability",
		"Probability with which a breaker refuses the next attempt.", []string{"upstream", "method"}, nil)
)

// labels are of a breaker's metrics.
type labels struct{ upstream, method string }

// collector tells how breakers are when asked, so that no call pays for it.
type collector struct{ breakers *Breakers }

var _ prometheus.Collector = collector{}

func (c collector) Describe(to chan<- *prometheus.Desc) {
	to <- stateDesc
	to <- refusalDesc
}

// Collect shows the worse of two breakers with the same labels: those of an
// upstream whose RPCs were declared with different settings.
func (c collector) Collect(to chan<- prometheus.Metric) {
	states, refusals := map[labels]float64{}, map[labels]float64{}
	for _, s := range c.breakers.States() {
		u := labels{s.Upstream, s.Method}
		refusals[u] = max(refusals[u], s.Refusal)
		if s.Kind == "three-state" {
			states[u] = max(states[u], number(s.State))
		}
	}
	send(to, stateDesc, states)
	send(to, refusalDesc, refusals)
}

func send(to chan<- prometheus.Metric, desc *prometheus.Desc, values map[labels]float64) {
	for u, v := range values {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, u.upstream, u.method)
	}
}

func number(name string) float64 {
	for _, s := range []state{closed, halfOpen, open} {
		if s.String() == name {
			return float64(s)
		}
	}
	return 0
}
