package admin

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-dev/gatehouse/internal/compile"
)

// UpstreamMetrics collects the state of the upstreams:
//
//	gatehouse_upstream_ready{upstream}        1 if a replica can be called
//	gatehouse_upstream_answering{upstream}    0 while it answers none of the calls that reach it
//	gatehouse_upstream_needed{upstream}       1 if the gateway is not ready without it
//	gatehouse_upstream_replicas{upstream}     how many were found
//	gatehouse_upstream_connections{upstream}  how many stand
//	gatehouse_skipped_http_rules{upstream}    bindings that are not served (bad_rules: skip)
type UpstreamMetrics struct {
	Table func() *compile.Table // the one in force; nil before the first
}

var upstreamReady, upstreamAnswering, upstreamNeeded, upstreamReplicas, upstreamConnections = upstreamDesc("ready", "Whether a replica of the upstream can be called."),
	upstreamDesc("answering", "0 while calls reach the upstream and it answers none before their deadline."),
	upstreamDesc("needed", "Whether the gateway is not ready without the upstream."),
	upstreamDesc("replicas", "The replicas of the upstream that were found; 0 where only a control plane knows."),
	upstreamDesc("connections", "The connections to the upstream that stand.")

var skippedRules = prometheus.NewDesc("gatehouse_skipped_http_rules",
	"HTTP bindings of the upstream's contract that are not served, since they are wrong (bad_rules: skip).", []string{"upstream"}, nil)

func upstreamDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("gatehouse_upstream_"+name, help, []string{"upstream"}, nil)
}

// Describe names the metrics.
func (UpstreamMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{upstreamReady, upstreamAnswering, upstreamNeeded, upstreamReplicas, upstreamConnections, skippedRules} {
		out <- d
	}
}

// Collect gives them.
func (m UpstreamMetrics) Collect(out chan<- prometheus.Metric) {
	t := m.Table()
	if t == nil {
		return
	}
	skipped := skippedBy(t.Methods)
	for _, u := range t.File.Config.GetUpstreams() {
		out <- prometheus.MustNewConstMetric(skippedRules, prometheus.GaugeValue, float64(skipped[u.GetName()]), u.GetName())
	}
	for _, h := range HealthOf(t) {
		for d, v := range map[*prometheus.Desc]float64{
			upstreamReady: oneIf(h.Ready), upstreamAnswering: oneIf(h.SilentSince == nil), upstreamNeeded: oneIf(h.Needed),
			upstreamReplicas: float64(h.Replicas), upstreamConnections: float64(h.Connections),
		} {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, h.Upstream)
		}
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// skippedBy counts the bindings that are not served, by upstream.
func skippedBy(all []*compile.Method) map[string]int {
	counts := map[string]int{}
	for _, m := range all {
		for _, b := range m.Bindings {
			if b.Err != nil {
				counts[m.Upstream]++
			}
		}
	}
	return counts
}
