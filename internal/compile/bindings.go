package compile

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
)

// bindAll compiles the bindings of all RPCs. Those that may be skipped come last,
// so that of two that are the same the other one is served; else they come in the
// order of the contracts.
func (b *Builder) bindAll() error {
	var errs []error
	for _, may := range [...]bool{false, true} {
		for _, e := range b.exposed {
			if b.maySkip(e) == may {
				errs = append(errs, b.bindEach(e))
			}
		}
	}
	return errors.Join(errs...)
}

// maySkip reports whether the gateway may go on without a binding of an RPC. What the
// configuration itself says must be right.
func (b *Builder) maySkip(e *Method) bool {
	return (e.override == nil || e.override.inFile()) && b.exposureAt(e).GetBadRules() == configv1.Exposure_BAD_RULES_SKIP
}

// bindEach compiles the bindings of an RPC. What is wrong with one that is skipped
// stands in it.
func (b *Builder) bindEach(e *Method) error {
	var errs []error
	var served []*contract.Binding
	for _, r := range e.Bindings {
		list, err := b.bind(e, r)
		switch err = b.wrong(e, r, err); {
		case err == nil:
			served = append(served, list...)
		case b.maySkip(e):
			served = append(served, list[0].Failed(err))
		default:
			errs = append(errs, err)
		}
	}
	e.Bindings = served
	return errors.Join(errs...)
}

// skipped warns of the bindings that are not served.
func (b *Builder) skipped() []string {
	var warnings []string
	for _, e := range b.exposed {
		for _, r := range e.Bindings {
			if r.Err != nil {
				warnings = append(warnings, r.Problem()+"; skipped")
			}
		}
	}
	return warnings
}

// bind compiles an HTTP binding and enters it whole, or not at all. It returns those
// that the table has of it: at least one, also after an error.
func (b *Builder) bind(e *Method, r *contract.Binding) ([]*contract.Binding, error) {
	list := []*contract.Binding{r}
	if r.Err != nil {
		return list, r.Err
	}
	view, err := b.contracts[e.Upstream].Plans.Bind(e.Desc.Input(), e.Desc.Output(), r)
	if err != nil {
		return list, err
	}
	v := e.Version.Edge
	list, placed, err := ofVersion(v, r)
	if err == nil {
		err = b.take(e, r, list)
	}
	if err != nil {
		return list, err
	}
	origin := r.Origin + " of " + e.Name
	routes := make([]*edge.Route, 0, len(list))
	for _, one := range list {
		routes = append(routes, &edge.Route{Binding: one, Method: b.methods[e.Name], View: view, Version: v})
	}
	if err := b.router.Add(r.Verb, list[0].Template, origin, routes[0]); err != nil || len(list) == 1 {
		return list, err
	}
	return list, b.versions.paths.Add(routes[1], placed.Template, origin)
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
func (b *Builder) take(e *Method, r *contract.Binding, list []*contract.Binding) error {
	claims := map[string]claim{r.Verb + " " + list[0].Template.Path(): {by: r.Verb + " " + list[0].Template.String() + " of " + named(e, r)}}
	for _, open := range list[1:] {
		v, path := e.Version.String(), r.Verb+" "+open.Template.Path()
		own := claim{
			by: fmt.Sprintf("%s %s of %s, in version %s", r.Verb, open.Template, named(e, r), v),
			in: fmt.Sprintf("in version %s, on the path without it, ", v),
		}
		claims["version "+v+": "+path] = own
		own.owner = e.Version.Edge.API.Name
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

// named names an RPC, and where its binding is written.
func named(e *Method, r *contract.Binding) string {
	where := r.Origin
	switch {
	case e.override == nil:
	case e.override.inFile():
		where = e.override.at.String()
	default:
		where = strings.TrimSpace(e.override.field + " " + e.override.at.String())
	}
	return fmt.Sprintf("%s (%s)", e.Desc.FullName(), where)
}

// wrong places what is wrong with a binding, nil for nothing: where it is
// written, or, if that is the contract, at what exposes the RPC. It is one error
// for each that err joins.
func (b *Builder) wrong(e *Method, r *contract.Binding, err error) error {
	var errs []error
	for _, one := range config.Flatten(err) {
		if _, placed := errors.AsType[config.Errors](one); !placed {
			one = b.place(e, r, one)
		}
		errs = append(errs, one)
	}
	return errors.Join(errs...)
}

func (b *Builder) place(e *Method, r *contract.Binding, err error) error {
	text := strings.TrimSpace(fmt.Sprintf("%s %s of %s: %v", r.Verb, r.Path, e.Desc.FullName(), err))
	if e.override == nil {
		return b.file.Errorf(fmt.Sprintf("expose[%d]", e.Exposure), "%s: %s", r.Origin, text)
	}
	return e.override.errorf("%s", text)
}
