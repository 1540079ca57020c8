package live

import "github.com/prometheus/client_golang/prometheus"

// newRefusedConnections counts the connections that were refused for want of file
// descriptors:
//
//	gatehouse_refused_connections_total{listener}
func newRefusedConnections() *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_refused_connections_total",
		Help: "Connections of clients that were refused since nearly all file descriptors of the process are in use.",
	}, []string{"listener"})
	for _, name := range []string{"http", "grpc", "admin"} {
		c.WithLabelValues(name) // so that the series begin at 0
	}
	return c
}
