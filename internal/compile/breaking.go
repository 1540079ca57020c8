package compile

import (
	"errors"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

// refuseBreaking refuses contracts that break clients of the table in force, unless the
// configuration allows it.
func (b *Builder) refuseBreaking() error {
	if b.input.Previous == nil || b.file.Config.GetReload().GetAllowBreaking() {
		return nil
	}
	old := b.input.Previous.Declared()
	upstreams := map[protoreflect.FullName]string{}
	for _, was := range old {
		upstreams[was.Desc.FullName()] = was.Upstream
	}
	changes := breaks(old, b.contracts.all, b.withPolicy)
	errs := make([]error, 0, len(changes))
	for _, c := range changes {
		errs = append(errs, b.file.Errorf(b.file.upstreamField(upstreams[c.RPC], "schema"),
			"the contract would break clients: %v; nothing was changed: take it with reload.allow_breaking", c))
	}
	return errors.Join(errs...)
}

// Breaks lists what would break clients of old if this table took its place.
func (t *Table) Breaks(old []*contract.Method) []contract.Change {
	return breaks(old, t.Contracts, t.Methods)
}

// breaks compares contracts. What is not exposed any more, or whose upstream is
// gone, is not looked at: that is the operator's own word, not the contract's.
func breaks(old []*contract.Method, contracts map[string]*Contract, served []*Method) []contract.Change {
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
		if s := contracts[one.Upstream]; s != nil && s.Set.Method(one.Desc.FullName()) == nil {
			was = append(was, one)
		}
	}
	return contract.Breaking(was, is)
}
