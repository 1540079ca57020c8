package compile

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
func (b *Builder) newMethod(e *Method, policy *policyv1.Policy, bindings []*contract.Binding) (*interceptors.Method, error) {
	version := e.Version
	m := &interceptors.Method{
		Name: e.Name, Desc: e.Desc, Policy: policy,
		ClientStreams: e.Desc.IsStreamingClient(), ServerStreams: e.Desc.IsStreamingServer(),
		Strip: b.forwarded, Deprecation: version.Deprecation,
		Response: func(text string) ([]byte, error) { return b.response(e, text) },
	}
	if version.Edge != nil {
		m.Stamp = version.Edge.Stamp
	}
	m.Safe, m.SideEffects = repeatable(e.Desc, bindings)
	if again := policy.GetRetry(); again != nil {
		if again.Safe == nil {
			again.Safe = new(m.Safe) // shown as what is in force
			e.Effective.Origin["retry.safe"] = "default"
		}
		m.Safe = again.GetSafe()
	}
	if err := b.keysOf(m, e); err != nil {
		return nil, interceptors.Within(e.policyField(), err)
	}
	return m, b.direct(m, e)
}

// response makes wire bytes of a response in JSON.
func (b *Builder) response(e *Method, text string) ([]byte, error) {
	decoder, err := b.contracts[e.Upstream].Plans.Decoder(e.Desc.Output())
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
func (e *Method) sound() (*policyv1.Policy, error) {
	policy, err := e.Effective.Check()
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
func (e *Method) policyField() string { return fmt.Sprintf("expose[%d].policy", e.Exposure) }

// Place locates the mistakes in err, which are about the settings in a field.
func Place(file *config.File, field string, err error) error {
	var errs []error
	for _, e := range interceptors.FieldErrors(interceptors.Within(field, err)) {
		errs = append(errs, file.Errorf(e.Path, "%v", e.Err))
	}
	return errors.Join(errs...)
}

// wrongPolicy tells what is wrong with a policy, and where it is written. err names
// the fields of the configuration.
func (b *Builder) wrongPolicy(e *Method, err error) error {
	var errs []error
	reported := map[string]bool{} // a policy in front of several upstreams is compiled for each
	for _, one := range interceptors.FieldErrors(err) {
		path, text := one.Path, one.Err.Error()
		if field, ok := strings.CutPrefix(path, e.policyField()+"."); ok {
			if option := contractOption(e, field); option != "" {
				path, text = fmt.Sprintf("expose[%d]", e.Exposure), fmt.Sprintf("%s: %s: %s", option, field, text)
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
func contractOption(e *Method, field string) string {
	field, _, _ = strings.Cut(field, "[")
	origin := e.Effective.Origin[field]
	for origin == "" && strings.Contains(field, ".") {
		field = field[:strings.LastIndexByte(field, '.')]
		origin = e.Effective.Origin[field]
	}
	if !strings.HasPrefix(origin, "option of ") {
		return ""
	}
	return origin
}
