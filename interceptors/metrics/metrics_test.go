package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/metrics"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

func TestCallsAreCountedWhenTheyAreAnswered(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := metrics.New(reg)
	if err != nil {
		t.Fatal(err)
	}
	conn := interceptors.Chain(calltest.Conn{}, policytest.Build(t, m, interceptors.Method{Name: "/s/m"}))
	begin := func(p call.Protocol) *call.Call {
		c := &call.Call{Protocol: p, Start: time.Now()}
		if err := conn.Invoke(call.With(t.Context(), c), "/s/m", nil, nil); err != nil {
			t.Fatal(err)
		}
		return c
	}
	begin(call.REST).Finish(nil)
	begin(call.REST).Finish(status.Error(codes.NotFound, "no"))
	begin(call.GRPC).Finish(status.Error(codes.Code(77), "a code that gRPC does not know"))
	begin(call.GRPC)
	got := values(t, reg)
	for series, want := range map[string]float64{
		"gatehouse_calls_in_flight{/s/m}":                   1,
		"gatehouse_calls_total{upstream,/s/m,grpc,UNKNOWN}": 1,
		"gatehouse_calls_total{client,/s/m,rest,NOT_FOUND}": 1,
		"gatehouse_calls_total{,/s/m,rest,OK}":              1,
		"gatehouse_call_duration_seconds{/s/m,rest}":        2,
		"gatehouse_call_duration_seconds{/s/m,grpc}":        1,
	} {
		if got[series] != want {
			t.Errorf("%s = %v, want %v", series, got[series], want)
		}
	}
	if len(got) != 6 {
		t.Errorf("%d series, want 6: %v", len(got), got)
	}
	if _, err := metrics.New(reg); err == nil {
		t.Error("two sets of collectors in one registry: want an error")
	}
}

// values are all series: counters and gauges by value, histograms by count.
func values(t *testing.T, reg prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := make([]string, 0, 4)
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			got[f.GetName()+"{"+strings.Join(labels, ",")+"}"] =
				m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return got
}
