package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// routed are the collectors of RPCs that choose among upstreams.
type routed struct {
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newRouted() routed {
	return routed{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_routed_calls_total", Help: "Calls of RPCs with routes, by method, the upstream that was chosen, and gRPC status.",
		}, []string{"method", "upstream", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gatehouse_routed_call_duration_seconds", Help: "Time that the chosen upstream and its policies took for a call of an RPC with routes.",
			Buckets: buckets,
		}, []string{"method", "upstream"}),
	}
}

// Routed builds the policy that counts the calls of one RPC that go to one of the
// upstreams that it chooses among, so that a canary can be compared with what it may
// replace. It belongs inside of what chooses: calls that were refused before are not
// counted.
func (m *Metrics) Routed(of *interceptors.Method) (interceptors.Interceptor, error) {
	if !of.Routed {
		return interceptors.Interceptor{}, nil
	}
	method, upstream := of.Name, of.Upstream
	timer := m.routed.duration.WithLabelValues(method, upstream)
	counters := new(cached[codes.Code, prometheus.Counter])
	return interceptors.Around("metrics", func(ctx context.Context, _ string) (context.Context, func(error), error) {
		begin := time.Now()
		return ctx, func(err error) {
			code := known(call.CodeOf(err))
			timer.Observe(time.Since(begin).Seconds())
			counters.get(code, func() prometheus.Counter {
				return m.routed.calls.WithLabelValues(method, upstream, call.CodeName(code))
			}).Inc()
		}, nil
	}), nil
}
