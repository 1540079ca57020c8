package retry

import "github.com/prometheus/client_golang/prometheus"

// kind is why an attempt was made.
type kind uint8

const (
	first kind = iota
	again
	hedge
)

func (k kind) String() string { return [...]string{"first", "retry", "hedge"}[k] }

// outcome is how it ended.
type outcome uint8

const (
	ok outcome = iota
	failed
	lost
)

// Why there is not one more attempt.
const (
	noAttempts = "attempts" // all have been made
	noBudget   = "budget"   // too few tokens are left
	noPushback = "pushback" // the backend asked for none
	noTime     = "deadline" // of the call
	noClient   = "cancelled"
	noCode     = "code"     // it is not listed
	noAnswer   = "answered" // the attempt had begun to answer
	noPolicy   = "policy"   // one further in refused the attempt
	// notNeeded is not counted: the upstream is not at fault.
	notNeeded = "none"
)

type metrics struct {
	attempts, withheld *prometheus.CounterVec
}

func newMetrics() metrics {
	return metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_retry_attempts_total", Help: "Attempts at upstreams, by kind and outcome.",
		}, []string{"method", "kind", "outcome"}),
		withheld: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_retry_withheld_total", Help: "Attempts that were not made though the one before failed by a fault of the upstream.",
		}, []string{"method", "reason"}),
	}
}

// series are those of one RPC. Those of every call are looked up once; the
// others when there is one.
type series struct {
	metrics
	method string
	fine   prometheus.Counter
}

func (m metrics) of(method string) *series {
	return &series{metrics: m, method: method, fine: m.attempts.WithLabelValues(method, "first", "ok")}
}

func (s *series) attempt(k kind, o outcome) {
	if k == first && o == ok {
		s.fine.Inc()
		return
	}
	s.attempts.WithLabelValues(s.method, k.String(), [...]string{"ok", "error", "lost"}[o]).Inc()
}

func (s *series) withhold(reason string) {
	if reason != notNeeded {
		s.withheld.WithLabelValues(s.method, reason).Inc()
	}
}

// tokens tells how full budgets are when asked.
type tokens struct{ retries *Retries }

var _ prometheus.Collector = tokens{}

var tokensDesc = prometheus.NewDesc("gatehouse_retry_budget_tokens",
	"Tokens left in the retry budget of an upstream.", []string{"upstream"}, nil)

func (t tokens) Describe(to chan<- *prometheus.Desc) { to <- tokensDesc }

func (t tokens) Collect(to chan<- prometheus.Metric) {
	for upstream, b := range t.retries.budgets.All() {
		to <- prometheus.MustNewConstMetric(tokensDesc, prometheus.GaugeValue, float64(b.tokens.Load())/token, upstream)
	}
}
