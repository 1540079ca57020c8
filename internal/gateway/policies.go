package gateway

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

// newMethod gathers what the policies of an RPC must know.
func (b *builder) newMethod(e *exposed, policy *policyv1.Policy, bindings []*contract.Binding) (*interceptors.Method, error) {
	version := e.version
	m := &interceptors.Method{
		Name: e.Name, Desc: e.Desc, Policy: policy,
		ClientStreams: e.Desc.IsStreamingClient(), ServerStreams: e.Desc.IsStreamingServer(),
		Strip: b.forwarded, Deprecation: version.deprecation,
		Response: func(text string) ([]byte, error) { return b.response(e, text) },
	}
	if version.edge != nil {
		m.Stamp = version.edge.Stamp
	}
	m.Safe, m.SideEffects = repeatable(e.Desc, bindings)
	if again := policy.GetRetry(); again != nil {
		if again.Safe == nil {
			again.Safe = new(m.Safe) // shown as what is in force
			e.effective.Origin["retry.safe"] = "default"
		}
		m.Safe = again.GetSafe()
	}
	if err := b.keysOf(m, e); err != nil {
		return nil, interceptors.Within(e.policyField(), err)
	}
	return m, b.direct(m, e)
}

// response makes wire bytes of a response in JSON.
func (b *builder) response(e *exposed, text string) ([]byte, error) {
	decoder, err := b.schemas[e.Upstream].plans.Decoder(e.Desc.Output())
	if err != nil {
		return nil, err
	}
	wire, err := decoder.Append([]byte{}, []byte(text))
	if err != nil {
		return nil, fmt.Errorf("not a %s in JSON: %w", e.Desc.Output().FullName(), err)
	}
	return wire, nil
}

// sound is the policy of an RPC without the parts that are wrong, and what is wrong
// with them.
func (e *exposed) sound() (*policyv1.Policy, error) {
	policy, err := e.effective.Check()
	var errs []error
	for _, one := range interceptors.FieldErrors(err) {
		if wrong, ok := errors.AsType[*config.Error](one.Err); ok {
			errs = append(errs, interceptors.Wrong(e.policyField()+"."+wrong.Path, "%s", wrong.Text))
		}
	}
	return policy, errors.Join(errs...)
}

// repeatable tells whether an RPC may be repeated, and whether it leaves
// something behind: as its contract says, else as its first HTTP method means
// (RFC 9110, section 9.2).
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
func (e *exposed) policyField() string { return fmt.Sprintf("expose[%d].policy", e.index) }

// wrongPolicy tells what is wrong with a policy, and where it is written. err names
// the fields of the configuration.
func (b *builder) wrongPolicy(e *exposed, err error) error {
	var errs []error
	reported := map[string]bool{} // a policy in front of several upstreams is compiled for each
	for _, one := range interceptors.FieldErrors(err) {
		path, text := one.Path, one.Err.Error()
		if field, ok := strings.CutPrefix(path, e.policyField()+"."); ok {
			if option := contractOption(e, field); option != "" {
				path, text = fmt.Sprintf("expose[%d]", e.index), fmt.Sprintf("%s: %s: %s", option, field, text)
			}
		}
		if mistake := path + ": " + text; !reported[mistake] {
			reported[mistake] = true
			errs = append(errs, b.file.Errorf(path, "%s (of %s)", text, e.Desc.FullName()))
		}
	}
	return errors.Join(errs...)
}

// contractOption names the option of the contract that a field of an RPC's policy comes
// from, as "option of service shop.catalog.v1.CatalogService"; "" for none.
func contractOption(e *exposed, field string) string {
	field, _, _ = strings.Cut(field, "[")
	origin := e.effective.Origin[field]
	for origin == "" && strings.Contains(field, ".") {
		field = field[:strings.LastIndexByte(field, '.')]
		origin = e.effective.Origin[field]
	}
	if !strings.HasPrefix(origin, "option of ") {
		return ""
	}
	return origin
}

// flattened lists the errors that were joined, one by one; none for nil.
func flattened(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, flattened(one)...)
	}
	return all
}
