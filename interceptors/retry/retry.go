// Package retry repeats attempts that failed, by gRFC A6 and AIP-194: only what
// is safe to repeat, only what the upstream is at fault for, only within the
// deadline and the budget of the upstream, and the way the backend asks for
// (grpc-retry-pushback-ms). Unary calls are repeated, and server streams before
// their first message. A call may also be hedged: a second attempt runs beside a
// slow first one.
//
// grpc-go retries by itself where a service config says so, but tells neither
// logs nor a breaker of its attempts, has one budget for a connection instead of
// the declared one, knows no timeout of an attempt and does not hedge. What it
// does unasked stays: a call that provably never reached the backend's
// application is sent once more, safe or not. go-grpc-middleware's retry has
// neither budget nor pushback, and leaves what the failed attempts left behind
// in the caller's metadata. failsafe-go's retries and hedges see a result and an
// error, not the trailer with the pushback nor whether headers came; its budget
// counts what is in flight, where A6 has a token bucket; and it returns before
// the losing attempt of a hedge has ended, which may then still read a request
// whose buffers are freed.
package retry

import (
	"errors"
	"math/rand/v2"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/collect"
	"github.com/gatehouse-dev/gatehouse/internal/remember"
)

// Name is the policy's, as it stands in logs and metrics.
const Name = "retry"

// Retries own what outlives tables: the budget of each upstream, and how long
// each hedged RPC takes. There is one of each for every name that a table in
// force has. Safe for concurrent use.
type Retries struct {
	random  func() float64
	metrics metrics

	budgets   remember.Map[string, *budget]
	latencies remember.Map[string, *latency]

	mu    sync.Mutex
	sizes map[string]bounds // of budgets in the table that is being built; nil if none is
}

// New makes the collection and registers its collectors with reg:
//
//	gatehouse_retry_attempts_total{method,kind,outcome}
//	gatehouse_retry_withheld_total{method,reason}
//	gatehouse_retry_budget_tokens{upstream}
//
// The kind of an attempt is first, retry or hedge; its outcome ok, error or
// lost, for that of a hedged pair which did not count. The reasons to withhold
// one more are attempts, budget, pushback, deadline, cancelled, code, answered and
// policy (metrics.go). random gives numbers in [0, 1) and must be safe for
// concurrent use; nil is math/rand.
func New(reg prometheus.Registerer, random func() float64) (*Retries, error) {
	if random == nil {
		random = rand.Float64
	}
	r := &Retries{random: random, metrics: newMetrics()}
	return r, collect.Register(reg, r.metrics.attempts, r.metrics.withheld, tokens{r})
}

// Method is one RPC.
type Method struct {
	Name     string // as on the wire
	Upstream string // whose budget it shares
	// ClientStreams and ServerStreams tell which halves are streams.
	ClientStreams, ServerStreams bool
	// Safe says that it may be repeated without harm.
	Safe bool
	// SideEffects says that a call leaves something behind.
	SideEffects bool
	// Policy is the RPC's; nil means that nothing is repeated.
	Policy *policyv1.Retry
	// Budget is the upstream's; nil means the defaults.
	Budget *policyv1.RetryBudget
}

// For returns the policy for one RPC. A second time it finds the same budget and
// latencies, as they are; a budget with another size keeps its level. Calls of an
// RPC that is not safe are attempted once, within attempt_timeout. A stream from
// the client cannot be sent again: such calls pass. Errors name the field of the
// policy.
func (r *Retries) For(m Method) (interceptors.Interceptor, error) {
	off := interceptors.Interceptor{Name: Name}
	bounds, err := readBudget(m.Budget)
	if err != nil {
		return off, err
	}
	if m.Policy == nil || m.Policy.GetDisabled() {
		return off, nil
	}
	s, err := read(m.Policy)
	if err != nil {
		return off, err
	}
	if s.hedges && (m.ClientStreams || m.ServerStreams) {
		return off, errors.New("hedge: only a unary RPC can be hedged; disable it for this one, or leave it out")
	}
	if s.hedges && m.SideEffects {
		return off, errors.New("hedge: only an RPC without side effects can be hedged (idempotency_level NO_SIDE_EFFECTS, or GET); disable it for this one, or leave it out")
	}
	if m.ClientStreams {
		return off, nil
	}
	if !m.Safe {
		s.attempts, s.hedges = 1, false
	}
	if s.attempts == 1 && s.attemptTimeout == 0 {
		return off, nil
	}
	p := &plan{
		settings: s, random: r.random, budget: r.budget(m.Upstream, bounds), series: r.metrics.of(m.Name),
		timedOut: call.Refuse(call.Upstream, codes.DeadlineExceeded, "upstream %q gave no answer within the attempt_timeout of %v", m.Upstream, s.attemptTimeout),
	}
	if s.hedges && s.hedgeDelay == 0 {
		p.latency = r.latency(m.Name)
	}
	if m.ServerStreams {
		return interceptors.Interceptor{Name: Name, Stream: p.stream}, nil
	}
	return interceptors.Interceptor{Name: Name, Unary: p.unary}, nil
}

// plan is all that is known of an RPC before a call. It is immutable.
type plan struct {
	settings
	random   func() float64
	budget   *budget
	latency  *latency // nil unless it decides when to hedge
	series   *series
	timedOut *call.Error // the cause with which attempt_timeout ends an attempt
}

func (r *Retries) budget(upstream string, b bounds) *budget {
	kept := r.budgets.Get(upstream, func() *budget { return newBudget(b) })
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sizes != nil {
		r.sizes[upstream] = b
	} else {
		kept.resize(b)
	}
	return kept
}

// Begin says that For is called for a new table from now on. Sizes of budgets
// change when it is taken.
func (r *Retries) Begin() {
	r.budgets.Begin()
	r.latencies.Begin()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sizes = map[string]bounds{}
}

// Settle says whether that table was taken. What none needs any more is
// forgotten.
func (r *Retries) Settle(taken bool) {
	r.budgets.Settle(taken, nil)
	r.latencies.Settle(taken, nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	if taken {
		for upstream, kept := range r.budgets.All() {
			kept.resize(r.sizes[upstream])
		}
	}
	r.sizes = nil
}

func (r *Retries) latency(method string) *latency {
	return r.latencies.Get(method, func() *latency { return new(latency) })
}
