package edge

import (
	"context"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Reading is how a door reads the head of a request, for explain. The code that serves
// requests makes it.
type Reading struct {
	// Method is the RPC, nil if there is none.
	Method *call.Method
	// Route is the binding; nil over gRPC.
	Route *Route
	// Vars are the values of its variables.
	Vars []string
	// Path and Query are the parts of the target, as sent.
	Path, Query string
	// VersionBy is what named the version, "" if the route has none.
	VersionBy string
	// Err is why the request is refused at the door; nil if it is not.
	Err error
	// Status is the HTTP status of Err; 0 over gRPC.
	Status int
	// Allow are the HTTP methods that the path has instead.
	Allow string
	// Nearest are the bindings that are closest to a request without one.
	Nearest []Nearby
}

// SetRefusal notes why HTTP refuses the request.
func (r *Reading) SetRefusal(err error) {
	r.Err, r.Status = err, httpStatusOf(err)
	h := http.Header{}
	setErrorHeaders(h, err)
	r.Allow = h.Get("Allow")
}

// ForHost returns the settings for reading a request for that host. A request without a
// host is read as one for a host that is served.
func (s *Settings) ForHost(host string) *Settings {
	if host != "" {
		return s
	}
	anyHost := *s
	anyHost.Hosts = nil
	return &anyHost
}

// NewRequest makes the request that net/http would make of what a client sends. The names
// in the header may have any case.
func NewRequest(ctx context.Context, method, target string, header map[string][]string) (*http.Request, error) {
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
