package live

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// counters count what did not become, or did not reach, a call:
//
//	gatehouse_dropped_headers_total{reason}               "name", "value" or "binary"
//	gatehouse_unreadable_requests_total{listener,status}  "" where there was none, or where TLS hides it
//	gatehouse_refused_connections_total{listener}         for want of file descriptors
type counters struct{ dropped, unreadable, refused *prometheus.CounterVec }

func newCounters(reg prometheus.Registerer) counters {
	c := counters{
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_dropped_headers_total",
			Help: "Request headers that did not go to a backend because they cannot be metadata, by what is wrong with them.",
		}, []string{"reason"}),
		unreadable: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_unreadable_requests_total",
			Help: "Requests over HTTP that could not be read, by listener and by the status that was answered.",
		}, []string{"listener", "status"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_refused_connections_total",
			Help: "Connections of clients that were refused since nearly all file descriptors of the process are in use.",
		}, []string{"listener"}),
	}
	for _, why := range []edge.Unfit{edge.UnfitName, edge.UnfitValue, edge.UnfitBinary} {
		c.dropped.WithLabelValues(why.String()) // so that the series begin at 0
	}
	for _, name := range listenerNames {
		c.refused.WithLabelValues(name)
	}
	reg.MustRegister(c.dropped, c.unreadable, c.refused)
	return c
}

func (c counters) countDropped(why edge.Unfit) { c.dropped.WithLabelValues(why.String()).Inc() }

func (c counters) countRefused(listener string) { c.refused.WithLabelValues(listener).Inc() }

func (c counters) countUnreadable(listener string, status int) {
	text := ""
	if status > 0 {
		text = strconv.Itoa(status)
	}
	c.unreadable.WithLabelValues(listener, text).Inc()
}

// memoryMetrics tells what clients hold when it is asked:
//
//	gatehouse_memory_held_bytes             by clients: requests, decoded messages, answers
//	gatehouse_memory_limit_bytes            for them; 0 for no limit
//	gatehouse_memory_refused_total          calls refused since clients held too much
//	gatehouse_memory_ended_readers_total    slow readers ended for the same reason
type memoryMetrics struct{ *memory.Process }

var (
	memoryHeld    = prometheus.NewDesc("gatehouse_memory_held_bytes", "What the gateway holds for clients: requests, decoded messages, answers that are not taken.", nil, nil)
	memoryLimit   = prometheus.NewDesc("gatehouse_memory_limit_bytes", "How much the gateway may hold for clients; 0 for no limit.", nil, nil)
	memoryRefused = prometheus.NewDesc("gatehouse_memory_refused_total", "Calls refused because the gateway held too much for clients.", nil, nil)
	memoryEnded   = prometheus.NewDesc("gatehouse_memory_ended_readers_total", "Slow readers of answers that were ended because the gateway held too much for clients.", nil, nil)
)

// Describe names the metrics.
func (memoryMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{memoryHeld, memoryLimit, memoryRefused, memoryEnded} {
		out <- d
	}
}

// Collect gives them.
func (m memoryMetrics) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(memoryHeld, prometheus.GaugeValue, float64(m.Held()))
	out <- prometheus.MustNewConstMetric(memoryLimit, prometheus.GaugeValue, float64(m.Limit()))
	out <- prometheus.MustNewConstMetric(memoryRefused, prometheus.CounterValue, float64(m.Refused()))
	out <- prometheus.MustNewConstMetric(memoryEnded, prometheus.CounterValue, float64(m.Ended()))
}
