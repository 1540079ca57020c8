package gateway

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
)

// bindings are the HTTP bindings of one RPC on their way into the table.
type bindings struct {
	of     *exposed
	method *call.Method
	rules  []*rule
	info   RouteInfo   // what all of them have in common
	routes []RouteInfo // of each rule
	bad    []error     // of each rule that is skipped, nil for the others
}

// bindAll compiles the bindings of all RPCs. Those that may be skipped come last,
// so that of two that are the same the other one is served; else they come in the
// order of the contracts.
func (b *builder) bindAll() error {
	var errs []error
	for _, may := range [...]bool{false, true} {
		for _, list := range b.bindings {
			for i, r := range list.rules {
				if b.maySkip(list.of, r) != may {
					continue
				}
				err := b.wrong(list.of, r, b.bind(list, i))
				if may {
					list.bad[i] = err
				} else {
					errs = append(errs, err)
				}
			}
		}
	}
	b.listRoutes()
	return errors.Join(errs...)
}

// maySkip reports whether the gateway may go on without a binding. What the
// configuration itself says must be right.
func (b *builder) maySkip(e *exposed, r *rule) bool {
	return r.field == "" && b.exposureAt(e).GetBadRules() == configv1.Exposure_BAD_RULES_SKIP
}

// listRoutes lists all bindings, and the RPCs without any.
func (b *builder) listRoutes() {
	for _, list := range b.bindings {
		served := false
		for i, info := range list.routes {
			if bad := list.bad[i]; bad != nil {
				info.Skipped = inOneLine(bad)
			}
			b.routes = append(b.routes, info)
			if list.bad[i] != nil {
				continue
			}
			served = true
			if info.OpenPath != "" {
				info.Path = info.OpenPath
				b.routes = append(b.routes, info)
			}
		}
		if !served {
			b.routes = append(b.routes, list.info)
		}
	}
}

// skipped warns of the bindings that are not served.
func (b *builder) skipped() []string {
	var warnings []string
	for _, list := range b.bindings {
		for _, err := range list.bad {
			if err != nil {
				warnings = append(warnings, inOneLine(err)+"; skipped")
			}
		}
	}
	return warnings
}

// inOneLine is the text of an error that may join several.
func inOneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// skippedBy counts the bindings that are not served, by upstream.
func skippedBy(routes []RouteInfo) map[string]int {
	counts := map[string]int{}
	for _, r := range routes {
		if r.Skipped != "" {
			counts[r.Upstream]++
		}
	}
	return counts
}

// bind compiles the HTTP binding at an index of the list. It enters it whole, or
// not at all.
func (b *builder) bind(list *bindings, i int) error {
	r, m := list.rules[i], list.method
	info := &list.routes[i]
	*info = list.info
	info.Verb, info.Path, info.Body, info.ResponseBody = r.Verb, r.Path, r.Body, r.ResponseBody
	if r.Err != nil {
		return r.Err
	}
	template, err := httprule.Parse(r.Path)
	if err != nil {
		return err
	}
	view, err := b.schemas[m.Upstream].plans.Bind(m.Desc.Input(), m.Desc.Output(), transcodeRule(b.file.Config, r, template))
	if err != nil {
		return err
	}
	route := &edge.Route{
		Method: m, Binding: r.Verb + " " + r.Path, View: view, Body: r.Body != "", RawBody: view.RawBody(), RawAnswer: view.RawAnswer(),
	}
	var open *openBinding
	if v := b.versions.of(m.Desc); v.edge != nil {
		if template, open, err = splitVersion(v, template, route, r, info); err != nil {
			return err
		}
	}
	if err := b.take(list.of, r, template, open); err != nil {
		return err
	}
	origin := r.Origin + " of " + m.Name
	if err := b.router.Add(r.Verb, template, origin, route); err != nil || open == nil {
		return err
	}
	return b.versions.paths.Add(open.version, r.Verb, open.open, open.placed, origin, open.route)
}

// claim is a path with its HTTP method, which one binding has.
type claim struct {
	by    string // the binding, for people
	in    string // which of its paths it is; "" for the usual one
	owner string // whose bindings may share it; "" for nobody's
}

// take claims the paths of a binding, all or none. Two bindings with the same HTTP
// method and path are one too many, whatever their variables are called. Only
// versions of one API share the path without a version.
func (b *builder) take(e *exposed, r *rule, t *httprule.Template, open *openBinding) error {
	claims := map[string]claim{r.Verb + " " + t.Path(): {by: r.Verb + " " + t.String() + " of " + b.named(e, r)}}
	if open != nil {
		v, path := version{edge: open.version}.String(), r.Verb+" "+open.open.Path()
		own := claim{
			by: fmt.Sprintf("%s %s of %s, in version %s", r.Verb, open.open, b.named(e, r), v),
			in: fmt.Sprintf("in version %s, on the path without it, ", v),
		}
		claims["version "+v+": "+path] = own
		own.owner = open.version.API.Name
		claims["any version: "+path] = own
	}
	for _, path := range slices.Sorted(maps.Keys(claims)) {
		if other, taken := b.taken[path]; taken && (other.owner == "" || other.owner != claims[path].owner) {
			return fmt.Errorf("%sit is the same binding as %s; change or remove one", claims[path].in, other.by)
		}
	}
	maps.Copy(b.taken, claims)
	return nil
}

// named names an RPC, and where its rule is written.
func (b *builder) named(e *exposed, r *rule) string {
	where := r.Origin
	switch {
	case r.file != nil:
		where = r.file.Position(r.in).String()
	case r.field != "":
		where = strings.TrimSpace(r.field + " " + b.file.Position(r.field).String())
	}
	return fmt.Sprintf("%s (%s)", e.method.FullName(), where)
}

// wrong places what is wrong with a rule, nil for nothing: where the rule is
// written, or, if that is the contract, at what exposes the RPC. It is one error
// for each that err joins.
func (b *builder) wrong(e *exposed, r *rule, err error) error {
	var errs []error
	for _, one := range flattened(err) {
		if _, placed := errors.AsType[config.Errors](one); !placed {
			one = b.place(e, r, one)
		}
		errs = append(errs, one)
	}
	return errors.Join(errs...)
}

func (b *builder) place(e *exposed, r *rule, err error) error {
	text := strings.TrimSpace(fmt.Sprintf("%s %s of %s: %v", r.Verb, r.Path, e.method.FullName(), err))
	switch {
	case r.field != "":
		return b.file.Errorf(r.field, "%s", text)
	case r.file != nil:
		return r.file.Errorf(r.in, "%s", text)
	default:
		return b.file.Errorf(fmt.Sprintf("expose[%d]", e.index), "%s: %s", r.Origin, text)
	}
}
