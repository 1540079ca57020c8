// Package breaker spares an upstream that fails: calls are refused at once, with
// UNAVAILABLE and the time after which to come back, and nothing is sent.
//
// There are two kinds. Adaptive, the default, refuses a share of the calls that
// follows the failures (Google SRE, "Handling Overload"), and some calls always
// find out whether the upstream is back. Three-state is the classic one, for an
// upstream that must have silence to recover.
//
// Both are written here. failsafe-go has neither slow calls nor a share of
// attempts of both sorts in its circuit breaker, counts an attempt that began
// before it opened as a probe, and cannot give back the place of a probe whose
// client went away; its adaptive throttler remembers a long outage for as long,
// knows nothing of attempts that are not answered, and takes its chances from
// the global source. gobreaker has no slow calls either. Each is a state machine
// without a clock or a lock of its own (adaptive.go, threestate.go) behind one
// adapter (intercept.go).
//
// The policy belongs inside of the retries, so that it counts attempts.
package breaker

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/collect"
	"github.com/gatehouse-dev/gatehouse/internal/remember"
)

// Name is the policy's, as it stands in logs, metrics and refusals.
const Name = "breaker"

// Breakers are the breakers of one gateway. They outlive tables, so none closes
// because of a reload. There is one for each RPC and setting of the table in
// force. Safe for concurrent use.
type Breakers struct {
	random  func() float64
	refused *prometheus.CounterVec

	remember.Map[key, *breaker]
}

// key is what a breaker is for: with other settings it is another one.
type key struct {
	upstream, method string // method is "" where all RPCs are counted together
	settings         settings
}

// New makes the collection and registers its collectors with reg:
//
//	gatehouse_breaker_state{upstream,method}               three-state: 0 closed, 1 half-open, 2 open
//	gatehouse_breaker_refusal_probability{upstream,method} 0 to 1
//	gatehouse_breaker_refusals_total{upstream,method}
//
// The method is "" where a breaker counts all RPCs of an upstream. random gives
// numbers in [0, 1) and must be safe for concurrent use; nil is math/rand.
func New(reg prometheus.Registerer, random func() float64) (*Breakers, error) {
	if random == nil {
		random = rand.Float64
	}
	b := &Breakers{random: random}
	b.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_breaker_refusals_total", Help: "Attempts that a breaker refused.",
	}, []string{"upstream", "method"})
	return b, collect.Register(reg, b.refused, collector{b})
}

// Build returns the policy for one RPC at its upstream. A second time with the same
// settings it finds the same breaker, as it is.
func (b *Breakers) Build(m *interceptors.Method) (interceptors.Interceptor, error) {
	p := m.Policy.GetBreaker()
	if p == nil || p.GetDisabled() {
		return interceptors.Interceptor{}, nil
	}
	k := key{upstream: m.Upstream, settings: read(p)}
	if k.settings.scope == policyv1.Breaker_SCOPE_RPC {
		k.method = m.Name
	}
	return b.Get(k, func() *breaker { return b.make(k) }).interceptor(), nil
}

func (b *Breakers) make(k key) *breaker {
	br := &breaker{key: k, refusals: refusals{upstream: k.upstream}, counter: b.refused.WithLabelValues(k.upstream, k.method)}
	if k.settings.kind == policyv1.Breaker_KIND_THREE_STATE {
		br.machine = newThreeState(k.settings, b.random, time.Now())
	} else {
		br.machine = newAdaptive(k.settings, b.random, time.Now())
	}
	return br
}

// State is how one breaker is.
type State struct {
	Upstream string `json:"upstream"`
	Method   string `json:"method,omitempty"` // "" for all RPCs of the upstream
	Kind     string `json:"kind"`             // "adaptive" or "three-state"
	// State is "closed", "open" or "half-open"; for an adaptive one "passing"
	// or "refusing".
	State string `json:"state"`
	// Refusal is the probability with which the next attempt is refused.
	Refusal  float64 `json:"refusal"`
	Requests uint64  `json:"requests"` // the attempts in the window
	Failures uint64  `json:"failures"` // among them: faults of the upstream
	Slow     uint64  `json:"slow"`     // among them: longer than slow_call
	// Since is when it came into its state.
	Since time.Time `json:"since"`
}

// States lists all breakers by upstream and method.
func (b *Breakers) States() []State {
	states := []State{}
	for _, br := range b.All() {
		states = append(states, br.report(time.Now()))
	}
	slices.SortFunc(states, func(a, b State) int {
		return cmp.Or(cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Kind, b.Kind))
	})
	return states
}
