package compile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/rewrite"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/expr"
	"github.com/gatehouse-dev/gatehouse/internal/routing"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

func (b *Builder) exposureAt(e *Method) *configv1.Exposure {
	return b.file.Config.GetExpose()[e.Exposure]
}

func (b *Builder) upstreamNamed(name string) *configv1.Upstream {
	for _, u := range b.file.Config.GetUpstreams() {
		if u.GetName() == name {
			return u
		}
	}
	return nil
}

// direct tells m what differs from one upstream to the next, for the exposure's own.
func (b *Builder) direct(m *interceptors.Method, e *Method) error {
	x := b.exposureAt(e)
	own, err := b.to(m, e.Upstream, x.GetMetadata())
	if err != nil {
		return err
	}
	m.Target = own
	m.Routed = len(x.GetRoutes()) > 0
	m.Mirror, err = b.mirrorOf(m, e)
	return err
}

// to gathers what belongs to one upstream.
func (b *Builder) to(m *interceptors.Method, name string, metadata ...*configv1.Rewrite) (interceptors.Target, error) {
	u := b.upstreamNamed(name)
	to := interceptors.Target{Upstream: name, Source: sourceOf(name, metadata), Budget: u.GetRetryBudget(), Metadata: metadata}
	key := u.GetBalancing().GetKey()
	if u.GetBalancing().GetKind() != configv1.Balancing_KIND_RING_HASH || key == "" {
		return to, nil
	}
	program, err := m.Key(key)
	if err != nil {
		return to, interceptors.Wrong(b.fieldOf(name)+".balancing.key", "%w", err)
	}
	to.Replica = program.Key
	return to, nil
}

// fieldOf is the field of an upstream.
func (b *Builder) fieldOf(name string) string {
	for i, u := range b.file.Config.GetUpstreams() {
		if u.GetName() == name {
			return fmt.Sprintf("upstreams[%d]", i)
		}
	}
	return "upstreams"
}

// link makes the connection of an RPC: its policies, the choice among upstreams
// if there is one, and the upstreams.
func (b *Builder) link(r *interceptors.Method, e *Method) (grpc.ClientConnInterface, error) {
	if !r.Routed {
		list, err := build(b.policies.chain(), r)
		e.Chain = policyNames(list)
		return b.linked(r, list), interceptors.Within(e.policyField(), err)
	}
	outer, outerErr := build(b.policies.ofCall(), r)
	rest, names, restErr := b.target(r, e)
	e.Chain = append(policyNames(outer), names...)
	routes, routesErr := b.routesOf(r, e)
	return b.policies.Link(routing.New(routes, rest, rand.Float64), outer...), errors.Join(interceptors.Within(e.policyField(), outerErr), restErr, routesErr)
}

// target is an upstream inside of the policies that are its own, which it names.
func (b *Builder) target(r *interceptors.Method, e *Method) (routing.Target, []string, error) {
	list, err := build(b.policies.ofUpstream(), r)
	return routing.Target{Upstream: r.Upstream, Conn: b.linked(r, list)}, policyNames(list), interceptors.Within(e.policyField(), err)
}

// linked puts policies in front of r's upstream.
func (b *Builder) linked(r *interceptors.Method, list []interceptors.Interceptor) grpc.ClientConnInterface {
	return b.policies.Link(b.connOf(r), list...)
}

func (b *Builder) routesOf(r *interceptors.Method, e *Method) ([]routing.Route, error) {
	var routes []routing.Route
	var errs []error
	for i, conf := range b.exposureAt(e).GetRoutes() {
		route, err := b.routeOf(r, e, conf, fmt.Sprintf("expose[%d].routes[%d]", e.Exposure, i))
		routes, errs = append(routes, route), append(errs, err)
	}
	return routes, errors.Join(errs...)
}

// routeOf compiles one route, which stands at path.
func (b *Builder) routeOf(r *interceptors.Method, e *Method, conf *configv1.Route, path string) (routing.Route, error) {
	route := routing.Route{Match: conf}
	if err := b.hasSame(conf.GetUpstream(), e.Desc); err != nil {
		return route, interceptors.Wrong(path+".upstream", "%w", err)
	}
	if len(conf.GetClaims()) > 0 && r.Policy.GetAuth().GetPublic() {
		b.unmatched[path] = append(b.unmatched[path], string(e.Desc.FullName()))
	}
	var err error
	if text := conf.GetWhen(); text != "" {
		program, err := r.Condition(text)
		if err != nil {
			return route, interceptors.Wrong(path+".when", "%w", err)
		}
		route.When = program.Bool
	}
	if text := conf.GetStickyBy(); text != "" {
		if route.StickyBy, err = stickyBy(r, text); err != nil {
			return route, interceptors.Wrong(path+".sticky_by", "%w", err)
		}
	}
	to, err := b.to(r, conf.GetUpstream(), append(slices.Clip(r.Metadata), conf.GetMetadata())...)
	if err != nil {
		return route, err
	}
	to.Routed = true
	if r.Mirror != nil && r.Mirror.Upstream != to.Upstream {
		to.Mirror = r.Mirror
	}
	other := *r
	other.Target = to
	target, names, err := b.target(&other, e)
	route.Target = target
	e.RouteChains = append(e.RouteChains, names)
	return route, err
}

// hasSame checks that another upstream can be sent the calls of an RPC.
func (b *Builder) hasSame(name string, m protoreflect.MethodDescriptor) error {
	other := b.contracts[name].Set.Method(m.FullName())
	if other == nil {
		return fmt.Errorf("upstream %q has no %s in its contract; expose what it has, or route by an upstream that has all", name, m.FullName())
	}
	if err := contract.Same(m, other); err != nil {
		return fmt.Errorf("upstream %q has another %s: %w; both must have the same messages", name, m.FullName(), err)
	}
	return nil
}

// stickyBy compiles the key of a percentage.
func stickyBy(r *interceptors.Method, text string) (func(context.Context) (string, error), error) {
	program, err := r.Key(text)
	if err != nil {
		return nil, err
	}
	if program.NamesCaller() && r.Policy.GetAuth().GetPublic() {
		return nil, fmt.Errorf("%s names the caller, and on a public RPC nobody is known: nobody would stick; say who may call (auth.accept), or take peer.network or a header", text)
	}
	return program.Key, nil
}

// sourceOf tells apart the answers of upstreams, and of one upstream whose requests are
// changed in different ways.
func sourceOf(upstream string, metadata []*configv1.Rewrite) string {
	if changes := rewrite.KeyOf(metadata); changes != "" {
		return upstream + " " + changes
	}
	return upstream
}

// toReplica has the balancing of ring-hash know the key of a call. A call without
// one, or with an empty one, goes anywhere.
func toReplica(m *interceptors.Method) (interceptors.Interceptor, error) {
	key := m.Replica
	if key == nil {
		return interceptors.Interceptor{}, nil
	}
	return interceptors.Around("balancing", func(ctx context.Context, _ string) (context.Context, func(error), error) {
		if value, err := key(ctx); err == nil && !expr.IsEmptyKey(value) {
			ctx = upstream.WithHashKey(ctx, value)
		}
		return ctx, nil, nil
	}), nil
}

// mirrorOf is where copies of an RPC's calls go, nil for nowhere. They are
// changed as the exposure says, and pass no other policy.
func (b *Builder) mirrorOf(m *interceptors.Method, e *Method) (*interceptors.Mirror, error) {
	conf := b.exposureAt(e).GetMirror()
	if conf == nil || !m.Unary() || m.SideEffects && !conf.GetUnsafe() {
		return nil, nil
	}
	if err := b.hasSame(conf.GetUpstream(), e.Desc); err != nil {
		return nil, interceptors.Wrong(fmt.Sprintf("expose[%d].mirror.upstream", e.Exposure), "%w", err)
	}
	up := b.upstreams[conf.GetUpstream()]
	changed, err := rewrite.BuildRequests(m)
	return &interceptors.Mirror{
		Upstream: conf.GetUpstream(), Conn: interceptors.Chain(up.Conn(), changed), MaxAnswer: int64(up.Options.MaxReceive), Conf: conf,
	}, err
}
