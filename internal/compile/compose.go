package compile

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/aggregate"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/nearest"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// composition is an RPC that is made of calls of others. Its connection is put behind its
// chain first and compiled last, because it calls RPCs that are added later.
type composition struct {
	rpc   protoreflect.MethodDescriptor
	from  *composev1.Composition
	field string // of the configuration; "" for the option
	conn  *aggregate.Conn
}

// compositions are those of one table, by the name of the RPC on the wire.
type compositions map[string]*composition

// composer finds and links the composed RPCs of a table.
type composer struct {
	file      settings
	contracts *contracts
	upstreams map[string]*upstream.Upstream
	exposures *exposures
	methods   calls
	all       compositions
}

// find finds which of the exposed RPCs are composed.
func (b *composer) find() error {
	chosen := b.exposures.methods
	var errs []error
	known := make([]string, 0, len(chosen))
	for _, m := range chosen {
		known = append(known, string(m.Desc.FullName()))
		from, field, err := b.file.Composition(m.Desc)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", optionOf(m.Desc), err))
		case from != nil:
			b.all[m.Name] = &composition{rpc: m.Desc, from: from, field: field, conn: new(aggregate.Conn)}
		case b.upstreams[m.Upstream] == nil: // composed: true
			errs = append(errs, b.file.Errorf(fmt.Sprintf("expose[%d]", m.Exposure),
				"nobody answers %s: upstream %q has no server (composed: true), and nothing says of what the RPC is composed; give it the option (gatehouse.compose.v1.composition), or write compose: [{rpc: %s, steps: [...]}]",
				m.Desc.FullName(), m.Upstream, m.Desc.FullName()))
		}
	}
	for i, c := range b.file.Config.GetCompose() {
		if !slices.Contains(known, c.GetRpc()) {
			errs = append(errs, b.file.Errorf(fmt.Sprintf("compose[%d].rpc", i), "%q is not an exposed RPC%s", c.GetRpc(), nearest.DidYouMean(c.GetRpc(), known)))
		}
	}
	return errors.Join(errs...)
}

func optionOf(m protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("option of rpc %s (gatehouse.compose.v1.composition)", m.FullName())
}

// link links the composed RPCs to those that they call, of this same table.
func (b *composer) link() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(b.all)) {
		c := b.all[name]
		if b.methods[name] == nil {
			return nil // the table is refused already
		}
		if err := c.conn.Compile(c.from, c.rpc, aggregate.Contracts{Find: b.findRPC, JSON: b.jsonOf(b.methods[name].Upstream)}); err != nil {
			for _, one := range config.Flatten(err) {
				errs = append(errs, b.locate(c, one))
			}
			continue
		}
		b.methods[name].Conn = aggregate.Client(b.methods[name].Conn, b.versionHeaders()...)
	}
	if len(errs) == 0 {
		errs = append(errs, b.checkCircles())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return b.checkKeeping()
}

// versionHeaders are the headers that name a version. They name that of the composed RPC,
// so its steps do not get them.
func (b *composer) versionHeaders() []string {
	var keys []string
	for _, v := range b.file.Config.GetVersions() {
		keys = append(keys, strings.ToLower(v.GetHeader()))
	}
	return keys
}

// checkKeeping refuses to keep the answers of a composed RPC if one of its steps asks more
// of its callers: a kept answer skips the policies of the steps.
func (b *composer) checkKeeping() error {
	policies := map[string]*policyv1.Policy{}
	for _, m := range b.exposures.methods {
		policies[m.Name] = m.Effective.Policy
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(b.all)) {
		if !keeps(policies[name]) {
			continue
		}
		for _, m := range b.allCalls(b.all[name]) {
			if asksMore(policies[m.Name], policies[name]) {
				errs = append(errs, b.locate(b.all[name], fmt.Errorf(
					"its answers are kept (cache, fallback.last_good or idempotency), and %s, which a step calls, has stricter auth or ip; give both the same auth and ip, or keep the answers of the RPCs that the steps call",
					m.Desc.FullName())))
			}
		}
	}
	return errors.Join(errs...)
}

// keeps reports whether an answer may be given to a call that is not its own.
func keeps(p *policyv1.Policy) bool {
	return config.IsEnabled(p.GetCache()) || config.IsEnabled(p.GetIdempotency()) || config.IsEnabled(p.GetFallback()) && p.GetFallback().GetLastGood() != nil
}

// asksMore reports whether a step's policy may refuse a caller whom the policy of the whole
// admits. An expression in allow always counts as stricter: it may look into the request,
// and the step has another one.
func asksMore(step, whole *policyv1.Policy) bool {
	auth, own := proto.CloneOf(step.GetAuth()), proto.CloneOf(whole.GetAuth())
	if own != nil {
		own.Forward = nil
	}
	if auth != nil {
		auth.Forward = nil // informs backends, and refuses nobody
	}
	differs := !auth.GetPublic() && !proto.Equal(auth, own)
	return auth.GetAllow() != "" || differs || step.GetIp() != nil && !proto.Equal(step.GetIp(), whole.GetIp())
}

// allCalls are the RPCs that a composed one calls, and those that they call.
// There are no circles.
func (b *composer) allCalls(c *composition) []*call.Method {
	var all []*call.Method
	for _, m := range c.conn.Calls() {
		all = append(all, m)
		if inner := b.all[m.Name]; inner != nil {
			all = append(all, b.allCalls(inner)...)
		}
	}
	return all
}

// jsonOf reads JSON by the contract of an upstream.
func (b *composer) jsonOf(upstream string) func(protoreflect.MessageDescriptor, []byte) ([]byte, error) {
	return func(desc protoreflect.MessageDescriptor, text []byte) ([]byte, error) {
		decoder, err := b.contracts.of(upstream).Plans.Decoder(desc)
		if err != nil {
			return nil, err
		}
		return decoder.Append(nil, text)
	}
}

// findRPC finds the RPC that a step calls.
func (b *composer) findRPC(name protoreflect.FullName) (*call.Method, error) {
	if m := b.methods[contract.WireName(name)]; m != nil {
		return m, nil
	}
	for upstream := range b.contracts.all {
		if b.contracts.has(upstream, name) {
			return nil, fmt.Errorf("%s is not exposed, and a step passes the policies of what it calls; add to expose such as {select: %q, upstream: %s}", name, name, b.upstreamOf(name, upstream))
		}
	}
	var known []string
	for _, m := range b.methods {
		known = append(known, string(m.Desc.FullName()))
	}
	slices.Sort(known)
	return nil, fmt.Errorf("no upstream has an RPC %q%s", name, nearest.DidYouMean(string(name), known))
}

// upstreamOf is the first upstream of the configuration that has an RPC.
func (b *composer) upstreamOf(name protoreflect.FullName, found string) string {
	for _, u := range b.file.Config.GetUpstreams() {
		if !u.GetComposed() && b.contracts.has(u.GetName(), name) {
			return u.GetName()
		}
	}
	return found
}

// locate adds to a mistake in a composition where the composition is written.
func (b *composer) locate(c *composition, err error) error {
	field := ""
	if e, ok := errors.AsType[*aggregate.Error](err); ok {
		field = e.Field
	}
	switch {
	case c.field != "" && field != "":
		return b.file.Errorf(c.field+"."+field, "%v (of %s)", err, c.rpc.FullName())
	case c.field != "":
		return b.file.Errorf(c.field, "%v (of %s)", err, c.rpc.FullName())
	case field != "":
		return fmt.Errorf("%s: %s: %w", optionOf(c.rpc), field, err)
	default:
		return fmt.Errorf("%s: %w", optionOf(c.rpc), err)
	}
}

// checkCircles refuses composed RPCs that call each other.
func (b *composer) checkCircles() error {
	done := map[string]bool{}
	var path []string
	var visit func(name string) error
	visit = func(name string) error {
		c := b.all[name]
		if c == nil || done[name] {
			return nil
		}
		if i := slices.Index(path, name); i >= 0 {
			return b.locate(c, fmt.Errorf("it calls itself: %s", strings.Join(append(path[i:], name), " -> ")))
		}
		path = append(path, name)
		for _, m := range c.conn.Calls() {
			if err := visit(m.Name); err != nil {
				return err
			}
		}
		path = path[:len(path)-1]
		done[name] = true
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(b.all)) {
		if err := visit(name); err != nil {
			return err
		}
	}
	return nil
}
