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
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

// bindings compiles the HTTP bindings of all RPCs into one router.
type bindings struct {
	file      settings
	contracts *contracts
	versions  *versions
	methods   calls
	router    httprule.Builder[*edge.Route]
	taken     map[string]reservation // HTTP method and path -> binding that has it
	checked   map[*contract.Binding]checked
}

// checked is a binding that was compared with the messages of its RPC.
type checked struct {
	binding transcode.Checked
	err     error
}

// addAll compiles the bindings of all RPCs in the order of the contracts, and those that
// may be skipped last: where one of them has the same path as another binding, that other
// one is served.
func (b *bindings) addAll(methods []*Method) error {
	b.checkAll(methods)
	gcBetweenSteps(methods)
	var errs []error
	for _, may := range [...]bool{false, true} {
		for _, m := range methods {
			if b.maySkip(m) == may {
				errs = append(errs, b.addEach(m))
			}
		}
	}
	b.checked = nil
	return errors.Join(errs...)
}

// checkAll checks all bindings before any is added. It uses temporary descriptors, which
// are freed afterwards: most fields that bindings name are not needed again, and a heap of
// short-lived and long-lived descriptors would fragment.
func (b *bindings) checkAll(methods []*Method) {
	scratch := map[*Contract]*contract.Set{}
	for _, m := range methods {
		if of := b.contracts.of(m.Upstream); scratch[of] == nil && len(m.Bindings) > 0 {
			scratch[of] = of.Set.Scratch()
		}
	}
	results := make([][]checked, len(methods))
	eachAtOnce(len(methods), func(i int) {
		m := methods[i]
		if len(m.Bindings) == 0 {
			return
		}
		of := b.contracts.of(m.Upstream)
		desc := scratch[of].Method(m.Desc.FullName())
		results[i] = make([]checked, len(m.Bindings))
		for j, r := range m.Bindings {
			if r.Err == nil {
				results[i][j].binding, results[i][j].err = of.Plans.Check(desc.Input(), desc.Output(), r)
			}
		}
	})
	for i, m := range methods {
		for j, r := range m.Bindings {
			b.checked[r] = results[i][j]
		}
	}
}

// maySkip reports whether a wrong binding of an RPC is skipped (bad_rules: skip). A wrong
// binding of the configuration itself is always an error.
func (b *bindings) maySkip(m *Method) bool {
	return (m.override == nil || m.override.inFile()) && b.file.exposureOf(m).GetBadRules() == configv1.Exposure_BAD_RULES_SKIP
}

// addEach compiles the bindings of an RPC. A binding that is skipped gets the error.
func (b *bindings) addEach(m *Method) error {
	var errs []error
	var served []*contract.Binding
	for _, r := range m.Bindings {
		list, err := b.add(m, r)
		switch err = b.locate(m, r, err); {
		case err == nil:
			served = append(served, list...)
		case b.maySkip(m):
			served = append(served, list[0].Failed(err))
		default:
			errs = append(errs, err)
		}
	}
	m.Bindings = served
	return errors.Join(errs...)
}

// add compiles an HTTP binding and adds it to the router. It returns the bindings that are
// served for it, one for each of its paths: at least one, also after an error.
func (b *bindings) add(m *Method, r *contract.Binding) ([]*contract.Binding, error) {
	list := []*contract.Binding{r}
	if r.Err != nil {
		return list, r.Err
	}
	fits := b.checked[r]
	if fits.err != nil {
		return list, fits.err
	}
	view := b.contracts.of(m.Upstream).Plans.View(fits.binding, m.Desc.Input(), m.Desc.Output())
	v := m.Version.Edge
	list, placed, err := ofVersion(v, r)
	if err == nil {
		err = b.reserve(m, r, list)
	}
	if err != nil {
		return list, err
	}
	origin := r.Origin + " of " + m.Name
	routes := make([]*edge.Route, 0, len(list))
	for _, one := range list {
		routes = append(routes, &edge.Route{Binding: one, Method: b.methods[m.Name], View: view, Version: v})
	}
	if err := b.router.Add(r.Verb, list[0].Template, origin, routes[0]); err != nil || len(list) == 1 {
		return list, err
	}
	return list, b.versions.paths.Add(routes[1], placed.Template, origin)
}

// reservation is a path with its HTTP method, which one binding has.
type reservation struct {
	by    string // the binding, for people
	in    string // which of its paths it is; "" for the usual one
	owner string // whose bindings may share it; "" for nobody's
}

// reserve reserves the paths of a binding, all or none. Two bindings must not have the same
// HTTP method and path, whatever their variables are called. Only versions of one API
// share the path without a version.
func (b *bindings) reserve(m *Method, r *contract.Binding, list []*contract.Binding) error {
	reserved := map[string]reservation{r.Verb + " " + list[0].Template.Path(): {by: r.Verb + " " + list[0].Template.String() + " of " + describe(m, r)}}
	for _, open := range list[1:] {
		v, path := m.Version.String(), r.Verb+" "+open.Template.Path()
		own := reservation{
			by: fmt.Sprintf("%s %s of %s, in version %s", r.Verb, open.Template, describe(m, r), v),
			in: fmt.Sprintf("in version %s, on the path without it, ", v),
		}
		reserved["version "+v+": "+path] = own
		own.owner = m.Version.Edge.API.Name
		reserved["any version: "+path] = own
	}
	for _, path := range slices.Sorted(maps.Keys(reserved)) {
		if other, taken := b.taken[path]; taken && (other.owner == "" || other.owner != reserved[path].owner) {
			return fmt.Errorf("%sit is the same binding as %s; change or remove one", reserved[path].in, other.by)
		}
	}
	maps.Copy(b.taken, reserved)
	return nil
}

// describe names an RPC, and where its binding is written.
func describe(m *Method, r *contract.Binding) string {
	where := r.Origin
	switch {
	case m.override == nil:
	case m.override.inFile():
		where = m.override.at.String()
	default:
		where = strings.TrimSpace(m.override.field + " " + m.override.at.String())
	}
	return fmt.Sprintf("%s (%s)", m.Desc.FullName(), where)
}

// locate says of each error in err, which are about a binding, where the binding is
// written: in the configuration, or in the contract, whose place is what exposes the RPC.
func (b *bindings) locate(m *Method, r *contract.Binding, err error) error {
	var errs []error
	for _, one := range config.Flatten(err) {
		if _, placed := errors.AsType[config.Errors](one); !placed {
			one = b.locateOne(m, r, one)
		}
		errs = append(errs, one)
	}
	return errors.Join(errs...)
}

func (b *bindings) locateOne(m *Method, r *contract.Binding, err error) error {
	text := strings.TrimSpace(fmt.Sprintf("%s %s of %s: %v", r.Verb, r.Path, m.Desc.FullName(), err))
	if m.override == nil {
		return b.file.Errorf(fmt.Sprintf("expose[%d]", m.Exposure), "%s: %s", r.Origin, text)
	}
	return m.override.errorf("%s", text)
}

// of returns the bindings by which an RPC is served: the configuration's if it
// has any, else the contract's own, below the prefix that its upstream has. What
// cannot be a binding has its error.
func (b *bindings) of(m *Method) []*contract.Binding {
	switch {
	case b.file.exposureOf(m).GetGrpcOnly():
		return nil
	case m.override == nil:
		return b.prefixed(m.Upstream, m.Method.Bindings)
	}
	if m.override.inFile() {
		return contract.BindingsOf(m.override.rule, "http rule of "+m.override.at.File)
	}
	return contract.BindingsOf(m.override.rule, "http rule of the configuration")
}

// prefixed strips and adds the path prefixes that the configuration gives for an
// upstream. They apply to the contract's bindings: a rule of the configuration is served
// as it is written.
func (b *bindings) prefixed(name string, declared []*contract.Binding) []*contract.Binding {
	u := b.file.upstreamNamed(name)
	strip, add := u.GetStripPrefix(), u.GetAddPrefix()
	if strip == "" && add == "" {
		return declared
	}
	bindings := slices.Clone(declared)
	for i, r := range declared {
		rest, ok := strings.CutPrefix(r.Path, strip)
		switch {
		case r.Err != nil:
		case !ok || strip != "" && (rest == "" && add == "" || rest != "" && rest[0] != '/'):
			bindings[i] = r.Failed(b.file.Errorf(b.file.upstreamField(name, "strip_prefix"),
				"%s %s is not below %q; leave the RPC out, or give it a path of its own with expose[].http", r.Verb, r.Path, strip))
		default:
			bindings[i] = r.At(add + rest)
		}
	}
	return bindings
}
