// Package deprecation tells clients of an RPC that it will go away, with every
// answer and on every protocol: in the headers `deprecation` (RFC 9745), `sunset`
// (RFC 8594) and `link` (RFC 8288).
package deprecation

import (
	"context"
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/collect"
)

// Deprecations count the calls of what is deprecated. They outlive tables. Safe
// for concurrent use.
type Deprecations struct{ calls *prometheus.CounterVec }

// New registers the collector with reg:
//
//	gatehouse_deprecated_calls_total{method,version}
func New(reg prometheus.Registerer) (*Deprecations, error) {
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_deprecated_calls_total", Help: "Calls of RPCs of deprecated versions, refused ones included.",
	}, []string{"method", "version"})
	return &Deprecations{calls}, collect.Register(reg, calls)
}

// Build returns the policy for one method.
func (d *Deprecations) Build(m *interceptors.Method) (interceptors.Interceptor, error) {
	if m.Deprecation == nil {
		return interceptors.Interceptor{}, nil
	}
	headers, calls := Headers(m.Deprecation), d.calls.WithLabelValues(m.Name, m.Deprecation.Version)
	return interceptors.Around("deprecation", func(ctx context.Context, _ string) (context.Context, func(error), error) {
		calls.Inc()
		if c := call.From(ctx); c != nil {
			c.AddHeader(headers...)
		}
		return ctx, nil, nil
	}), nil
}

// Headers are what the answers say, as pairs. The date is a Date of Structured
// Fields (RFC 9651, section 3.3.7), the sunset one of HTTP (RFC 9110, section
// 5.6.7): so have the two RFCs it.
func Headers(n *interceptors.Deprecation) []string {
	pairs := []string{"deprecation", fmt.Sprintf("@%d", n.Date.Unix())}
	if !n.Sunset.IsZero() {
		pairs = append(pairs, "sunset", n.Sunset.UTC().Format(httpDate))
	}
	var links []string
	if n.Link != "" {
		links = append(links, "<"+n.Link+`>; rel="deprecation"`)
	}
	if n.Successor != "" {
		links = append(links, "<"+n.Successor+`>; rel="successor-version"`)
	}
	if len(links) > 0 {
		pairs = append(pairs, "link", strings.Join(links, ", "))
	}
	return pairs
}

// httpDate is the layout of HTTP's dates, which are in GMT.
const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT"
