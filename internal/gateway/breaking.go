package gateway

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

// unbroken refuses contracts that break clients of the table in force, unless the
// configuration allows it.
func (b *builder) unbroken() error {
	if b.before == nil || b.file.Config.GetReload().GetAllowBreaking() {
		return nil
	}
	old := methodsOf(b.before.exposed)
	upstreams := map[protoreflect.FullName]string{}
	for _, was := range old {
		upstreams[was.Desc.FullName()] = was.Upstream
	}
	changes := breaks(old, b.schemas, b.exposed)
	errs := make([]error, 0, len(changes))
	for _, c := range changes {
		errs = append(errs, b.file.Errorf(b.schemaField(upstreams[c.RPC]),
			"the contract would break clients: %v; nothing was changed: take it with reload.allow_breaking", c))
	}
	return errors.Join(errs...)
}

func (b *builder) schemaField(upstream string) string {
	for i, u := range b.file.Config.GetUpstreams() {
		if u.GetName() == upstream {
			return fmt.Sprintf("upstreams[%d].schema", i)
		}
	}
	return "upstreams"
}

// Breaks lists what would break clients of old if this gateway took its place.
func (g *Gateway) Breaks(old []*contract.Method) []contract.Change {
	now := g.served()
	return breaks(old, now.schemas, now.exposed)
}

// breaks compares contracts. What is not exposed any more, or whose upstream is
// gone, is not looked at: that is the operator's own word, not the contract's.
func breaks(old []*contract.Method, schemas map[string]*source, served []*exposed) []contract.Change {
	now := map[string]*contract.Method{}
	for _, e := range served {
		now[e.Name] = e.Method
	}
	var was, is []*contract.Method
	for _, one := range old {
		if m := now[one.Name]; m != nil {
			was, is = append(was, one), append(is, m)
			continue
		}
		if s := schemas[one.Upstream]; s != nil && s.set.Method(one.Desc.FullName()) == nil {
			was = append(was, one)
		}
	}
	return contract.Breaking(was, is)
}
