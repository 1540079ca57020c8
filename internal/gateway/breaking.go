package gateway

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/compat"
	"github.com/gatehouse-dev/gatehouse/internal/schema"
)

// unbroken refuses contracts that break clients of the table in force, unless the
// configuration allows it.
func (b *builder) unbroken() error {
	if b.before == nil || b.file.Config.GetReload().GetAllowBreaking() {
		return nil
	}
	old := map[protoreflect.FullName]protoreflect.MethodDescriptor{}
	next := map[protoreflect.FullName]protoreflect.MethodDescriptor{}
	field := map[protoreflect.FullName]string{}
	for _, was := range b.before.exposed {
		name := was.method.FullName()
		at, gone := b.whereabouts(was)
		if gone {
			continue // by the operator's own word
		}
		old[name], field[name] = was.method, at
		if m := b.methodOf(name); m != nil {
			next[name] = m.Desc
		}
	}
	changes, err := Breaking(old, next)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range changes {
		errs = append(errs, b.file.Errorf(field[c.RPC], "the contract would break clients: %v; nothing was changed: take it with reload.allow_breaking", c))
	}
	return errors.Join(errs...)
}

// whereabouts finds where the contract of an RPC that was served is said to come
// from. It is gone if its upstream is, or if the RPC is not exposed any more though
// the contract has it.
func (b *builder) whereabouts(was *exposed) (field string, gone bool) {
	name := was.method.FullName()
	if b.methodOf(name) != nil {
		return b.schemaField(was.upstream), false
	}
	s := b.schemas[was.upstream]
	if s == nil || s.set.Method(name) != nil {
		return "", true
	}
	return b.schemaField(was.upstream), false
}

func (b *builder) schemaField(upstream string) string {
	for i, u := range b.file.Config.GetUpstreams() {
		if u.GetName() == upstream {
			return fmt.Sprintf("upstreams[%d].schema", i)
		}
	}
	return "upstreams"
}

// methodOf is an RPC as it will be served; nil if it will not.
func (b *builder) methodOf(name protoreflect.FullName) *call.Method {
	return b.methods["/"+string(name.Parent())+"/"+string(name.Name())]
}

// Breaking lists what breaks clients of old where they meet next, which has no
// RPC of which the contract has none any more.
func Breaking(old, next map[protoreflect.FullName]protoreflect.MethodDescriptor) ([]compat.Change, error) {
	a, err := described(old)
	if err != nil {
		return nil, err
	}
	z, err := described(next)
	if err != nil {
		return nil, err
	}
	return compat.Check(a, z), nil
}

// described reads the HTTP bindings of RPCs too.
func described(methods map[protoreflect.FullName]protoreflect.MethodDescriptor) ([]compat.Method, error) {
	list := make([]compat.Method, 0, len(methods))
	for _, desc := range methods {
		m := compat.Method{Desc: desc}
		r, err := schema.HTTPRule(desc)
		if err != nil {
			return nil, err
		}
		if r != nil {
			rules, err := flatten(r, "google.api.http")
			if err != nil {
				return nil, err
			}
			for _, one := range rules {
				m.Bindings = append(m.Bindings, compat.Binding{Verb: one.verb, Path: one.path, Body: one.body, ResponseBody: one.responseBody})
			}
		}
		list = append(list, m)
	}
	return list, nil
}
