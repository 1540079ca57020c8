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
	"math/rand/v2"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

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

// Build returns the policy for one RPC at its upstream. A second time it finds the same
// budget and latencies, as they are; a budget with another size keeps its level. Calls
// of an RPC that is not safe are attempted once, within attempt_timeout. A stream from
// the client cannot be sent again: such calls pass.
func (r *Retries) Build(m *interceptors.Method) (interceptors.Interceptor, error) {
	off := interceptors.Interceptor{}
	if m.Policy.GetRetry() == nil || m.Policy.GetRetry().GetDisabled() {
		return off, nil
	}
	s := read(m.Policy.GetRetry())
	if s.hedges && !m.Unary() {
		return off, interceptors.Wrong("retry.hedge", "only a unary RPC can be hedged; disable it for this one, or leave it out")
	}
	if s.hedges && m.SideEffects {
		return off, interceptors.Wrong("retry.hedge", "only an RPC without side effects can be hedged (idempotency_level NO_SIDE_EFFECTS, or GET); disable it for this one, or leave it out")
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
		settings: s, random: r.random, budget: r.budget(m.Upstream, readBudget(m.Budget)), series: r.metrics.of(m.Name),
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

// Begin says that a new table is compiled from now on. Sizes of budgets change when
// it comes into force.
func (r *Retries) Begin() {
	r.budgets.Begin()
	r.latencies.Begin()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sizes = map[string]bounds{}
}

// Commit says that this table is in force. What none needs any more is forgotten.
func (r *Retries) Commit() {
	r.budgets.Commit()
	r.latencies.Commit()
	r.mu.Lock()
	defer r.mu.Unlock()
	for upstream, kept := range r.budgets.All() {
		kept.resize(r.sizes[upstream])
	}
	r.sizes = nil
}

// Abandon says that this table was refused.
func (r *Retries) Abandon() {
	r.budgets.Abandon()
	r.latencies.Abandon()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sizes = nil
}

func (r *Retries) latency(method string) *latency {
	return r.latencies.Get(method, func() *latency { return new(latency) })
}
