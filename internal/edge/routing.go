package edge

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
)

// Match is the binding that a request was found to ask for. One that is used again
// does not allocate.
type Match struct {
	httprule.Match[*Route]
	// VersionBy is what named the version; "" where the binding has none.
	VersionBy string

	open httprule.Match[*openPath]
}

// Route finds the binding that the request asks for: by its path, and where that
// leaves the version open, by what else names one. The path is taken as it was sent:
// decoded it would have lost %2F.
func (h *HTTPHalf) Route(m *Match) error {
	t, r := h.Table, h.R
	m.VersionBy = ""
	err := t.Routes.Match(r.Method, SentPath(r.URL), &m.Match)
	switch {
	case err == nil && m.Value.Version == nil:
		return nil
	case err == nil:
		return h.agree(m)
	case t.Versions == nil:
		return h.unmatched(r.Method, err)
	default:
		return h.routeOpen(m, err)
	}
}

// ServeRoute has the route's method serve the call.
func (h *HTTPHalf) ServeRoute(route *Route) {
	h.Call.Binding = route.Name
	h.serve(route.Method, route.Version)
}

// agree refuses a request whose path names one version and something else
// another.
func (h *HTTPHalf) agree(m *Match) error {
	v := m.Value.Version
	m.VersionBy = byPath
	chosen := choice{version: v, by: m.VersionBy}
	if err := v.API.named(&chosen, h.R.Method, h.R.Header); err != nil {
		return err
	}
	h.Call.AddHeader(v.API.Header, v.Name)
	return nil
}

// routeOpen routes a request that no plain path serves with this HTTP method, by the
// error plain. A plain path with other methods stays 405 even if another version has the
// method, because the path exists.
func (h *HTTPHalf) routeOpen(m *Match, plain error) error {
	t, r := h.Table.Versions, h.R
	path := SentPath(r.URL)
	if find(t.open, r.Method, path, &m.open) {
		return h.chooseVersion(m, plain)
	}
	if allowed(plain) == nil && find(t.placed, r.Method, path, &m.open) {
		if p, word := m.open.Value, m.open.Vars[0]; p.api.meant(word) {
			if v := p.api.Version(word); v != nil {
				return v.lacks(r.Method, path, p)
			}
			return p.api.unknown(word, byPath)
		}
	}
	return h.unmatched(r.Method, plain)
}

// find finds a path, if only under another HTTP method.
func find(router *httprule.Router[*openPath], method, path string, m *httprule.Match[*openPath]) bool {
	err := router.Match(method, path, m)
	if allow := allowed(err); len(allow) > 0 {
		err = router.Match(allow[0], path, m)
	}
	return err == nil
}

// chooseVersion finds the version of a request whose path leaves it open, and the binding
// in that version.
func (h *HTTPHalf) chooseVersion(m *Match, plain error) error {
	p, r := m.open.Value, h.R
	h.Call.AddHeader("vary", p.api.vary)
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
	m.VersionBy = chosen.by
	h.Call.AddHeader(p.api.Header, v.Name)
	err := v.router.Match(r.Method, SentPath(r.URL), &m.Match)
	switch allow := allowed(err); {
	case err == nil:
		return nil
	case len(allow) > 0:
		return h.unmatched(r.Method, notAllowed(allow, allowed(plain)))
	case isNotFound(err):
		return v.lacks(r.Method, SentPath(r.URL), p)
	default:
		return h.unmatched(r.Method, err)
	}
}

// unmatched turns the router's error into a refusal.
func (h *HTTPHalf) unmatched(method string, err error) error {
	var e *httprule.Error
	if !errors.As(err, &e) {
		return err
	}
	u := h.R.URL
	switch {
	case e.Kind == httprule.MethodNotAllowed:
		return RefuseMethod(method, SentPath(u), joined(e.Allow))
	case e.Kind == httprule.BadPath:
		return call.Refuse(call.Client, codes.InvalidArgument, "bad path: %s", e.Reason)
	case u.Path == SentPath(u) && h.Table.Method(u.Path) != nil:
		refusal := RefuseHTTP(http.StatusUnsupportedMediaType, codes.Unimplemented,
			"%s is an RPC's own path: call it by gRPC (application/grpc), gRPC-Web (application/grpc-web) or Connect (application/json, application/proto)", u.Path)
		refusal.plain = true
		return refusal
	default:
		return call.Refuse(call.Client, codes.NotFound, "nothing is served at %s %s", method, SentPath(u))
	}
}

// allowed returns the methods that a path has instead of the requested one.
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

// notAllowed is the router's error for a path that has other methods in two places.
func notAllowed(one, other []string) error {
	all := slices.Concat(one, other)
	slices.Sort(all)
	return &httprule.Error{Kind: httprule.MethodNotAllowed, Allow: slices.Compact(all)}
}

// Announced returns the binding, as "OPTIONS /v1/products", for a method that a
// preflight announces. A path that leaves the version open is served if any version
// has it: the preflight does not say which one the page's request will name.
func (h *HTTPHalf) Announced(method string) (binding string, err error) {
	t, path := h.Table, SentPath(h.R.URL)
	var m Match
	if err = t.Routes.Match(method, path, &m.Match); err == nil {
		return "OPTIONS " + m.Value.Path, nil
	}
	if t.Versions != nil {
		switch open := t.Versions.open.Match(method, path, &m.open); {
		case open == nil:
			return "OPTIONS " + m.open.Value.template, nil
		case isNotFound(err):
			err = open
		}
	}
	return "", h.unmatched(method, err)
}

// IsPlainPath reports whether a URL is a path alone, with nothing encoded: such a path has
// one spelling.
func IsPlainPath(u *url.URL) bool {
	return u.Path == SentPath(u) && u.RawQuery == "" && !u.ForceQuery && u.Scheme == "" && u.Host == ""
}

// SentPath returns the path as it was sent. EscapedPath does not always: if it finds a
// character that should have been encoded, it encodes the decoded path again, in which
// %2F has become a separator.
func SentPath(u *url.URL) string {
	if u.RawPath != "" {
		return u.RawPath
	}
	return u.EscapedPath()
}

// Nearby is a binding that is close to a request.
type Nearby struct {
	Binding string   `json:"binding"`
	RPC     string   `json:"rpc"`
	Why     []string `json:"why"`

	apart int
}

// nearbyMost is how many near misses are shown.
const nearbyMost = 3

// Nearest returns the bindings that are closest to a request, among all paths, those
// without a version too.
func (t *Table) Nearest(method, path string) []Nearby {
	var found []Nearby
	for _, n := range t.Routes.Nearest(method, path, nearbyMost) {
		found = append(found, Nearby{Binding: n.Route.Value.Name, RPC: strings.TrimPrefix(n.Route.Value.Method.Name, "/"), Why: n.Why, apart: n.Apart})
	}
	if t.Versions != nil {
		for _, n := range t.Versions.open.Nearest(method, path, nearbyMost) {
			found = append(found, nearbyOpen(n))
		}
	}
	slices.SortStableFunc(found, func(a, b Nearby) int { return cmp.Compare(a.apart, b.apart) })
	return found[:min(nearbyMost, len(found))]
}

// nearbyOpen is Nearby for a path that only some versions have. If it does not differ from
// the request's path, the version that was asked for does not have it.
func nearbyOpen(n httprule.Near[*openPath]) Nearby {
	p := n.Route.Value
	have := namesOf(p.versions)
	if len(n.Why) == 0 {
		n.Why = []string{"it is only in " + have}
	}
	return Nearby{
		Binding: n.Route.Method + " " + p.template, RPC: fmt.Sprintf("%q in %s", p.api.Name, have), Why: n.Why, apart: n.Apart,
	}
}
