package compile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/nearest"
)

// choose finds what each exposure selects. The most specific selection of an
// RPC wins.
func (b *Builder) choose() ([]*Method, error) {
	var errs []error
	var chosen []*Method
	done := map[protoreflect.FullName]bool{}
	for _, u := range b.file.Config.GetUpstreams() {
		for m := range b.contracts[u.GetName()].Set.Methods() {
			if done[m.FullName()] {
				continue
			}
			done[m.FullName()] = true
			e, err := b.exposureOf(m)
			if err != nil {
				errs = append(errs, err)
			} else if e != nil {
				chosen = append(chosen, e)
			}
		}
	}
	errs = append(errs, b.checkSelects(), b.checkMessageSets(chosen))
	return chosen, errors.Join(errs...)
}

// exposureOf finds under which exposure an RPC is served, nil for none. Its
// descriptor is that of the exposure's upstream.
func (b *Builder) exposureOf(m protoreflect.MethodDescriptor) (*Method, error) {
	i, err := b.file.Exposure(m.FullName(), func(upstream string) bool {
		s := b.contracts[upstream]
		return s != nil && s.Set.Method(m.FullName()) != nil
	})
	if i < 0 || err != nil {
		return nil, err
	}
	upstream := b.file.Config.GetExpose()[i].GetUpstream()
	return &Method{Method: contract.NewMethod(b.contracts[upstream].Set.Method(m.FullName()), upstream), Exposure: i}, nil
}

// checkSelects finds exposures that name nothing, or leave out what is not there.
func (b *Builder) checkSelects() error {
	var errs []error
	for i, x := range b.file.Config.GetExpose() {
		path := fmt.Sprintf("expose[%d]", i)
		if !selectsAny(b.contracts[x.GetUpstream()].Set, x.GetSelect()) {
			errs = append(errs, b.selectsNothing(path+".select", x))
		} else if len(x.GetExcept()) > 0 {
			errs = append(errs, b.checkExcept(path+".except", x))
		}
	}
	return errors.Join(errs...)
}

// checkExcept refuses what leaves out nothing, as a name that is mistyped does,
// and what leaves out all.
func (b *Builder) checkExcept(path string, x *configv1.Exposure) error {
	selected := selectedOf(b.contracts[x.GetUpstream()].Set, x.GetSelect())
	var errs []error
	for i, except := range x.GetExcept() {
		if !slices.ContainsFunc(selected, func(name string) bool { return config.Match(except, protoreflect.FullName(name)) }) {
			errs = append(errs, b.file.Errorf(fmt.Sprintf("%s[%d]", path, i), "%q matches no RPC that select %q names%s",
				except, x.GetSelect(), nearest.DidYouMean(except, selected)))
		}
	}
	if !slices.ContainsFunc(selected, func(name string) bool { return config.Selects(x, protoreflect.FullName(name)) }) {
		errs = append(errs, b.file.Errorf(path, "leaves out all that select %q names; leave out the exposure instead", x.GetSelect()))
	}
	return errors.Join(errs...)
}

// selectsNothing says why a select matches no RPC: the services that it names have
// none, or there are no such.
func (b *Builder) selectsNothing(path string, x *configv1.Exposure) error {
	set := b.contracts[x.GetUpstream()].Set
	var empty []string
	for s := range set.Services() {
		if name := s.FullName(); s.Methods().Len() == 0 && (string(name) == x.GetSelect() || config.Match(x.GetSelect(), name.Append("Any"))) {
			empty = append(empty, string(name))
		}
	}
	if len(empty) > 0 {
		return b.file.Errorf(path, "%q matches no RPC of upstream %q: it names %s, without any RPC in the contract",
			x.GetSelect(), x.GetUpstream(), several(empty))
	}
	return b.file.Errorf(path, "%q matches no RPC of upstream %q, which has %s%s",
		x.GetSelect(), x.GetUpstream(), servicesOf(set), b.linkedHint(x.GetUpstream()))
}

// checkMessageSets refuses what cannot be served because its messages contain a
// MessageSet.
func (b *Builder) checkMessageSets(chosen []*Method) error {
	ofUpstream := map[string][]protoreflect.MethodDescriptor{}
	for _, e := range chosen {
		ofUpstream[e.Upstream] = append(ofUpstream[e.Upstream], e.Desc)
	}
	found := map[string]map[protoreflect.FullName]protoreflect.FullName{}
	for upstream, methods := range ofUpstream {
		found[upstream] = b.contracts[upstream].Set.MessageSets(slices.Values(methods))
	}
	var errs []error
	for _, e := range chosen {
		if set := found[e.Upstream][e.Desc.FullName()]; set != "" {
			errs = append(errs, b.file.Errorf(fmt.Sprintf("expose[%d].select", e.Exposure),
				"%s cannot be served: its messages contain %s, a MessageSet, which is a wire format of proto1; leave it out, such as with except: [%s]",
				e.Desc.FullName(), set, e.Desc.FullName()))
		}
	}
	return errors.Join(errs...)
}

// linkedHint tells where a contract would have to be linked in.
func (b *Builder) linkedHint(upstream string) string {
	for _, u := range b.file.Config.GetUpstreams() {
		if u.GetName() == upstream && u.GetSchema().GetLinked() {
			return "; these are linked into this binary: to serve others, build one that imports them"
		}
	}
	return ""
}

func selectsAny(set *contract.Set, selector string) bool {
	for m := range set.Methods() {
		if config.Match(selector, m.FullName()) {
			return true
		}
	}
	return false
}

// selectedOf lists the RPCs of a contract that a select names.
func selectedOf(set *contract.Set, selector string) []string {
	var names []string
	for m := range set.Methods() {
		if config.Match(selector, m.FullName()) {
			names = append(names, string(m.FullName()))
		}
	}
	return names
}

// servicesOf lists the services of a contract, for an error.
func servicesOf(set *contract.Set) string {
	const most = 8
	var names []string
	for s := range set.Services() {
		if len(names) == most {
			names = append(names, "...")
			break
		}
		names = append(names, string(s.FullName()))
	}
	if len(names) == 0 {
		return "no services"
	}
	return strings.Join(names, ", ")
}
