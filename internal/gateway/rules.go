package gateway

import (
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/schema"
)

// rule is one HTTP binding as it is written.
type rule struct {
	verb, path, body, responseBody string
	origin                         string // for errors: where it is written
}

// choose finds what each exposure selects. The most specific selection of an
// RPC wins.
func (b *builder) choose() ([]*exposed, error) {
	var errs []error
	var chosen []*exposed
	at := map[protoreflect.FullName]int{}
	for i, x := range b.config.GetExpose() {
		found := false
		for m := range b.schemas[x.GetUpstream()].set.Methods() {
			if !config.Match(x.GetSelect(), m.FullName()) {
				continue
			}
			found = true
			e := &exposed{method: m, exposure: x, index: i}
			if j, ok := at[m.FullName()]; !ok {
				at[m.FullName()] = len(chosen)
				chosen = append(chosen, e)
			} else if wins, err := moreSpecific(e, chosen[j]); err != nil {
				errs = append(errs, err)
			} else if wins {
				chosen[j] = e
			}
		}
		if !found {
			errs = append(errs, fmt.Errorf("expose[%d].select: %q matches no RPC of upstream %q; it has %s",
				i, x.GetSelect(), x.GetUpstream(), b.schemas[x.GetUpstream()].set.Describe()))
		}
	}
	return chosen, errors.Join(errs...)
}

// moreSpecific reports whether a wins over b; two selections of one rank are a
// mistake.
func moreSpecific(a, b *exposed) (bool, error) {
	ra, rb := config.Specificity(a.exposure.GetSelect()), config.Specificity(b.exposure.GetSelect())
	if ra == rb {
		return false, fmt.Errorf("%s and %s both expose %s: let one of them say which it means", b.origin(), a.origin(), fullName(a.method))
	}
	return ra > rb, nil
}

// addOverrides collects the HTTP rules of the configuration by method.
func (b *builder) addOverrides(chosen []*exposed) error {
	b.overrides = map[string][]*annotations.HttpRule{}
	known := map[string]bool{}
	for _, e := range chosen {
		known[fullName(e.method)] = true
	}
	var errs []error
	for i, x := range b.config.GetExpose() {
		for j, r := range x.GetHttp() {
			if !known[r.GetSelector()] {
				errs = append(errs, fmt.Errorf("expose[%d].http[%d].selector: %q is not an exposed RPC", i, j, r.GetSelector()))
			}
			b.overrides[r.GetSelector()] = append(b.overrides[r.GetSelector()], r)
		}
	}
	return errors.Join(errs...)
}

// rulesOf are the bindings of an RPC: the configuration's if it has any, else
// the contract's own.
func (b *builder) rulesOf(m protoreflect.MethodDescriptor) ([]*rule, error) {
	origin, written := "http rule of the configuration", b.overrides[fullName(m)]
	if len(written) == 0 {
		r, err := schema.HTTPRule(m)
		if err != nil {
			return nil, err
		}
		if r == nil {
			return nil, nil
		}
		origin, written = "google.api.http", []*annotations.HttpRule{r}
	}
	var rules []*rule
	for _, w := range written {
		flat, err := flatten(w, origin)
		if err != nil {
			return nil, err
		}
		rules = append(rules, flat...)
	}
	return rules, nil
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

// RouteInfo is one line of `gatehouse routes`.
type RouteInfo struct {
	Verb         string            `json:"verb,omitempty"`
	Path         string            `json:"path,omitempty"`
	Body         string            `json:"body,omitempty"`
	ResponseBody string            `json:"response_body,omitempty"` //nolint:tagliatelle // the contract's own spelling
	Method       string            `json:"method"`
	Upstream     string            `json:"upstream"`
	Exposure     string            `json:"exposure"`
	Policies     map[string]string `json:"policies"`
}

// policiesOf lists the policies in force and their settings.
func policiesOf(e config.Effective) map[string]string {
	out := map[string]string{}
	if d := e.Policy.GetTimeout().AsDuration(); d > 0 {
		out["timeout"] = d.String()
	}
	return out
}

