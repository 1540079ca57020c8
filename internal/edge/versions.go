package edge

import (
	"net/http"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
)

// Versions finds the paths of APIs that are served in several versions, where the path
// leaves the version open. Paths that name a version are in the router of all routes,
// which is asked first, so that requests for these cost no more. The cost does not grow
// with the number of versions. It is immutable; nil has no paths.
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

// API is an API in several versions. It is immutable once the table is built.
type API struct {
	// Name is for errors.
	Name string
	// Header is the header that names the version, in lower case.
	Header string
	// Parameter is the parameter of a media type that names the version.
	Parameter string
	// Default is the version of requests that name none; nil refuses them.
	Default *Version
	// List has the versions in the order of the configuration.
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

// NewAPI returns an API with versions of these names, which have no routes yet.
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

// Version returns the version of that name, or nil. As in a path, case matters.
func (a *API) Version(name string) *Version { return a.byName[name] }

// owns reports whether a key is that of the header that names the version, in any
// spelling: only the gateway sets it for backends.
func (v *Version) owns(key string) bool { return v != nil && call.Folded(key) == v.API.folded }

// Stamp sets the version in md, the metadata for a backend, and deletes other spellings of
// the key. A nil version leaves md alone.
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

// agreeWith refuses a call of an RPC of the version whose header names another one.
func (v *Version) agreeWith(header map[string][]string) error {
	values := header[v.API.Header]
	if len(values) == 0 {
		values = header[v.API.header] // as net/http has it
	}
	if len(values) == 0 {
		return nil
	}
	return v.API.byHeader(&choice{version: v, by: byRPC}, values)
}

// formOf returns the beginning of a name, up to its first digit. Words with the same
// beginning are meant as versions.
func formOf(name string) (string, bool) {
	i := strings.IndexAny(name, "0123456789")
	if i < 0 {
		return "", false
	}
	return strings.ToLower(name[:i]), true
}

// meant reports whether a word in the place of the version is meant as a version. A path
// with another word need not belong to the API.
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

// pending is a path that no other route may have.
type pending struct {
	verb, origin string
	template     *httprule.Template
}

// Add serves a route of a version on its path without the version. placed is that path
// with a variable in the place of the version.
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
	if b.known[key] == nil { // else the router reports the conflict
		b.known[key] = p
	}
	origin = "version " + v.Name + " of " + v.API.Name + ": " + origin
	if err := b.open.Add(verb, open, origin, p); err != nil {
		return err
	}
	b.order = append(b.order, pending{verb, origin, open})
	return b.placed.Add(verb, placed, origin, p)
}

// Build returns the paths that were added, nil if there are none. It reports to taken each
// path that plain, the router of all other paths, serves already: a request for it would
// never get here.
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
