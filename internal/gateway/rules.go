package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/schema"
)

// rule is one HTTP binding as it is written.
type rule struct {
	verb, path, body, responseBody string
	origin                         string // for errors: where it is written
	field                          string // of the configuration, as "expose[0].http[1]"; "" for the contract's own
}

// choose finds what each exposure selects. The most specific selection of an
// RPC wins.
func (b *builder) choose() ([]*exposed, error) {
	var errs []error
	var chosen []*exposed
	done := map[protoreflect.FullName]bool{}
	for _, u := range b.file.Config.GetUpstreams() {
		for m := range b.schemas[u.GetName()].set.Methods() {
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
	errs = append(errs, b.checkSelects())
	return chosen, errors.Join(errs...)
}

// exposureOf finds under which exposure an RPC is served, nil for none. Its
// descriptor is that of the exposure's upstream.
func (b *builder) exposureOf(m protoreflect.MethodDescriptor) (*exposed, error) {
	i, err := b.file.Exposure(m.FullName(), func(upstream string) bool {
		s := b.schemas[upstream]
		return s != nil && s.set.Method(m.FullName()) != nil
	})
	if i < 0 || err != nil {
		return nil, err
	}
	upstream := b.file.Config.GetExpose()[i].GetUpstream()
	return &exposed{method: b.schemas[upstream].set.Method(m.FullName()), upstream: upstream, index: i}, nil
}

// checkSelects finds exposures that name nothing.
func (b *builder) checkSelects() error {
	var errs []error
	for i, x := range b.file.Config.GetExpose() {
		set := b.schemas[x.GetUpstream()].set
		if !selectsAny(set, x.GetSelect()) {
			errs = append(errs, b.file.Errorf(fmt.Sprintf("expose[%d].select", i), "%q matches no RPC of upstream %q, which has %s%s",
				x.GetSelect(), x.GetUpstream(), servicesOf(set), b.linkedHint(x.GetUpstream())))
		}
	}
	return errors.Join(errs...)
}

// linkedHint tells where a contract would have to be linked in.
func (b *builder) linkedHint(upstream string) string {
	for _, u := range b.file.Config.GetUpstreams() {
		if u.GetName() == upstream && u.GetSchema().GetLinked() {
			return "; these are linked into this binary: to serve others, build one that imports them"
		}
	}
	return ""
}

func selectsAny(set *schema.Set, selector string) bool {
	for m := range set.Methods() {
		if config.Match(selector, m.FullName()) {
			return true
		}
	}
	return false
}

// servicesOf lists the services of a contract, for an error.
func servicesOf(set *schema.Set) string {
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

// addOverrides collects the HTTP rules of the configuration by method.
func (b *builder) addOverrides(chosen []*exposed) error {
	b.overrides = map[string][]override{}
	known := map[string]bool{}
	for _, e := range chosen {
		known[string(e.method.FullName())] = true
	}
	var errs []error
	for i, x := range b.file.Config.GetExpose() {
		for j, r := range x.GetHttp() {
			name := cmp.Or(r.GetSelector(), x.GetSelect()) // of a rule below a select that names one RPC
			if !known[name] {
				errs = append(errs, b.file.Errorf(fmt.Sprintf("expose[%d].http[%d].selector", i, j), "%q is not an exposed RPC%s",
					name, config.DidYouMean(name, slices.Sorted(maps.Keys(known)))))
			}
			b.overrides[name] = append(b.overrides[name], override{r, fmt.Sprintf("expose[%d].http[%d]", i, j)})
		}
	}
	return errors.Join(errs...)
}

// override is an HTTP rule of the configuration, and the field it stands in.
type override struct {
	rule  *annotations.HttpRule
	field string
}

// rulesOf are the bindings of an RPC: the configuration's if it has any, else
// the contract's own, below the prefix that its upstream has.
func (b *builder) rulesOf(e *exposed) ([]*rule, error) {
	m := e.method
	var rules []*rule
	for _, o := range b.overrides[string(m.FullName())] {
		flat, err := flatten(o.rule, "http rule of the configuration")
		if err != nil {
			return nil, b.file.Errorf(o.field, "%v", err)
		}
		for _, r := range flat {
			r.field = o.field
		}
		rules = append(rules, flat...)
	}
	if len(rules) > 0 {
		return rules, nil
	}
	r, err := schema.HTTPRule(m)
	if err != nil || r == nil {
		return nil, err
	}
	if rules, err = flatten(r, "google.api.http"); err != nil {
		return nil, err
	}
	return b.prefixed(e.upstream, rules)
}

// wrong tells what is wrong with a rule, and where it is written: one error for
// each that err joins; nil for nil.
func (b *builder) wrong(r *rule, m *call.Method, err error) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // an error that wraps these is one of its own
		var errs []error
		for _, one := range joined.Unwrap() {
			errs = append(errs, b.wrong(r, m, one))
		}
		return errors.Join(errs...)
	}
	if r.field != "" {
		return b.file.Errorf(r.field, "%s %s of %s: %v", r.verb, r.path, m.Name, err)
	}
	return fmt.Errorf("%s: %s: %s %s: %w", m.Name, r.origin, r.verb, r.path, err)
}

// flatten lists a rule and its additional bindings, which nest one level.
func flatten(r *annotations.HttpRule, origin string) ([]*rule, error) {
	first, err := single(r, origin)
	if err != nil {
		return nil, err
	}
	rules := []*rule{first}
	for i, add := range r.GetAdditionalBindings() {
		if len(add.GetAdditionalBindings()) > 0 {
			return nil, fmt.Errorf("%s: additional_bindings[%d] has additional_bindings: they nest one level only", origin, i)
		}
		a, err := single(add, fmt.Sprintf("%s, additional_bindings[%d]", origin, i))
		if err != nil {
			return nil, err
		}
		rules = append(rules, a)
	}
	return rules, nil
}

func single(r *annotations.HttpRule, origin string) (*rule, error) {
	out := &rule{body: r.GetBody(), responseBody: r.GetResponseBody(), origin: origin}
	switch p := r.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		out.verb, out.path = "GET", p.Get
	case *annotations.HttpRule_Put:
		out.verb, out.path = "PUT", p.Put
	case *annotations.HttpRule_Post:
		out.verb, out.path = "POST", p.Post
	case *annotations.HttpRule_Delete:
		out.verb, out.path = "DELETE", p.Delete
	case *annotations.HttpRule_Patch:
		out.verb, out.path = "PATCH", p.Patch
	case *annotations.HttpRule_Custom:
		out.verb, out.path = p.Custom.GetKind(), p.Custom.GetPath()
	default:
		return nil, fmt.Errorf("%s: no method and path: want get, put, post, delete, patch or custom", origin)
	}
	return out, nil
}

// RouteInfo is one line of `gatehouse routes`: a path of a binding, or an RPC that
// has none.
type RouteInfo struct {
	Verb         string            `json:"verb,omitempty"`
	Path         string            `json:"path,omitempty"`
	Body         string            `json:"body,omitempty"`
	ResponseBody string            `json:"response_body,omitempty"` // the contract's own spelling
	Method       string            `json:"method"`
	Upstream     string            `json:"upstream"`
	Routes       []string          `json:"routes,omitempty"` // other upstreams, in their order, each with the calls that go there
	Mirror       string            `json:"mirror,omitempty"`
	Exposure     string            `json:"exposure"`
	Version      string            `json:"version,omitempty"`   // as in "v2 of reviews"
	OpenPath     string            `json:"open_path,omitempty"` // the path that leaves the version open; it has a line of its own, whose Path is the same
	Policies     map[string]string `json:"policies"`
}
