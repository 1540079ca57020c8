package compile

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/rewrite"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/nearest"
)

// exposures are the RPCs that the configuration exposes, with their policies.
type exposures struct {
	file      settings
	contracts *contracts
	methods   []*Method // in the order of the contracts

	// forwarded are the keys of metadata in which any RPC forwards claims: no client may
	// send them, to whatever RPC.
	forwarded []string
	ruleless  map[int][]string // exposure -> RPCs of which nobody said who may call them
	overruled map[int][]string // exposure -> RPCs whose contract says otherwise who may call them
}

// choose finds what each exposure selects. The most specific selection of an RPC wins. The
// descriptor of an RPC is that of the exposure's upstream.
func (s *exposures) choose() error {
	var errs []error
	var names []protoreflect.FullName // of the methods
	done := map[protoreflect.FullName]bool{}
	for _, u := range s.file.Config.GetUpstreams() {
		for m := range s.contracts.of(u.GetName()).Set.Methods() {
			if done[m] {
				continue
			}
			done[m] = true
			i, err := s.file.Exposure(m, func(upstream string) bool { return s.contracts.has(upstream, m) })
			if err != nil {
				errs = append(errs, err)
			} else if i >= 0 {
				names, s.methods = append(names, m), append(s.methods, &Method{Exposure: i})
			}
		}
	}
	eachAtOnce(len(s.methods), func(i int) {
		m := s.methods[i]
		upstream := s.file.exposureOf(m).GetUpstream()
		m.Method = contract.NewMethod(s.contracts.method(upstream, names[i]), upstream)
	})
	return errors.Join(append(errs, s.checkSelects(), s.checkMessageSets())...)
}

// checkSelects refuses exposures that select or leave out nothing.
func (s *exposures) checkSelects() error {
	var errs []error
	for i, x := range s.file.Config.GetExpose() {
		path := fmt.Sprintf("expose[%d]", i)
		if !selectsAny(s.contracts.of(x.GetUpstream()).Set, x.GetSelect()) {
			errs = append(errs, s.selectsNothing(path+".select", x))
		} else if len(x.GetExcept()) > 0 {
			errs = append(errs, s.checkExcept(path+".except", x))
		}
	}
	return errors.Join(errs...)
}

// checkExcept refuses an except that matches nothing, such as a mistyped name, and one that
// leaves out everything.
func (s *exposures) checkExcept(path string, x *configv1.Exposure) error {
	selected := selectedOf(s.contracts.of(x.GetUpstream()).Set, x.GetSelect())
	var errs []error
	for i, except := range x.GetExcept() {
		if !slices.ContainsFunc(selected, func(name string) bool { return config.Match(except, protoreflect.FullName(name)) }) {
			errs = append(errs, s.file.Errorf(fmt.Sprintf("%s[%d]", path, i), "%q matches no RPC that select %q names%s",
				except, x.GetSelect(), nearest.DidYouMean(except, selected)))
		}
	}
	if !slices.ContainsFunc(selected, func(name string) bool { return config.Selects(x, protoreflect.FullName(name)) }) {
		errs = append(errs, s.file.Errorf(path, "leaves out all that select %q names; leave out the exposure instead", x.GetSelect()))
	}
	return errors.Join(errs...)
}

// selectsNothing explains why a select matches no RPC: the services that it names have
// none, or do not exist.
func (s *exposures) selectsNothing(path string, x *configv1.Exposure) error {
	set := s.contracts.of(x.GetUpstream()).Set
	var empty []string
	for name, methods := range set.Services() {
		if len(methods) == 0 && (string(name) == x.GetSelect() || config.Match(x.GetSelect(), name.Append("Any"))) {
			empty = append(empty, string(name))
		}
	}
	if len(empty) > 0 {
		return s.file.Errorf(path, "%q matches no RPC of upstream %q: it names %s, without any RPC in the contract",
			x.GetSelect(), x.GetUpstream(), shortList(empty))
	}
	return s.file.Errorf(path, "%q matches no RPC of upstream %q, which has %s%s",
		x.GetSelect(), x.GetUpstream(), servicesOf(set), s.linkedHint(x.GetUpstream()))
}

// checkMessageSets refuses RPCs whose messages contain a MessageSet: it cannot be served.
func (s *exposures) checkMessageSets() error {
	ofUpstream := map[string][]protoreflect.MethodDescriptor{}
	for _, m := range s.methods {
		ofUpstream[m.Upstream] = append(ofUpstream[m.Upstream], m.Desc)
	}
	found := map[string]map[protoreflect.FullName]protoreflect.FullName{}
	for upstream, methods := range ofUpstream {
		found[upstream] = s.contracts.of(upstream).Set.MessageSets(slices.Values(methods))
	}
	var errs []error
	for _, m := range s.methods {
		if set := found[m.Upstream][m.Desc.FullName()]; set != "" {
			errs = append(errs, s.file.Errorf(fmt.Sprintf("expose[%d].select", m.Exposure),
				"%s cannot be served: its messages contain %s, a MessageSet, which is a wire format of proto1; leave it out, such as with except: [%s]",
				m.Desc.FullName(), set, m.Desc.FullName()))
		}
	}
	return errors.Join(errs...)
}

// linkedHint explains how other contracts can be linked in.
func (s *exposures) linkedHint(upstream string) string {
	if !s.file.upstreamNamed(upstream).GetSchema().GetLinked() {
		return ""
	}
	return "; these are linked into this binary: to serve others, build one that imports them"
}

func selectsAny(set *contract.Set, selector string) bool {
	for m := range set.Methods() {
		if config.Match(selector, m) {
			return true
		}
	}
	return false
}

// selectedOf lists the RPCs of a contract that a select matches.
func selectedOf(set *contract.Set, selector string) []string {
	var names []string
	for m := range set.Methods() {
		if config.Match(selector, m) {
			names = append(names, string(m))
		}
	}
	return names
}

// servicesOf lists the services of a contract, for an error.
func servicesOf(set *contract.Set) string {
	var names []string
	for name := range set.Services() {
		names = append(names, string(name))
	}
	return cmp.Or(shortList(names), "no services")
}

// merge finds the policy of every RPC, before any chain is built: metadata in which one RPC
// forwards claims must be stripped by all others.
func (s *exposures) merge() error {
	var errs []error
	merger := s.file.Merger()
	for _, m := range s.methods {
		effective, err := merger.Policy(m.Desc, m.Exposure)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		m.Effective = effective
		s.forwarded = slices.AppendSeq(s.forwarded, maps.Keys(effective.Policy.GetAuth().GetForward()))
		if !hasRule(effective.Policy.GetAuth()) {
			s.ruleless[m.Exposure] = append(s.ruleless[m.Exposure], string(m.Desc.FullName()))
		}
		if effective.Overruled != "" {
			s.overruled[m.Exposure] = append(s.overruled[m.Exposure], string(m.Desc.FullName()))
		}
	}
	slices.Sort(s.forwarded)
	s.forwarded = slices.Compact(s.forwarded)
	return errors.Join(errs...)
}

// hasRule reports whether auth says who may call.
func hasRule(auth *policyv1.Auth) bool { return auth.GetPublic() || len(auth.GetAccept()) > 0 }

// denyByDefault refuses a configuration that does not say who may call an exposed RPC.
func (s *exposures) denyByDefault() error {
	var errs []error
	for _, i := range slices.Sorted(maps.Keys(s.ruleless)) {
		if s.file.Config.GetExpose()[i].GetPolicy().GetAuth() != nil {
			errs = append(errs, s.file.Errorf(fmt.Sprintf("expose[%d].policy.auth", i),
				"nobody says who may call %s: add accept or public: true, because auth here replaces all of the contract's auth",
				shortList(s.ruleless[i])))
			continue
		}
		errs = append(errs, s.file.Errorf(fmt.Sprintf("expose[%d].policy.auth", i),
			"nobody says who may call %s; set auth here or in the contract, such as {accept: [NAME OF AN AUTHENTICATOR]} or {public: true}",
			shortList(s.ruleless[i])))
	}
	return errors.Join(errs...)
}

// warnings tell of contracts that the configuration overrules.
func (s *exposures) warnings() []string {
	var list []string
	for _, i := range slices.Sorted(maps.Keys(s.overruled)) {
		list = append(list, s.file.Errorf(fmt.Sprintf("expose[%d].policy.auth", i),
			"replaces what the contract says about who may call %s", shortList(s.overruled[i])).Error())
	}
	return list
}

// checkRewrites finds mistakes in changes of metadata, once and not for each RPC.
func (s *exposures) checkRewrites() error {
	var errs []error
	for i, x := range s.file.Config.GetExpose() {
		errs = append(errs, s.checkRewrite(fmt.Sprintf("expose[%d].metadata", i), x.GetMetadata()))
		for j, r := range x.GetRoutes() {
			errs = append(errs, s.checkRewrite(fmt.Sprintf("expose[%d].routes[%d].metadata", i, j), r.GetMetadata()))
		}
	}
	return errors.Join(errs...)
}

// checkRewrite refuses changes of the keys in which an RPC forwards claims to backends.
func (s *exposures) checkRewrite(path string, c *configv1.Rewrite) error {
	requests, err := rewrite.OfRequests(c.GetRequest())
	if err != nil {
		return Place(s.file.File, path+".request", err)
	}
	if _, err = rewrite.OfAnswers(c.GetResponse()); err != nil {
		return Place(s.file.File, path+".response", err)
	}
	for _, key := range requests.Keys() {
		if slices.ContainsFunc(s.forwarded, func(own string) bool { return call.Folded(key) == call.Folded(own) }) {
			return s.file.Errorf(path+".request", "%q carries the caller's identity to backends (auth.forward) and cannot be changed; use another key", key)
		}
	}
	return nil
}
