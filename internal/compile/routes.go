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

// direct sets the target of r to the exposure's own upstream.
func (b *chainBuilder) direct(r *interceptors.Method, m *Method) error {
	x := b.file.exposureOf(m)
	own, err := b.to(r, m.Upstream, x.GetMetadata())
	if err != nil {
		return err
	}
	r.Target = own
	r.Routed = len(x.GetRoutes()) > 0
	r.Mirror, err = b.mirrorOf(r, m)
	return err
}

// to returns one upstream as a target.
func (b *chainBuilder) to(r *interceptors.Method, name string, metadata ...*configv1.Rewrite) (interceptors.Target, error) {
	u := b.file.upstreamNamed(name)
	to := interceptors.Target{Upstream: name, Source: sourceOf(name, metadata), Budget: u.GetRetryBudget(), Metadata: metadata}
	key := u.GetBalancing().GetKey()
	if u.GetBalancing().GetKind() != configv1.Balancing_KIND_RING_HASH || key == "" {
		return to, nil
	}
	program, err := r.Key(key)
	if err != nil {
		return to, interceptors.Wrong(b.file.upstreamField(name, "balancing.key"), "%w", err)
	}
	to.Replica = program.Key
	return to, nil
}

// link returns the connection of an RPC: its policies, the choice among upstreams if there
// is one, and the upstreams.
func (b *chainBuilder) link(r *interceptors.Method, m *Method) (grpc.ClientConnInterface, error) {
	if !r.Routed {
		list, err := build(b.policies.chain(), r)
		m.Chain = policyNames(list)
		return b.linked(r, list), interceptors.Within(m.policyField(), err)
	}
	outer, outerErr := build(b.policies.ofCall(), r)
	rest, names, restErr := b.target(r, m)
	m.Chain = append(policyNames(outer), names...)
	routes, routesErr := b.routesOf(r, m)
	return b.policies.Link(routing.New(routes, rest, rand.Float64), outer...), errors.Join(interceptors.Within(m.policyField(), outerErr), restErr, routesErr)
}

// target returns an upstream behind the policies of its own, and their names.
func (b *chainBuilder) target(r *interceptors.Method, m *Method) (routing.Target, []string, error) {
	list, err := build(b.policies.ofUpstream(), r)
	return routing.Target{Upstream: r.Upstream, Conn: b.linked(r, list)}, policyNames(list), interceptors.Within(m.policyField(), err)
}

// linked puts policies in front of r's upstream, or of what composes its answers.
func (b *chainBuilder) linked(r *interceptors.Method, list []interceptors.Interceptor) grpc.ClientConnInterface {
	if c := b.compositions[r.Name]; c != nil {
		return b.policies.Link(c.conn, list...)
	}
	return b.policies.Link(b.upstreams[r.Upstream].Conn(), list...)
}

func (b *chainBuilder) routesOf(r *interceptors.Method, m *Method) ([]routing.Route, error) {
	var routes []routing.Route
	var errs []error
	for i, conf := range b.file.exposureOf(m).GetRoutes() {
		route, err := b.routeOf(r, m, conf, fmt.Sprintf("expose[%d].routes[%d]", m.Exposure, i))
		routes, errs = append(routes, route), append(errs, err)
	}
	return routes, errors.Join(errs...)
}

// routeOf compiles the route at path.
func (b *chainBuilder) routeOf(r *interceptors.Method, m *Method, conf *configv1.Route, path string) (routing.Route, error) {
	route := routing.Route{Match: conf}
	if err := b.hasSame(conf.GetUpstream(), m.Desc); err != nil {
		return route, interceptors.Wrong(path+".upstream", "%w", err)
	}
	if len(conf.GetClaims()) > 0 && r.Policy.GetAuth().GetPublic() {
		b.unmatched[path] = append(b.unmatched[path], string(m.Desc.FullName()))
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
	target, names, err := b.target(&other, m)
	route.Target = target
	m.RouteChains = append(m.RouteChains, names)
	return route, err
}

// hasSame checks that another upstream has the same RPC.
func (b *chainBuilder) hasSame(name string, m protoreflect.MethodDescriptor) error {
	other := b.contracts.method(name, m.FullName())
	if other == nil {
		return fmt.Errorf("upstream %q has no %s in its contract; expose what it has, or route by an upstream that has all", name, m.FullName())
	}
	if err := contract.Same(m, other); err != nil {
		return fmt.Errorf("upstream %q has another %s: %w; both must have the same messages", name, m.FullName(), err)
	}
	return nil
}

// stickyBy compiles the expression by which a percentage is sticky.
func stickyBy(r *interceptors.Method, text string) (func(context.Context) (string, error), error) {
	program, err := r.Key(text)
	if err != nil {
		return nil, err
	}
	if program.NamesCaller() && r.Policy.GetAuth().GetPublic() {
		return nil, fmt.Errorf("%s names the caller, and a public RPC has no known caller, so the choice cannot stick to one; set auth.accept, or use peer.network or a header", text)
	}
	return program.Key, nil
}

// sourceOf returns a different text for each upstream, and for one upstream whose requests
// are changed in different ways.
func sourceOf(upstream string, metadata []*configv1.Rewrite) string {
	if changes := rewrite.KeyOf(metadata); changes != "" {
		return upstream + " " + changes
	}
	return upstream
}

// toReplica gives ring-hash balancing the key of a call. A call without a key, or with an
// empty one, goes to any replica.
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

// mirrorOf returns where copies of an RPC's calls go; nil for nowhere. Their metadata is
// changed as the exposure says; no other policy sees them.
func (b *chainBuilder) mirrorOf(r *interceptors.Method, m *Method) (*interceptors.Mirror, error) {
	conf := b.file.exposureOf(m).GetMirror()
	if conf == nil || !r.Unary() || r.SideEffects && !conf.GetUnsafe() {
		return nil, nil
	}
	if err := b.hasSame(conf.GetUpstream(), m.Desc); err != nil {
		return nil, interceptors.Wrong(fmt.Sprintf("expose[%d].mirror.upstream", m.Exposure), "%w", err)
	}
	up := b.upstreams[conf.GetUpstream()]
	changed, err := rewrite.BuildRequests(r)
	return &interceptors.Mirror{
		Upstream: conf.GetUpstream(), Conn: interceptors.Chain(up.Conn(), changed), MaxAnswer: int64(up.Options.MaxReceive), Conf: conf,
	}, err
}
