package config

import (
	"fmt"
	"maps"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

// Effective is the policy in force for one RPC. RPCs may share it: it is never written.
type Effective struct {
	// Policy has every field set, of those parts that somebody asked for.
	Policy *policyv1.Policy
	// Origin tells by the field's path, as in "retry.attempts", where the value is from, as in
	// "gatehouse.yaml:14:7 expose[0].policy", "option of rpc
	// shop.catalog.v1.CatalogService.GetProduct" or "default".
	Origin map[string]string
	// Overruled names the option of the contract whose auth the exposure's auth
	// replaced, if that option's was not public; "" for none. One option of the
	// contract may replace another without a word: both are the contract's.
	Overruled string
}

// switchable is a policy that can be turned off.
type switchable interface {
	comparable
	GetDisabled() bool
}

// IsEnabled reports whether a policy is there and not turned off.
func IsEnabled[P switchable](p P) bool {
	var none P
	return p != none && !p.GetDisabled()
}

// source is one place that may say something about an RPC.
type source struct {
	policy *policyv1.Policy
	name   string
	// origin, where set, refines name for a field.
	origin func(field string) string
}

// With returns the policy with another value of one field, which nobody has said.
func (e *Effective) With(policy *policyv1.Policy, field string) *Effective {
	with := &Effective{Policy: policy, Origin: maps.Clone(e.Origin), Overruled: e.Overruled}
	with.Origin[field] = "default"
	return with
}

// Merger merges the policies of RPCs. It is not safe for concurrent use.
type Merger struct {
	file *File
	// plain are the policies of RPCs about which their contracts say nothing, as most
	// do, by exposure.
	plain map[int]*Effective
}

// Merger returns what merges the policies of this configuration.
func (f *File) Merger() *Merger { return &Merger{f, map[int]*Effective{}} }

// Policy merges what is said about an RPC, field by field: the exposure, an
// index in Config.Expose, over the option of the RPC, over that of its service,
// over that of its file, over the defaults. md is nil for an RPC without a
// descriptor.
func (m *Merger) Policy(md protoreflect.MethodDescriptor, exposure int) (*Effective, error) {
	options, err := optionSources(md)
	if err != nil {
		return nil, err
	}
	if len(options) > 0 {
		return m.file.merged(exposure, options), nil
	}
	if m.plain[exposure] == nil {
		m.plain[exposure] = m.file.merged(exposure, nil)
	}
	return m.plain[exposure], nil
}

func (f *File) merged(exposure int, options []source) *Effective {
	sources := append([]source{f.exposed(exposure)}, options...)
	e := &Effective{Policy: new(policyv1.Policy), Origin: map[string]string{}}
	for _, s := range sources {
		e.merge(s)
	}
	e.Overruled = overruled(sources[0], options)
	said := maps.Clone(e.Origin)
	completePolicy(e.Policy)
	e.noteDefaults(e.Policy.ProtoReflect(), "", said)
	return e
}

// noteDefaults notes where the fields are from that no source has said.
func (e *Effective) noteDefaults(m protoreflect.Message, path string, said map[string]string) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		at := joinPath(path, string(field.Name()))
		switch _, known := said[at]; {
		case isGroup(field):
			e.noteDefaults(v.Message(), at, said)
		case !known:
			e.Origin[at] = "default"
		}
		return true
	})
}

func (f *File) exposed(i int) source {
	path := fmt.Sprintf("expose[%d].policy", i)
	return source{
		policy: f.Config.GetExpose()[i].GetPolicy(),
		origin: func(field string) string {
			return strings.TrimSpace(f.Position(path+"."+field).String() + " " + path)
		},
	}
}

func optionSources(md protoreflect.MethodDescriptor) ([]source, error) {
	if md == nil {
		return nil, nil
	}
	service, file := md.Parent(), md.ParentFile()
	list := make([]source, 0, 3)
	for _, o := range []struct {
		of   protoreflect.Descriptor
		xt   protoreflect.ExtensionType
		name string
	}{
		{md, policyv1.E_Method, "option of rpc " + string(md.FullName())},
		{service, policyv1.E_Service, "option of service " + string(service.FullName())},
		{file, policyv1.E_File, "option of file " + file.Path()},
	} {
		policy, _, err := contract.Option[*policyv1.Policy](o.of, o.xt)
		if err != nil {
			return nil, err
		}
		if policy == nil {
			continue
		}
		if err := protovalidate.Validate(policy); err != nil {
			return nil, fmt.Errorf("%s (%s): %s", o.name, o.xt.TypeDescriptor().FullName(),
				strings.TrimPrefix(err.Error(), "validation error: "))
		}
		list = append(list, source{policy: policy, name: o.name})
	}
	return list, nil
}

// merge takes the fields from a source that none before it had.
func (e *Effective) merge(s source) {
	e.mergeInto(e.Policy.ProtoReflect(), proto.CloneOf(s.policy).ProtoReflect(), "", s)
}

func (e *Effective) mergeInto(to, from protoreflect.Message, path string, s source) {
	from.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		at := joinPath(path, string(field.Name()))
		whole := field.Message() != nil && field.Message().FullName() == authName
		switch {
		case whole && to.Has(field):
			// all of it is from a source before
		case !isGroup(field) && taken(to, field):
			// a source before had it
		case isGroup(field):
			e.mergeInto(to.Mutable(field).Message(), v.Message(), at, s)
		default:
			to.Set(field, v)
			e.Origin[at] = s.nameOf(at)
		}
		return true
	})
}

// overruled names the first of the contract's options whose auth the exposure's
// auth replaces, if it is not the same and not public; "" for none.
func overruled(exposure source, options []source) string {
	auth := exposure.policy.GetAuth()
	for _, s := range options {
		if replaced := s.policy.GetAuth(); auth != nil && replaced != nil {
			if replaced.GetPublic() || proto.Equal(auth, replaced) {
				return "" // the option nearest to the RPC is what counted
			}
			return s.name
		}
	}
	return ""
}

// authName is the message that is taken whole: who may call is to be read in one
// place.
const authName protoreflect.FullName = "gatehouse.policy.v1.Auth"

// taken reports whether a field is set, or another member of its oneof.
func taken(m protoreflect.Message, field protoreflect.FieldDescriptor) bool {
	if oneof := field.ContainingOneof(); oneof != nil {
		return m.WhichOneof(oneof) != nil
	}
	return m.Has(field)
}

func (s source) nameOf(path string) string {
	if s.origin != nil {
		return s.origin(path)
	}
	return s.name
}
