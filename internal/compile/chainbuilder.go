package compile

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/expr"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// chainBuilder builds the chain of each RPC: its policies, the choice among upstreams if
// there is one, and the connections behind them.
type chainBuilder struct {
	file         settings
	policies     *Policies
	contracts    *contracts
	upstreams    map[string]*upstream.Upstream
	exposures    *exposures
	compositions compositions

	programs  expr.Programs
	completed map[completion]*config.Effective
	unmatched map[string][]string // route that asks for claims -> public RPCs, whose callers have none
}

// completion is a policy in which retry.safe is set for RPCs that may be repeated, or for
// those that may not. RPCs share them as they share the policy.
type completion struct {
	policy *config.Effective
	safe   bool
}

// connect returns the chain of policies of an RPC in front of its upstream. Its bindings
// say whether it may be repeated.
func (b *chainBuilder) connect(m *Method, bindings []*contract.Binding) (conn grpc.ClientConnInterface, err error) {
	policy, wrong := m.sound()
	r, err := b.newMethod(m, policy, bindings)
	if err == nil {
		conn, err = b.link(r, m)
	}
	return conn, errors.Join(err, wrong)
}

// newMethod returns an RPC as its policies see it.
func (b *chainBuilder) newMethod(m *Method, policy *policyv1.Policy, bindings []*contract.Binding) (*interceptors.Method, error) {
	version := m.Version
	r := &interceptors.Method{
		Name: m.Name, Desc: m.Desc, Policy: policy,
		ClientStreams: m.Desc.IsStreamingClient(), ServerStreams: m.Desc.IsStreamingServer(),
		Strip: b.exposures.forwarded, Deprecation: version.Deprecation, Programs: &b.programs,
		Response: func(text string) ([]byte, error) { return b.response(m, text) },
	}
	if version.Edge != nil {
		r.Stamp = version.Edge.Stamp
	}
	r.Safe, r.SideEffects = repeatable(m.Desc, bindings)
	if again := policy.GetRetry(); again != nil {
		if again.Safe == nil {
			r.Policy = b.withSafe(m, policy, r.Safe)
		}
		r.Safe = r.Policy.GetRetry().GetSafe()
	}
	if err := b.keysOf(r, m); err != nil {
		return nil, interceptors.Within(m.policyField(), err)
	}
	return r, b.direct(r, m)
}

// withSafe returns the policy of an RPC with retry.safe, and makes it the one in force, so
// that check and explain show it.
func (b *chainBuilder) withSafe(m *Method, policy *policyv1.Policy, safe bool) *policyv1.Policy {
	key := completion{m.Effective, safe}
	whole := policy == m.Effective.Policy // else it lacks what is wrong
	if known := b.completed[key]; whole && known != nil {
		m.Effective = known
		return known.Policy
	}
	with := new(policyv1.Policy)
	policy.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		with.ProtoReflect().Set(field, v) // shares all that stays the same
		return true
	})
	with.Retry = proto.CloneOf(policy.GetRetry())
	with.Retry.Safe = new(safe)
	m.Effective = m.Effective.With(with, "retry.safe")
	if whole {
		b.completed[key] = m.Effective
	}
	return with
}

// response returns the wire bytes of a response in JSON.
func (b *chainBuilder) response(m *Method, text string) ([]byte, error) {
	decoder, err := b.contracts.of(m.Upstream).Plans.Decoder(m.Desc.Output())
	if err != nil {
		return nil, err
	}
	wire, err := decoder.Append([]byte{}, []byte(text))
	if err != nil {
		return nil, fmt.Errorf("not a %s in JSON: %w", m.Desc.Output().FullName(), err)
	}
	return wire, nil
}

// sound returns the policy of an RPC without the parts that are wrong, and their mistakes.
func (m *Method) sound() (*policyv1.Policy, error) {
	policy, err := m.Effective.Check()
	var errs []error
	for _, one := range interceptors.FieldErrors(err) {
		if wrong, ok := errors.AsType[*config.Error](one.Err); ok {
			errs = append(errs, interceptors.Wrong(m.policyField()+"."+wrong.Path, "%s", wrong.Text))
		}
	}
	return policy, errors.Join(errs...)
}

// repeatable reports whether an RPC may be repeated, and whether it has side effects: by
// its contract, or by its first HTTP method (RFC 9110, section 9.2).
func repeatable(m protoreflect.MethodDescriptor, bindings []*contract.Binding) (safe, sideEffects bool) {
	options, _ := m.Options().(*descriptorpb.MethodOptions)
	switch options.GetIdempotencyLevel() {
	case descriptorpb.MethodOptions_NO_SIDE_EFFECTS:
		return true, false
	case descriptorpb.MethodOptions_IDEMPOTENT:
		return true, true
	default:
	}
	if len(bindings) == 0 {
		return false, true
	}
	switch bindings[0].Verb {
	case "GET", "HEAD":
		return true, false
	case "PUT", "DELETE":
		return true, true
	default:
		return false, true
	}
}

// policyField is the field of the exposure's policy.
func (m *Method) policyField() string { return fmt.Sprintf("expose[%d].policy", m.Exposure) }

// locate adds to the mistakes in an RPC's policy where each field is written: in the
// configuration, or in an option of the contract.
func (b *chainBuilder) locate(m *Method, err error) error {
	var errs []error
	reported := map[string]bool{} // a policy in front of several upstreams is compiled for each
	for _, one := range interceptors.FieldErrors(err) {
		path, text := one.Path, one.Err.Error()
		if field, ok := strings.CutPrefix(path, m.policyField()+"."); ok {
			if option := contractOption(m, field); option != "" {
				path, text = fmt.Sprintf("expose[%d]", m.Exposure), fmt.Sprintf("%s: %s: %s", option, field, text)
			}
		}
		if mistake := path + ": " + text; !reported[mistake] {
			reported[mistake] = true
			errs = append(errs, b.file.Errorf(path, "%s (of %s)", text, m.Desc.FullName()))
		}
	}
	return errors.Join(errs...)
}

// contractOption names the option of the contract that a field of an RPC's policy comes
// from, as "option of service shop.catalog.v1.CatalogService"; "" for none.
func contractOption(m *Method, field string) string {
	field, _, _ = strings.Cut(field, "[")
	origin := m.Effective.Origin[field]
	for origin == "" && strings.Contains(field, ".") {
		field = field[:strings.LastIndexByte(field, '.')]
		origin = m.Effective.Origin[field]
	}
	if !strings.HasPrefix(origin, "option of ") {
		return ""
	}
	return origin
}
