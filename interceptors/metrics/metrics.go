// Package metrics counts calls for Prometheus.
//
// go-grpc-middleware's prometheus provider counts when the chain ends, before
// the answer is written, and cannot tell REST from gRPC; hence a policy of our
// own.
package metrics

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/collect"
)

// Metrics are the collectors of one gateway. They outlive tables, so counters
// go on over a reload. Safe for concurrent use.
type Metrics struct {
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	refused  *prometheus.CounterVec
	routed   routed
}

// buckets are the bounds of durations, in seconds.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// New registers the collectors with reg:
//
//	gatehouse_calls_total{method,protocol,status,fault}
//	gatehouse_call_duration_seconds{method,protocol}
//	gatehouse_calls_in_flight{method}
//	gatehouse_refusals_total{policy,method,status}
//	gatehouse_routed_calls_total{method,upstream,status}
//	gatehouse_routed_call_duration_seconds{method,upstream}
//
// A call is counted when its answer has been written. Requests that matched no
// method have the method "". The fault is client, gateway or upstream, and "" where
// the status is OK.
func New(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		routed: newRouted(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_calls_total", Help: "Calls answered, by method, protocol, gRPC status, and whose fault it was.",
		}, []string{"method", "protocol", "status", "fault"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gatehouse_call_duration_seconds", Help: "Time from a request's acceptance to the end of its answer.",
			Buckets: buckets,
		}, []string{"method", "protocol"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gatehouse_calls_in_flight", Help: "Calls running now, by method.",
		}, []string{"method"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_refusals_total", Help: "Calls refused by a policy, by policy, method and gRPC status.",
		}, []string{"policy", "method", "status"}),
	}
	return m, collect.Register(reg, m.calls, m.duration, m.inFlight, m.refused, m.routed.calls, m.routed.duration)
}

// Build returns the policy for one method, which has its series looked up here
// and not per call.
func (m *Metrics) Build(of *interceptors.Method) (interceptors.Interceptor, error) {
	s := &series{metrics: m, method: of.Name, inFlight: m.inFlight.WithLabelValues(of.Name)}
	return interceptors.Observe("metrics", func(ctx context.Context, _ string) (context.Context, func(error), error) {
		c := call.From(ctx)
		if c == nil {
			return ctx, nil, nil
		}
		s.inFlight.Inc()
		return ctx, func(err error) { s.done(c, err) }, nil
	}), nil
}

// series are one method's, looked up on first use. Those of calls that succeed are
// kept: a gateway has many methods, protocols, codes and faults, and most of them
// never meet.
type series struct {
	metrics  *Metrics
	method   string
	inFlight prometheus.Gauge
	counters cached[call.Protocol, prometheus.Counter] // of calls that succeeded
	timers   cached[call.Protocol, prometheus.Observer]
}

func (s *series) done(c *call.Call, err error) {
	s.inFlight.Dec()
	code := known(call.CodeOf(err))
	s.counter(c.Protocol, code, err).Inc()
	if policy := call.PolicyOf(err); policy != "" {
		s.metrics.refused.WithLabelValues(policy, s.method, call.CodeName(code)).Inc()
	}
	s.timer(c.Protocol).Observe(time.Since(c.Start).Seconds())
}

func (s *series) counter(p call.Protocol, code codes.Code, err error) prometheus.Counter {
	if err == nil {
		return s.counters.get(p, func() prometheus.Counter {
			return s.metrics.calls.WithLabelValues(s.method, p.String(), call.CodeName(code), "")
		})
	}
	return s.metrics.calls.WithLabelValues(s.method, p.String(), call.CodeName(code), call.FaultOf(err).String())
}

func (s *series) timer(p call.Protocol) prometheus.Observer {
	return s.timers.get(p, func() prometheus.Observer {
		return s.metrics.duration.WithLabelValues(s.method, p.String())
	})
}

// cached keeps the value of each key that was asked for so far: in a list, as there are
// few. The zero value is empty.
type cached[K comparable, T any] struct{ first atomic.Pointer[entry[K, T]] }

type entry[K comparable, T any] struct {
	key   K
	value T
	next  *entry[K, T]
}

// get returns the value of a key, or what look finds. Two calls at once may both look;
// they find the same.
func (c *cached[K, T]) get(key K, look func() T) T {
	first := c.first.Load()
	for e := first; e != nil; e = e.next {
		if e.key == key {
			return e.value
		}
	}
	e := &entry[K, T]{key, look(), first}
	c.first.CompareAndSwap(first, e) // if another call was faster, a later one looks again
	return e.value
}

// known reads a code that gRPC does not define as UNKNOWN.
func known(code codes.Code) codes.Code {
	if code > codes.Unauthenticated {
		return codes.Unknown
	}
	return code
}
