package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/mirror"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/expr"
	"github.com/gatehouse-dev/gatehouse/internal/routing"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// routeError is a mistake in what an exposure says beside its policy.
type routeError struct {
	path string
	err  error
}

func (e *routeError) Error() string { return e.path + ": " + e.err.Error() }
func (e *routeError) Unwrap() error { return e.err }

func (b *builder) exposureAt(e *exposed) *configv1.Exposure {
	return b.file.Config.GetExpose()[e.index]
}

func (b *builder) upstreamNamed(name string) *configv1.Upstream {
	for _, u := range b.file.Config.GetUpstreams() {
		if u.GetName() == name {
			return u
		}
	}
	return nil
}

// direct tells r what differs from one upstream to the next, for the exposure's
// own.
func (b *builder) direct(r *rpc) error {
	x := b.exposureAt(r.exposed)
	own, err := b.to(r, r.Upstream)
	if err != nil {
		return err
	}
	r.toUpstream = own
	r.routed = len(x.GetRoutes()) > 0
	if r.requests, r.answers, err = rewrites(x.GetMetadata()); err != nil {
		return &routeError{fmt.Sprintf("expose[%d].metadata", r.index), err}
	}
	r.mirror, err = b.mirrorOf(r)
	return err
}

// to gathers what belongs to one upstream.
func (b *builder) to(r *rpc, name string) (toUpstream, error) {
	u := b.upstreamNamed(name)
	to := toUpstream{upstream: name, budget: u.GetRetryBudget()}
	key := u.GetBalancing().GetKey()
	if u.GetBalancing().GetKind() != configv1.Balancing_KIND_RING_HASH || key == "" {
		return to, nil
	}
	var err error
	if to.replica, err = r.expressions.key(key); err != nil {
		return to, &routeError{b.fieldOf(name) + ".balancing.key", err}
	}
	return to, nil
}

// fieldOf is the field of an upstream.
func (b *builder) fieldOf(name string) string {
	for i, u := range b.file.Config.GetUpstreams() {
		if u.GetName() == name {
			return fmt.Sprintf("upstreams[%d]", i)
		}
	}
	return "upstreams"
}

// link makes the connection of an RPC: its policies, the choice among upstreams
// if there is one, and the upstreams.
func (b *builder) link(r *rpc) (grpc.ClientConnInterface, error) {
	if !r.routed {
		list, err := b.parts.chain(r)
		r.chain = policyNames(list)
		return b.linked(r, list), err
	}
	outer, outerErr := b.parts.ofCall(r)
	rest, names, restErr := b.target(r)
	r.chain = append(policyNames(outer), names...)
	routes, routesErr := b.routesOf(r)
	return b.parts.link(routing.New(routes, rest, rand.Float64), outer...), errors.Join(outerErr, restErr, routesErr)
}

// target is an upstream inside of the policies that are its own, which it names.
func (b *builder) target(r *rpc) (routing.Target, []string, error) {
	list, err := b.parts.ofUpstream(r)
	return routing.Target{Upstream: r.upstream, Conn: b.linked(r, list)}, policyNames(list), err
}

// linked puts policies in front of r's upstream.
func (b *builder) linked(r *rpc, list []interceptors.Interceptor) grpc.ClientConnInterface {
	return b.parts.link(b.connOf(r), list...)
}

func (b *builder) routesOf(r *rpc) ([]routing.Route, error) {
	var routes []routing.Route
	var errs []error
	for i, conf := range b.exposureAt(r.exposed).GetRoutes() {
		route, err := b.routeOf(r, conf, fmt.Sprintf("expose[%d].routes[%d]", r.index, i))
		routes, errs = append(routes, route), append(errs, err)
	}
	return routes, errors.Join(errs...)
}

// routeOf compiles one route, which stands at path.
func (b *builder) routeOf(r *rpc, conf *configv1.Route, path string) (routing.Route, error) {
	route := routing.Route{Match: conf}
	if err := b.hasSame(conf.GetUpstream(), r.Desc); err != nil {
		return route, &routeError{path + ".upstream", err}
	}
	if len(conf.GetClaims()) > 0 && r.policy.GetAuth().GetPublic() {
		b.unmatched[path] = append(b.unmatched[path], string(r.Desc.FullName()))
	}
	var err error
	if text := conf.GetWhen(); text != "" {
		if route.When, err = r.expressions.condition(text); err != nil {
			return route, &routeError{path + ".when", err}
		}
	}
	if text := conf.GetStickyBy(); text != "" {
		if route.StickyBy, err = r.stickyBy(text); err != nil {
			return route, &routeError{path + ".sticky_by", err}
		}
	}
	to, err := b.to(r, conf.GetUpstream())
	if err != nil {
		return route, err
	}
	requests, answers, err := rewrites(conf.GetMetadata())
	if err != nil {
		return route, &routeError{path + ".metadata", err}
	}
	to.routed, to.requests, to.answers = true, r.requests.Then(requests), r.answers.Then(answers)
	if r.mirror != nil && r.mirror.upstream != to.upstream {
		to.mirror = r.mirror
	}
	other := *r
	other.toUpstream = to
	target, names, err := b.target(&other)
	route.Target = target
	r.routes = append(r.routes, names)
	return route, err
}

// hasSame checks that another upstream can be sent the calls of an RPC.
func (b *builder) hasSame(name string, m protoreflect.MethodDescriptor) error {
	other := b.schemas[name].set.Method(m.FullName())
	if other == nil {
		return fmt.Errorf("upstream %q has no %s in its contract; expose what it has, or route by an upstream that has all", name, m.FullName())
	}
	if err := contract.Same(m, other); err != nil {
		return fmt.Errorf("upstream %q has another %s: %w; both must have the same messages", name, m.FullName(), err)
	}
	return nil
}

// stickyBy compiles the key of a percentage.
func (r *rpc) stickyBy(text string) (keyFunc, error) {
	program, err := r.expressions.keyProgram(text)
	if err != nil {
		return nil, err
	}
	if program.NamesCaller() && r.policy.GetAuth().GetPublic() {
		return nil, fmt.Errorf("%s names the caller, and on a public RPC nobody is known: nobody would stick; say who may call (auth.accept), or take peer.network or a header", text)
	}
	return program.Key, nil
}

// source tells apart the answers of upstreams, and of one upstream that is asked
// in several ways.
func (r *rpc) source() string {
	if r.requests.Empty() {
		return r.upstream
	}
	return r.upstream + " " + r.requests.String()
}

// capsOfCall are the caps that do not depend on which upstream is chosen; where
// there is no choice, all of them. What is left out is without limit, so that
// errors name the right one.
func (r *rpc) capsOfCall() []*policyv1.Concurrency {
	return r.caps(func(scope policyv1.Concurrency_Scope) bool {
		return !r.routed || scope != policyv1.Concurrency_SCOPE_UPSTREAM
	})
}

// capsOfUpstream are the others.
func (r *rpc) capsOfUpstream() []*policyv1.Concurrency {
	return r.caps(func(scope policyv1.Concurrency_Scope) bool { return scope == policyv1.Concurrency_SCOPE_UPSTREAM })
}

func (r *rpc) caps(wanted func(policyv1.Concurrency_Scope) bool) []*policyv1.Concurrency {
	list := make([]*policyv1.Concurrency, 0, len(r.policy.GetConcurrency()))
	for _, c := range r.policy.GetConcurrency() {
		if !wanted(c.GetScope()) {
			c = &policyv1.Concurrency{Unlimited: new(true)}
		}
		list = append(list, c)
	}
	return list
}

// toReplica has the balancing of ring-hash know the key of a call. A call without
// one, or with an empty one, goes anywhere.
func (r *rpc) toReplica() interceptors.Interceptor {
	if r.replica == nil {
		return interceptors.Interceptor{}
	}
	return interceptors.Around("balancing", func(ctx context.Context, _ string) (context.Context, func(error), error) {
		if key, err := r.replica(ctx); err == nil && !expr.IsEmptyKey(key) {
			ctx = upstream.WithHashKey(ctx, key)
		}
		return ctx, nil, nil
	})
}

// mirrorTo is where copies go.
type mirrorTo struct {
	upstream  string
	conn      grpc.ClientConnInterface
	maxAnswer int64
	conf      *configv1.Mirror
}

// mirrorOf is where copies of an RPC's calls go, nil for nowhere. They are
// changed as the exposure says, and pass no other policy.
func (b *builder) mirrorOf(r *rpc) (*mirrorTo, error) {
	conf := b.exposureAt(r.exposed).GetMirror()
	if conf == nil || !r.unary() || r.sideEffects && !conf.GetUnsafe() {
		return nil, nil
	}
	if err := b.hasSame(conf.GetUpstream(), r.Desc); err != nil {
		return nil, &routeError{fmt.Sprintf("expose[%d].mirror.upstream", r.index), err}
	}
	up := b.upstreams[conf.GetUpstream()]
	return &mirrorTo{conf.GetUpstream(), interceptors.Chain(up.Conn(), r.requests.Requests()), int64(up.Options.MaxReceive), conf}, nil
}

func (p *parts) mirrorFor(r *rpc) interceptors.Interceptor {
	if r.mirror == nil {
		return interceptors.Interceptor{}
	}
	method := mirror.Method{Name: r.Name, Unary: r.unary(), SideEffects: r.sideEffects, MaxAnswer: r.mirror.maxAnswer}
	return p.mirrors.For(method, r.mirror.upstream, r.mirror.conn, r.mirror.conf)
}
