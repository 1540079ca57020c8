package gateway

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"google.golang.org/grpc"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/accesslog"
	"github.com/gatehouse-dev/gatehouse/interceptors/admit"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/interceptors/ip"
	"github.com/gatehouse-dev/gatehouse/interceptors/recovery"
	"github.com/gatehouse-dev/gatehouse/interceptors/retry"
	"github.com/gatehouse-dev/gatehouse/interceptors/rewrite"
	"github.com/gatehouse-dev/gatehouse/interceptors/timeout"
	"github.com/gatehouse-dev/gatehouse/internal/answers"
)

// parts are what policies need: what outlives a table, and the logs.
type parts struct {
	*state

	auth   *auth.Authenticators // of the table that is being built
	log    *slog.Logger         // the gateway's own
	access *slog.Logger         // one line a call; nil for none
	custom []interceptors.Interceptor
	link   linker // links the policies of RPCs
	// admitLine bounds the lines of one peer; nil for no bound.
	admitLine func(peer string) bool
}

// linker puts policies in front of a connection as [interceptors.Chain] does. A
// test has one that records when each policy is entered.
type linker = func(conn grpc.ClientConnInterface, list ...interceptors.Interceptor) grpc.ClientConnInterface

// rpc is one RPC as its policies see it.
type rpc struct {
	*exposed
	policy      *policyv1.Policy
	safe        bool // may be repeated without harm
	sideEffects bool
	expressions expressions
	fixed       []byte   // what fallback serves, as wire bytes
	forwarded   []string // the metadata in which any RPC forwards claims
	shared      sharedLimits
	facts       answers.Facts // that its answers depend on, whoever calls
	ownFacts    answers.Facts // the same, where each caller has answers of its own
	chosenBy    []string      // headers by which upstreams are chosen, of its steps too
	toUpstream
}

// toUpstream is what differs from one upstream to the next, of those that an RPC
// chooses among.
type toUpstream struct {
	upstream string // this one; Upstream is the one whose contract it is
	budget   *policyv1.RetryBudget
	routed   bool            // the RPC chooses
	requests rewrite.Changes // of metadata
	answers  rewrite.Changes
	replica  keyFunc // the key of ring-hash; nil for none
	mirror   *mirrorTo
}

func (r *rpc) unary() bool { return !r.Desc.IsStreamingClient() && !r.Desc.IsStreamingServer() }

// capped reports whether the number of calls that run at once is bounded.
func (r *rpc) capped() bool {
	return slices.ContainsFunc(r.policy.GetConcurrency(), func(c *policyv1.Concurrency) bool { return !c.GetUnlimited() })
}

// chain is the ordered list of policies of one RPC, the outermost first: first
// those of the call, then those of its upstream. Where routes choose among
// several, the choice stands between the two, and each has a list of the second
// kind. This is the one place where their order is decided. An error names the
// policy's field.
func (p *parts) chain(r *rpc) ([]interceptors.Interceptor, error) {
	outer, err := p.ofCall(r)
	inner, more := p.ofUpstream(r)
	return append(outer, inner...), errors.Join(err, more)
}

// ofCall is the first part: who may call, how often, and for how long.
func (p *parts) ofCall(r *rpc) ([]interceptors.Interceptor, error) {
	c := collector{list: p.observers(r.Name)}
	c.add("", recovery.New(p.log), nil)                                                                                                // a panic further in is an answer like any other
	c.addIf("deprecation", r.version.deprecation != nil, func() (interceptors.Interceptor, error) { return p.deprecationFor(r), nil }) // who is refused is told too
	c.addIf("", r.version.edge != nil, func() (interceptors.Interceptor, error) { return versionFor(r), nil })
	// Who is refused without a look at credentials costs least.
	c.addIf("ip", r.policy.GetIp() != nil, func() (interceptors.Interceptor, error) { return ip.New(r.policy.GetIp()) })
	c.add("priority", p.shed.Precheck(r.Name, r.policy.GetPriority()), nil) // takes no place yet
	c.build("auth", func() (interceptors.Interceptor, error) { return p.authFor(r) })
	c.addIf("rate_limit", len(r.policy.GetRateLimit()) > 0, func() (interceptors.Interceptor, error) { return p.limitsFor(r) })
	c.add("timeout", timeout.New(r.policy.GetTimeout().AsDuration()), nil) // bounds all that follows, every attempt together
	places := p.shed.For(r.Name, r.policy.GetPriority())
	c.addIf("", r.capped() || r.unary() && places.Unary != nil, func() (interceptors.Interceptor, error) { return admit.New(), nil })
	// A place is taken once the request is there, never while waiting for the client.
	c.add("priority", places, nil)
	c.addIf("concurrency", r.capped(), func() (interceptors.Interceptor, error) {
		return p.caps.For(r.Name, r.upstream, r.capsOfCall())
	})
	return c.list, errors.Join(c.errs...)
}

// ofUpstream is the second part: what answers in the upstream's place, and how it
// is asked.
func (p *parts) ofUpstream(r *rpc) ([]interceptors.Interceptor, error) {
	var c collector
	c.addIf("", r.routed, func() (interceptors.Interceptor, error) { return p.metrics.Routed(r.Name, r.upstream), nil })
	c.add("", r.answers.Answers(), nil) // the metadata of all answers, from wherever they come
	c.addIf("concurrency", r.routed && r.capped(), func() (interceptors.Interceptor, error) {
		return p.caps.For(r.Name, r.upstream, r.capsOfUpstream())
	})
	// What answers in the backend's place: a call that is answered here is not tried.
	c.addIf("cache", on(r.policy.GetCache()), func() (interceptors.Interceptor, error) { return p.cacheFor(r) })
	c.addIf("fallback", on(r.policy.GetFallback()), func() (interceptors.Interceptor, error) { return p.fallbackFor(r) })
	// Inside of the fallback: what that serves is not the answer to the call, and must not be replayed as such.
	c.addIf("idempotency", on(r.policy.GetIdempotency()), func() (interceptors.Interceptor, error) {
		return p.idempotency.For(r.Name, !r.unary(), r.policy.GetIdempotency(), r.chosenBy...)
	})
	c.add("", p.mirrorFor(r), nil) // what the upstream is about to be asked, once
	c.add("", r.toReplica(), nil)  // the same for all attempts
	// What follows happens once for each attempt.
	c.addIf("retry", on(r.policy.GetRetry()), func() (interceptors.Interceptor, error) {
		return p.retries.For(retry.Method{
			Name: r.Name, Upstream: r.upstream, ClientStreams: r.Desc.IsStreamingClient(), ServerStreams: r.Desc.IsStreamingServer(),
			Safe: r.safe, SideEffects: r.sideEffects, Policy: r.policy.GetRetry(), Budget: r.budget,
		})
	})
	c.addIf("breaker", on(r.policy.GetBreaker()), func() (interceptors.Interceptor, error) {
		return p.breakers.For(r.upstream, r.Name, r.policy.GetBreaker())
	})
	c.add("", r.requests.Requests(), nil) // all others see what the client sent
	c.list = append(c.list, p.custom...)  // of those who build a gateway of their own
	return c.list, errors.Join(c.errs...)
}

// observers look on: they see calls, and what was refused before it became one.
func (p *parts) observers(method string) []interceptors.Interceptor {
	list := []interceptors.Interceptor{p.tracing.For(method)} // outermost: a call from inside the process has its trace from here
	if p.access != nil {
		list = append(list, accesslog.New(p.access, p.admitLine))
	}
	return append(list, p.metrics.For(method))
}

// collector gathers policies and what is wrong with them. What does nothing for
// an RPC is left out of its chain.
type collector struct {
	list []interceptors.Interceptor
	errs []error
}

func (c *collector) addIf(field string, wanted bool, build func() (interceptors.Interceptor, error)) {
	if wanted {
		c.build(field, build)
	}
}

func (c *collector) build(field string, build func() (interceptors.Interceptor, error)) {
	i, err := build()
	c.add(field, i, err)
}

func (c *collector) add(field string, i interceptors.Interceptor, err error) {
	switch {
	case err != nil:
		c.errs = append(c.errs, &policyError{field, err})
	case i.Unary != nil || i.Stream != nil:
		c.list = append(c.list, i)
	}
}

// policyError is a mistake in a policy.
type policyError struct {
	field string
	err   error
}

func (e *policyError) Error() string { return e.field + ": " + e.err.Error() }
func (e *policyError) Unwrap() error { return e.err }

// keyFunc tells calls apart; conditionFunc decides about one.
type (
	keyFunc       = func(context.Context) (string, error)
	conditionFunc = func(context.Context) (bool, error)
)
