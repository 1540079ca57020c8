package config

import (
	"fmt"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/schema"
)

// Effective is the policy in force for one RPC.
type Effective struct {
	// Policy has every field set.
	Policy *policyv1.Policy
	// Origin tells by field name where the value is from, as in
	// "gatehouse.yaml:14:7 expose[0].policy", "option of rpc
	// shop.catalog.v1.CatalogService.GetProduct" or "default".
	Origin map[string]string
}

// source is one place that may say something about an RPC.
type source struct {
	policy *policyv1.Policy
	name   string
	// origin, where set, refines name for a field.
	origin func(field string) string
}

// Policy merges what is said about an RPC, field by field: the exposure, an
// index in Config.Expose, over the option of the RPC, over that of its service,
// over that of its file, over the defaults. md is nil for an RPC without a
// descriptor.
func (f *File) Policy(md protoreflect.MethodDescriptor, exposure int) (*Effective, error) {
	sources := []source{f.exposed(exposure)}
	options, err := optionSources(md)
	if err != nil {
		return nil, err
	}
	sources = append(sources, options...)
	sources = append(sources, source{policy: DefaultPolicy(), name: "default"})
	e := &Effective{Policy: new(policyv1.Policy), Origin: map[string]string{}}
	for _, s := range sources {
		e.merge(s)
	}
	return e, nil
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
		policy, _, err := schema.Option[*policyv1.Policy](o.of, o.xt)
		if err != nil {
			return nil, err
		}
		if err := protovalidate.Validate(policy); policy != nil && err != nil {
			return nil, fmt.Errorf("%s (%s): %s", o.name, o.xt.TypeDescriptor().FullName(),
				strings.TrimPrefix(err.Error(), "validation error: "))
		}
		list = append(list, source{policy: policy, name: o.name})
	}
	return list, nil
}

// merge takes the fields from a source that none before it had.
func (e *Effective) merge(s source) {
	to := e.Policy.ProtoReflect()
	proto.CloneOf(s.policy).ProtoReflect().Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if to.Has(field) {
			return true
		}
		to.Set(field, v)
		origin := s.name
		if s.origin != nil {
			origin = s.origin(string(field.Name()))
		}
		e.Origin[string(field.Name())] = origin
		return true
	})
}
