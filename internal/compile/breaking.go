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
	before := b.input.Previous.Contracts
	served := make([]*contract.Method, 0, len(b.withPolicy))
	for _, m := range b.withPolicy {
		served = append(served, m.Method)
	}
	changes := breaks(scratched(before, b.contracts.all, old), b.contracts.all, scratched(b.contracts.all, before, served))
	errs := make([]error, 0, len(changes))
	for _, c := range changes {
		errs = append(errs, b.file.Errorf(b.file.upstreamField(upstreams[c.RPC], "schema"),
			"the contract would break clients: %v; nothing was changed: take it with reload.allow_breaking", c))
	}
	return errors.Join(errs...)
}

// Breaks lists what would break clients of old if this table took its place.
func (t *Table) Breaks(old []*contract.Method) []contract.Change {
	return breaks(old, t.Contracts, t.Declared())
}

// scratched returns the RPCs of contracts with descriptors of their own, which are let
// go when the contracts are compared: else all of both would stay. Those of contracts
// that others have too stay as they are, since there is nothing to compare.
func scratched(contracts, others map[string]*Contract, list []*contract.Method) []*contract.Method {
	sets := map[string]*contract.Set{}
	for upstream, of := range contracts {
		if others[upstream] != of {
			sets[upstream] = of.Set.Scratch()
		}
	}
	made := make([]*contract.Method, 0, len(list))
	for _, m := range list {
		if set := sets[m.Upstream]; set != nil {
			m = &contract.Method{Name: m.Name, Desc: set.Method(m.Desc.FullName()), Upstream: m.Upstream, Bindings: m.Bindings}
		}
		made = append(made, m)
	}
	return made
}

// breaks compares contracts. What is not exposed any more, or whose upstream is
// gone, is not looked at: that is the operator's own word, not the contract's.
func breaks(old []*contract.Method, contracts map[string]*Contract, served []*contract.Method) []contract.Change {
	now := map[string]*contract.Method{}
	for _, m := range served {
		now[m.Name] = m
	}
	var was, is []*contract.Method
	for _, one := range old {
		if m := now[one.Name]; m != nil {
			was, is = append(was, one), append(is, m)
			continue
		}
		if s := contracts[one.Upstream]; s != nil && !s.Set.Has(one.Desc.FullName()) {
			was = append(was, one)
		}
	}
	return contract.Breaking(was, is)
}
