package live

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-dev/gatehouse/interceptors/ratelimit"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/config"
)

// collectors registers collectors, and remembers those with a series for each RPC or
// upstream, so that the series of replaced tables can be deleted. Only Register remembers
// them. It is safe for concurrent use.
type collectors struct {
	prometheus.Registerer

	mu   sync.Mutex
	vecs []vector
}

// vector is one of *prometheus.CounterVec, *prometheus.GaugeVec and
// *prometheus.HistogramVec.
type vector interface {
	DeletePartialMatch(prometheus.Labels) int
}

var (
	_ vector                = (*prometheus.CounterVec)(nil)
	_ prometheus.Registerer = (*collectors)(nil)
)

// Register registers a collector.
func (r *collectors) Register(c prometheus.Collector) error {
	if err := r.Registerer.Register(c); err != nil {
		return err
	}
	if v, ok := c.(vector); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.vecs = append(r.vecs, v)
	}
	return nil
}

// names are values of labels, by the label: "method", "limit", "upstream" and
// "authenticator".
type names map[string]map[string]bool

func (n names) add(label, value string) {
	if n[label] == nil {
		n[label] = map[string]bool{}
	}
	n[label][value] = true
}

// namesOf are those of a table that was compiled, or refused while it was compiled.
func namesOf(file *config.File, methods []*compile.Method) names {
	n := names{}
	for _, own := range ownMethods() {
		n.add("method", own.Name)
	}
	for _, m := range methods {
		n.add("method", m.Name)
		for i, limit := range m.Effective.Policy.GetRateLimit() {
			n.add("limit", ratelimit.NameOf(m.Name, i, limit))
		}
	}
	for _, u := range file.Config.GetUpstreams() {
		n.add("upstream", u.GetName())
	}
	for _, a := range file.Config.GetAuthenticators() {
		n.add("authenticator", a.GetName())
	}
	return n
}

// forget deletes the series of old names that are not in force.
func (r *collectors) forget(old, now names) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for label, values := range old {
		for value := range values {
			if now[label][value] {
				continue
			}
			for _, v := range r.vecs {
				v.DeletePartialMatch(prometheus.Labels{label: value})
			}
		}
	}
}
