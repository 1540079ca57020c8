package edge

import (
	"net/http"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
)

// Versions are APIs that are served in several versions each. The router of all
// routes knows the paths that name a version; this knows the paths that leave it
// open, and is asked only where that one has nothing: who uses no such path pays
// nothing for them. What it costs does not grow with the number of versions.
// Immutable; nil is none.
type Versions struct {
	open   *httprule.Router[*openPath] // paths without a version
	placed *httprule.Router[*openPath] // the same with any word in the version's place, their first variable
}

// openPath is one HTTP method and path of an API, and the versions that have it.
type openPath struct {
	api      *API
	template string
	versions []*Version
}

// API is what has versions. It is immutable once the table is built.
type API struct {
	// Name stands in errors.
	Name string
	// Header names the version, in lower case.
	Header string
	// Parameter of a media type does too.
	Parameter string
	// Default is the version of who names none; nil: who names none is refused.
	Default *Version
	// List has them in the order of the configuration.
	List []*Version

	header string // as net/http has it
	folded string // as [call.Folded] has it
	vary   string
	byName map[string]*Version
	names  string // for people
	forms  map[string]bool
}

// Version is one version of an API.
type Version struct {
	API  *API
	Name string

	values []string // the name, for headers: read only
	routes httprule.Builder[*Route]
	router *httprule.Router[*Route] // of the paths without a version
}

// NewAPI makes an API of versions that have names, and no routes yet.
func NewAPI(name, header, parameter string, versions ...string) *API {
	a := &API{
		Name: name, Header: strings.ToLower(header), Parameter: parameter,
		header: http.CanonicalHeaderKey(header), byName: map[string]*Version{}, names: joined(versions), forms: map[string]bool{},
	}
	a.folded = call.Folded(a.Header)
	a.vary = a.header + ", Accept"
	for _, v := range versions {
		version := &Version{API: a, Name: v, values: []string{v}}
		a.List = append(a.List, version)
		a.byName[v] = version
		if form, ok := formOf(v); ok {
			a.forms[form] = true
		}
	}
	return a
}

// Version returns the version of that name, or nil. A name has one spelling, as
// it has in a path.
func (a *API) Version(name string) *Version { return a.byName[name] }

// owns tells the header that names the version, in whatever spelling: what
// backends hear under it is the gateway's to say.
func (v *Version) owns(key string) bool { return v != nil && call.Folded(key) == v.API.folded }

// Stamp has md, the metadata for a backend, name the version, and nothing else do
// so. A nil version leaves md alone.
func (v *Version) Stamp(md metadata.MD) {
	if v == nil {
		return
	}
	for key := range md {
		if v.owns(key) {
			delete(md, key)
		}
	}
	md[v.API.Header] = v.values
}

// agreeWith refuses a call of an RPC of the version whose header names another
// one. A nil version has no header.
func (v *Version) agreeWith(in metadata.MD) error {
	if v == nil {
		return nil
	}
	values := in[v.API.Header]
	if len(values) == 0 {
		return nil
	}
	return v.API.byHeader(&choice{version: v, by: byRPC}, values)
}

// formOf is what a name begins with, up to its first digit: words that begin so
// are meant as versions.
func formOf(name string) (string, bool) {
	i := strings.IndexAny(name, "0123456789")
	if i < 0 {
		return "", false
	}
	return strings.ToLower(name[:i]), true
}

// meant tells a word in the version's place that is meant as a version: another
// may be a path that has nothing to do with the API.
func (a *API) meant(word string) bool {
	form, ok := formOf(word)
	return a.byName[word] != nil || ok && a.forms[form]
}

// VersionsBuilder gathers the paths of all APIs. The zero value is ready.
type VersionsBuilder struct {
	// Decoding is how path variables that may span segments are decoded.
	Decoding httprule.Decoding

	open, placed httprule.Builder[*openPath]
	known        map[string]*openPath // by HTTP method and path
	order        []pending
}

// pending is a path that must not be somebody else's.
type pending struct {
	verb, origin string
	template     *httprule.Template
}

// Add has a route of a version served on its path without the version, which is
// placed with a variable in the version's place.
func (b *VersionsBuilder) Add(route *Route, placed *httprule.Template, origin string) error {
	v, verb, open := route.Version, route.Verb, route.Template
	if err := v.routes.Add(verb, open, origin, route); err != nil {
		return err
	}
	key := verb + " " + open.Path()
	p := b.known[key]
	if p != nil && p.api == v.API {
		p.versions = append(p.versions, v)
		return nil
	}
	p = &openPath{api: v.API, template: open.String(), versions: []*Version{v}}
	if b.known == nil {
		b.known = map[string]*openPath{}
	}
	if b.known[key] == nil { // else the router tells of the two
		b.known[key] = p
	}
	origin = "version " + v.Name + " of " + v.API.Name + ": " + origin
	if err := b.open.Add(verb, open, origin, p); err != nil {
		return err
	}
	b.order = append(b.order, pending{verb, origin, open})
	return b.placed.Add(verb, placed, origin, p)
}

// Build returns what was gathered, nil for nothing. A path that plain, the
// router of all other paths, serves already would never be asked for here: each
// such is given to taken.
func (b *VersionsBuilder) Build(apis []*API, plain *httprule.Router[*Route], taken func(origin, path string, by *httprule.Route[*Route])) *Versions {
	if len(b.order) == 0 {
		return nil
	}
	for _, a := range apis {
		for _, v := range a.List {
			v.routes.Decoding = b.Decoding
			v.router = v.routes.Build()
		}
	}
	var m httprule.Match[*Route]
	for _, p := range b.order {
		if plain.Match(p.verb, p.template.Example(), &m) == nil {
			taken(p.origin, p.template.String(), m.Route)
		}
	}
	return &Versions{open: b.open.Build(), placed: b.placed.Build()}
}

// match is what a request was found to ask for. One that is used again does not
// allocate.
type match struct {
	httprule.Match[*Route]
	path httprule.Match[*openPath]
	by   string // what named the version; "" for no version
}

// route finds the binding that a request asks for: by its path, and where that
// leaves the version open, by what else names one.
func (s *restStream) routeTo(m *match) error {
	t, r := s.table, s.r
	m.by = ""
	err := t.Routes.Match(r.Method, sentPath(r.URL), &m.Match)
	switch {
	case err == nil && m.Value.Version == nil:
		return nil
	case err == nil:
		return s.agree(m)
	case t.Versions == nil:
		return s.unmatched(r.Method, err)
	default:
		return s.routeOpen(m, err)
	}
}

// agree refuses a request whose path names one version and something else
// another.
func (s *restStream) agree(m *match) error {
	v := m.Value.Version
	m.by = byPath
	chosen := choice{version: v, by: m.by}
	if err := v.API.named(&chosen, s.r.Method, s.r.Header); err != nil {
		return err
	}
	s.call.AddHeader(v.API.Header, v.Name)
	return nil
}

// routeOpen is for what no plain path has with this HTTP method, as the error
// tells. A plain path that has other methods is 405, also where another version
// has the one asked for: the path exists.
func (s *restStream) routeOpen(m *match, plain error) error {
	t, r := s.table.Versions, s.r
	path := sentPath(r.URL)
	if find(t.open, r.Method, path, &m.path) {
		return s.choose(m, plain)
	}
	if allowed(plain) == nil && find(t.placed, r.Method, path, &m.path) {
		if p, word := m.path.Value, m.path.Vars[0]; p.api.meant(word) {
			if v := p.api.Version(word); v != nil {
				return v.lacks(r.Method, path, p)
			}
			return p.api.unknown(word, byPath)
		}
	}
	return s.unmatched(r.Method, plain)
}

// find finds a path, if only under another HTTP method.
func find(router *httprule.Router[*openPath], method, path string, m *httprule.Match[*openPath]) bool {
	err := router.Match(method, path, m)
	if allow := allowed(err); len(allow) > 0 {
		err = router.Match(allow[0], path, m)
	}
	return err == nil
}

// choose finds the version of a request whose path leaves it open, and what that
// has there.
func (s *restStream) choose(m *match, plain error) error {
	p, r := m.path.Value, s.r
	s.call.AddHeader("vary", p.api.vary)
	var chosen choice
	if err := p.api.named(&chosen, r.Method, r.Header); err != nil {
		return err
	}
	if chosen.version == nil {
		chosen = choice{version: p.api.Default, by: byDefault}
	}
	v := chosen.version
	if v == nil {
		return p.api.unnamed()
	}
	m.by = chosen.by
	s.call.AddHeader(p.api.Header, v.Name)
	err := v.router.Match(r.Method, sentPath(r.URL), &m.Match)
	switch allow := allowed(err); {
	case err == nil:
		return nil
	case len(allow) > 0:
		return s.unmatched(r.Method, notAllowed(allow, allowed(plain)))
	case isNotFound(err):
		return v.lacks(r.Method, sentPath(r.URL), p)
	default:
		return s.unmatched(r.Method, err)
	}
}

// allowed are the methods that a path has instead of the one asked for.
func allowed(err error) []string {
	if e, ok := err.(*httprule.Error); ok && e.Kind == httprule.MethodNotAllowed { //nolint:errorlint // the router wraps nothing
		return e.Allow
	}
	return nil
}

func isNotFound(err error) bool {
	e, ok := err.(*httprule.Error) //nolint:errorlint // the router wraps nothing
	return ok && e.Kind == httprule.NotFound
}

// notAllowed is the refusal of a method where the path has others in two places.
func notAllowed(one, other []string) error {
	all := slices.Concat(one, other)
	slices.Sort(all)
	return &httprule.Error{Kind: httprule.MethodNotAllowed, Allow: slices.Compact(all)}
}

// preflight tells whether a path that leaves the version open has an HTTP method
// in any version: which one a page's request will name, its preflight does not
// say. The error is as the router's.
func (v *Versions) preflight(method, path string, m *match) error {
	return v.open.Match(method, path, &m.path)
}
