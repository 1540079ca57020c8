package edge

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
)

// Reading is how an edge reads the head of a request, for people. It is made by
// the code that serves.
type Reading struct {
	// Method is the RPC, nil if there is none.
	Method *call.Method
	// Route is the binding; nil over gRPC.
	Route *Route
	// Vars are the values of its variables.
	Vars []string
	// Path and Query are the parts of the target, as sent.
	Path, Query string
	// VersionBy is what named the version, "" where the route has none.
	VersionBy string
	// Err is why the request is refused at the door; nil if it is not.
	Err error
	// Status is the HTTP status under which Err is told; 0 over gRPC.
	Status int
	// Allow are the HTTP methods that the path has instead.
	Allow string
	// Nearest are bindings that the request nearly has, where it has none.
	Nearest []Nearby
}

// Nearby is a binding that a request nearly has.
type Nearby struct {
	Binding string   `json:"binding"`
	RPC     string   `json:"rpc"`
	Why     []string `json:"why"`

	apart int
}

// ReadHTTP reads a request without a body, by the table in force. The target
// and the header are as they would be sent; the header's names may have any
// case.
func (s *Settings) ReadHTTP(ctx context.Context, method, target string, header map[string][]string) (*Reading, error) {
	r, err := newRequest(ctx, method, target, header)
	if err != nil {
		return nil, err
	}
	e, x, m := newREST(s.withHost(r.Host)), new(exchange), new(match)
	e.begin(x, s.Table.Load(), nil, r)
	st := &x.stream
	cancel, err := e.prepare(st, m)
	if err == nil {
		cancel()
	}
	out := &Reading{Route: m.Value, Vars: m.Vars, Path: sentPath(r.URL), Query: r.URL.RawQuery, VersionBy: m.by}
	if m.Value != nil {
		out.Method = m.Value.Method
	}
	if err != nil {
		out.Err, out.Status = err, httpStatusOf(err)
		h := http.Header{}
		setErrorHeaders(h, err)
		out.Allow = h.Get("Allow")
	}
	if m.Value == nil {
		out.Nearest = s.nearest(st.table, method, sentPath(r.URL))
	}
	return out, nil
}

// withHost are the settings for a reading of a request for that host. Where it is not
// said, it is one that is served.
func (s *Settings) withHost(host string) *Settings {
	if host != "" {
		return s
	}
	anyHost := *s
	anyHost.Hosts = nil
	return &anyHost
}

// newRequest makes a request as net/http would of what a client sends.
func newRequest(ctx context.Context, method, target string, header map[string][]string) (*http.Request, error) {
	if !isToken(method) {
		return nil, fmt.Errorf("%q is not an HTTP method: want a name such as GET", method)
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, fmt.Errorf("%q is not a URL or a path: want such as \"/v1/products/42?view=FULL\"", target)
	}
	r := &http.Request{Method: method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody, Host: u.Host}
	if u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") {
		u.Scheme, u.Host = "", "" // a client sends the path
	}
	for name, values := range header {
		if !isToken(name) {
			return nil, fmt.Errorf("%q is not the name of a header", name)
		}
		if strings.EqualFold(name, "host") {
			r.Host = first(values)
			continue
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		r.Header[name] = append(r.Header[name], values...)
	}
	return r.WithContext(ctx), nil
}

// few is how many near misses are told.
const few = 3

// nearest looks among all paths, those without a version too.
func (s *Settings) nearest(t *Table, method, path string) []Nearby {
	var found []Nearby
	for _, n := range t.Routes.Nearest(method, path, few) {
		found = append(found, Nearby{Binding: n.Route.Value.Name, RPC: strings.TrimPrefix(n.Route.Value.Method.Name, "/"), Why: n.Why, apart: n.Apart})
	}
	if t.Versions != nil {
		for _, n := range t.Versions.open.Nearest(method, path, few) {
			found = append(found, nearbyOpen(n))
		}
	}
	slices.SortStableFunc(found, func(a, b Nearby) int { return cmp.Compare(a.apart, b.apart) })
	return found[:min(few, len(found))]
}

// nearbyOpen is a path that some versions have. One without a difference is not
// in the version that was asked for.
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

// ReadGRPC reads the head of a call of an RPC, by the table in force.
func (s *Settings) ReadGRPC(name string, header map[string][]string) *Reading {
	in := metadata.MD{}
	for key, values := range header {
		in[strings.ToLower(key)] = values
	}
	table := s.Table.Load()
	host := first(in["host"])
	_, err := (&native{s.withHost(host)}).admit(table, &call.Call{Host: host}, in, name)
	return &Reading{Method: table.Method(name), Err: err}
}
