package live

import (
	"strconv"

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

// unreadableRequests counts the requests that the HTTP library refused, or whose
// clients broke off:
//
//	gatehouse_unreadable_requests_total{listener,status}
//
// The status is "" where there was none, or where it is hidden by TLS.
type unreadableRequests struct{ total *prometheus.CounterVec }

func newUnreadableRequests() unreadableRequests {
	return unreadableRequests{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_unreadable_requests_total",
		Help: "Requests over HTTP that could not be read, by listener and by the status that was answered.",
	}, []string{"listener", "status"})}
}

func (u unreadableRequests) count(listener string, status int) {
	text := ""
	if status > 0 {
		text = strconv.Itoa(status)
	}
	u.total.WithLabelValues(listener, text).Inc()
}
