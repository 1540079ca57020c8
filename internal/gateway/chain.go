package gateway

import (
	"errors"
	"iter"
	"log/slog"

	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/accesslog"
	"github.com/gatehouse-dev/gatehouse/interceptors/admit"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/interceptors/ip"
	"github.com/gatehouse-dev/gatehouse/interceptors/recovery"
	"github.com/gatehouse-dev/gatehouse/interceptors/rewrite"
	"github.com/gatehouse-dev/gatehouse/interceptors/timeout"
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

// chain is the ordered list of policies, the outermost first: those of the call, then
// those of its upstream. Where routes choose among several upstreams, the choice
// stands between the two, and each upstream has a list of the second kind. This is
// the one place where their order is decided.
func (p *parts) chain() []interceptors.Policy { return append(p.ofCall(), p.ofUpstream()...) }

// policy is a policy that remembers nothing.
type policy = interceptors.PolicyFunc

// ofCall is the first part: who may call, how often, and for how long.
func (p *parts) ofCall() []interceptors.Policy {
	return append(
		p.observers(),
		recovery.Policy{Log: p.log}, // a panic further in is an answer like any other
		p.deprecated,                // refused callers get the announcement, too
		policy(stampVersion),
		// Who is refused without a look at credentials costs least.
		policy(ip.Build),
		policy(p.shed.BuildPrecheck), // takes no place yet
		p.auth,
		p.limits,
		policy(timeout.Build), // bounds all that follows, every attempt together
		// A place is taken once the request is there, never while waiting for the client.
		admit.Policy{Shedding: p.shed.Enabled()},
		p.shed,
		p.caps,
	)
}

// ofUpstream is the second part: what answers in the upstream's place, and how it
// is asked.
func (p *parts) ofUpstream() []interceptors.Policy {
	list := []interceptors.Policy{
		policy(p.metrics.Routed),
		policy(rewrite.BuildAnswers), // the metadata of all answers, from wherever they come
		policy(p.caps.BuildTarget),
		// What answers in the backend's place: a call that is answered here is not tried.
		p.cache,
		p.fallback,
		p.idempotency,     // inside of the fallback: what that serves is not the answer to the call, and must not be replayed as such
		p.mirrors,         // what the upstream is about to be asked, once
		policy(toReplica), // the same for all attempts
		// What follows happens once for each attempt.
		p.retries,
		p.breakers,
		policy(rewrite.BuildRequests), // all others see what the client sent
	}
	for _, i := range p.custom { // of those who build a gateway of their own
		list = append(list, policy(func(*interceptors.Method) (interceptors.Interceptor, error) { return i, nil }))
	}
	return list
}

// observers look on: they see calls, and what was refused before it became one.
func (p *parts) observers() []interceptors.Policy {
	return []interceptors.Policy{
		p.tracing, // outermost: a call from inside the process has its trace from here
		p.accessLog(),
		p.metrics,
	}
}

func (p *parts) accessLog() interceptors.Policy {
	return accesslog.Policy{Log: p.access, Admit: p.admitLine}
}

// build builds policies for one RPC. What does nothing for it is left out. Errors name
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

// stateful yields the policies that remember something.
func (p *parts) stateful() iter.Seq[interceptors.Stateful] {
	return func(yield func(interceptors.Stateful) bool) {
		for _, one := range p.chain() {
			if s, ok := one.(interceptors.Stateful); ok && !yield(s) {
				return
			}
		}
	}
}

// begin says that a table is being built. Then commit says that it is in force, or
// abandon that it was refused.
func (p *parts) begin() {
	for s := range p.stateful() {
		s.Begin()
	}
}

func (p *parts) commit() {
	for s := range p.stateful() {
		s.Commit()
	}
}

func (p *parts) abandon() {
	for s := range p.stateful() {
		s.Abandon()
	}
}
