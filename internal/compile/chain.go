package compile

import (
	"errors"
	"iter"
	"log/slog"

	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/accesslog"
	"github.com/gatehouse-dev/gatehouse/interceptors/admit"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/interceptors/breaker"
	"github.com/gatehouse-dev/gatehouse/interceptors/cache"
	"github.com/gatehouse-dev/gatehouse/interceptors/concurrency"
	"github.com/gatehouse-dev/gatehouse/interceptors/deprecation"
	"github.com/gatehouse-dev/gatehouse/interceptors/fallback"
	"github.com/gatehouse-dev/gatehouse/interceptors/idempotency"
	"github.com/gatehouse-dev/gatehouse/interceptors/ip"
	"github.com/gatehouse-dev/gatehouse/interceptors/metrics"
	"github.com/gatehouse-dev/gatehouse/interceptors/mirror"
	"github.com/gatehouse-dev/gatehouse/interceptors/ratelimit"
	"github.com/gatehouse-dev/gatehouse/interceptors/recovery"
	"github.com/gatehouse-dev/gatehouse/interceptors/retry"
	"github.com/gatehouse-dev/gatehouse/interceptors/rewrite"
	"github.com/gatehouse-dev/gatehouse/interceptors/shed"
	"github.com/gatehouse-dev/gatehouse/interceptors/timeout"
	"github.com/gatehouse-dev/gatehouse/interceptors/tracing"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Policies are what the chains of a table are made of. Package live makes all that
// keeps state, once for the life of the process: a new table neither refills a limit
// nor closes a breaker.
type Policies struct {
	Metrics      *metrics.Metrics
	Tracing      *tracing.Tracing
	Shedder      *shed.Shedder
	Limits       *ratelimit.Limits
	Caps         *concurrency.Caps
	Idempotency  *idempotency.Keys
	Caches       *cache.Caches
	Fallbacks    *fallback.Fallbacks
	Retries      *retry.Retries
	Breakers     *breaker.Breakers
	Mirrors      *mirror.Mirrors
	Deprecations *deprecation.Deprecations

	Authenticators *auth.Authenticators // of this table
	Custom         []interceptors.Interceptor

	Log       *slog.Logger // the gateway's own
	AccessLog *slog.Logger // one line a call; nil for none
	// AdmitLine bounds the lines of one peer; nil for no bound.
	AdmitLine func(peer string) bool

	Link Linker
}

// Linker puts policies in front of a connection as [interceptors.Chain] does. A
// test has one that records when each policy is entered.
type Linker = func(conn grpc.ClientConnInterface, list ...interceptors.Interceptor) grpc.ClientConnInterface

// chain is the ordered list of policies, the outermost first: those of the call, then
// those of its upstream. Where routes choose among several upstreams, the choice
// stands between the two, and each upstream has a list of the second kind. This is
// the one place where their order is decided.
func (p *Policies) chain() []interceptors.Policy { return append(p.ofCall(), p.ofUpstream()...) }

// policy is a policy without state.
type policy = interceptors.PolicyFunc

// ofCall is the first part: who may call, how often, and for how long.
func (p *Policies) ofCall() []interceptors.Policy {
	return append(
		p.observers(),
		recovery.Policy{Log: p.Log}, // a panic further in is an answer like any other
		p.Deprecations,              // refused callers get the announcement, too
		policy(stampVersion),
		// Who is refused without a look at credentials costs least.
		policy(ip.Build),
		policy(p.Shedder.BuildPrecheck), // takes no place yet
		p.Authenticators,
		p.Limits,
		policy(timeout.Build), // bounds all that follows, every attempt together
		// A place is taken once the request is there, never while waiting for the client.
		admit.Policy{Shedding: p.Shedder.Enabled()},
		p.Shedder,
		p.Caps,
	)
}

// ofUpstream is the second part: what answers in the upstream's place, and how it
// is asked.
func (p *Policies) ofUpstream() []interceptors.Policy {
	list := []interceptors.Policy{
		policy(p.Metrics.Routed),
		policy(rewrite.BuildAnswers), // the metadata of all answers, from wherever they come
		policy(p.Caps.BuildTarget),
		// What answers in the backend's place: a call that is answered here is not tried.
		p.Caches,
		p.Fallbacks,
		p.Idempotency,     // inside of the fallback: what that serves is not the answer to the call, and must not be replayed as such
		p.Mirrors,         // what the upstream is about to be asked, once
		policy(toReplica), // the same for all attempts
		// What follows happens once for each attempt.
		p.Retries,
		p.Breakers,
		policy(rewrite.BuildRequests), // all others see what the client sent
	}
	for _, i := range p.Custom { // of those who build a gateway of their own
		list = append(list, policy(func(*interceptors.Method) (interceptors.Interceptor, error) { return i, nil }))
	}
	return list
}

// observers see all calls, and requests that were refused before they became calls.
func (p *Policies) observers() []interceptors.Policy {
	return []interceptors.Policy{
		p.Tracing, // outermost: a call from inside the process has its trace from here
		p.accessLog(),
		p.Metrics,
	}
}

func (p *Policies) accessLog() interceptors.Policy {
	return accesslog.Policy{Log: p.AccessLog, Admit: p.AdmitLine}
}

// build builds the policies of one RPC, without those that do nothing for it. Errors name
// fields of the RPC's policy.
func build(list []interceptors.Policy, m *interceptors.Method) ([]interceptors.Interceptor, error) {
	links := make([]interceptors.Interceptor, 0, len(list))
	var errs []error
	for _, p := range list {
		link, err := p.Build(m)
		if err != nil {
			errs = append(errs, err)
		} else if link.Unary != nil || link.Stream != nil {
			links = append(links, link)
		}
	}
	return links, errors.Join(errs...)
}

// policyNames lists policies.
func policyNames(list []interceptors.Interceptor) []string {
	names := make([]string, 0, len(list))
	for _, i := range list {
		names = append(names, i.Name)
	}
	return names
}

// stateful yields the policies that keep state.
func (p *Policies) stateful() iter.Seq[interceptors.Stateful] {
	return func(yield func(interceptors.Stateful) bool) {
		for _, one := range p.chain() {
			if s, ok := one.(interceptors.Stateful); ok && !yield(s) {
				return
			}
		}
	}
}

// Begin tells the policies that keep state that a table is being compiled.
func (p *Policies) Begin() {
	for s := range p.stateful() {
		s.Begin()
	}
}

// Commit tells them that the table is in force.
func (p *Policies) Commit() {
	for s := range p.stateful() {
		s.Commit()
	}
}

// Abandon tells them that the table was refused.
func (p *Policies) Abandon() {
	for s := range p.stateful() {
		s.Abandon()
	}
}

// OwnMethod is an RPC that the gateway answers itself.
type OwnMethod struct {
	Name string // on the wire
	// Logged says that its calls have lines in the access log. Calls that balancers and
	// probes make without end are only counted.
	Logged bool
}

// own returns the observers of the gateway's own RPCs.
func (p *Policies) own(rpcs []OwnMethod) ([]*call.Method, error) {
	var methods []*call.Method
	var errs []error
	for _, rpc := range rpcs {
		observers := []interceptors.Policy{p.Metrics}
		if rpc.Logged {
			observers = append(observers, p.accessLog())
		}
		list, err := build(observers, &interceptors.Method{Name: rpc.Name})
		methods = append(methods, &call.Method{Name: rpc.Name, Conn: interceptors.Chain(call.Refuser{}, list...)})
		errs = append(errs, err)
	}
	return methods, errors.Join(errs...)
}
