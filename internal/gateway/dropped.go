package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-dev/gatehouse/internal/edge"
)

// droppedHeaders counts the headers of REST requests that cannot be metadata:
//
//	gatehouse_dropped_headers_total{reason}  "name", "value" or "binary"
type droppedHeaders struct{ total *prometheus.CounterVec }

func newDroppedHeaders() droppedHeaders {
	d := droppedHeaders{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_dropped_headers_total",
		Help: "Request headers that did not go to a backend because they cannot be metadata, by what is wrong with them.",
	}, []string{"reason"})}
	for _, why := range []edge.Unfit{edge.UnfitName, edge.UnfitValue, edge.UnfitBinary} {
		d.total.WithLabelValues(why.String()) // so that the series begin at 0
	}
	return d
}

func (d droppedHeaders) count(why edge.Unfit) { d.total.WithLabelValues(why.String()).Inc() }
