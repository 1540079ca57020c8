package edge

import (
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// What may name a version, for people.
const (
	byPath        = "the path"
	byAccept      = "accept"
	byContentType = "content-type"
	byDefault     = "default"
	byRPC         = "the RPC's name"
)

// choice is the version that a request names, nil for none, and what named it first.
type choice struct {
	version *Version
	by      string
}

// named adds the version that the header names to the one that the path has named. They
// must be the same, so that a proxy that decided by another part of the request has
// decided about the same RPC. The media type of the body does not count for GET and HEAD,
// which give a body no meaning (RFC 9110, section 9.3.1): a cached answer then depends only
// on the headers in Vary.
func (a *API) named(c *choice, method string, h http.Header) error {
	if values, ok := h[a.header]; ok {
		if err := a.byHeader(c, values); err != nil {
			return err
		}
	}
	for _, value := range h["Accept"] {
		if err := a.accepted(c, value, byAccept); err != nil {
			return err
		}
	}
	if method == http.MethodGet || method == http.MethodHead {
		return nil
	}
	for _, value := range h["Content-Type"] {
		if err := a.accepted(c, value, byContentType); err != nil {
			return err
		}
	}
	return nil
}

// byHeader takes the version that the API's header names.
func (a *API) byHeader(c *choice, values []string) error {
	if len(values) != 1 || strings.Contains(values[0], ",") {
		return refuseVersion(codes.InvalidArgument, "VERSION_AMBIGUOUS", a, "header %s must name one version of %q: one of %s", a.Header, a.Name, a.names)
	}
	return a.take(c, strings.Trim(values[0], " \t"), "header "+a.Header)
}

// accepted takes the version of each media type in a list.
func (a *API) accepted(c *choice, list, by string) error {
	if !strings.Contains(list, ";") {
		return nil
	}
	for more := true; more; {
		var element string
		element, list, more = cutUnquoted(list, ',')
		if err := a.mediaType(c, element, by); err != nil {
			return err
		}
	}
	return nil
}

// mediaType takes the version of one media type, from its parameters.
func (a *API) mediaType(c *choice, text, by string) error {
	declined, found := false, false
	_, text, more := cutUnquoted(text, ';')
	for more {
		var parameter string
		parameter, text, more = cutUnquoted(text, ';')
		name, value, _ := strings.Cut(parameter, "=")
		name, value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
		switch {
		case strings.EqualFold(name, a.Parameter):
			found = true
			if err := a.take(c, unquoted(value), by); err != nil {
				return err
			}
		case strings.EqualFold(name, "q"):
			declined = strings.HasPrefix(value, "0") && strings.Trim(value, "0.") == ""
		}
	}
	if found && declined {
		return refuseVersion(codes.InvalidArgument, "VERSION_AMBIGUOUS", a, "%s declines a version of %q with q=0: name the one that is wanted, of %s", by, a.Name, a.names)
	}
	return nil
}

// cutUnquoted is strings.Cut at a byte outside of quoted strings (RFC 9110,
// section 5.6.4).
func cutUnquoted(s string, sep byte) (before, after string, found bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == sep && !quoted:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// unquoted removes the quotes around a value. Names of versions contain no quotes or
// escapes, so these are left as they are and match no version.
func unquoted(value string) string {
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		return value[1 : n-1]
	}
	return value
}

// take adds one name.
func (a *API) take(c *choice, name, by string) error {
	v := a.byName[name]
	switch {
	case v == nil:
		return a.unknown(name, by)
	case c.version == nil:
		c.version, c.by = v, by
	case c.version != v:
		return refuseVersion(codes.InvalidArgument, "VERSION_AMBIGUOUS", a, "%s names version %s of %q, and %s version %s: name one",
			c.by, c.version.Name, a.Name, by, v.Name)
	}
	return nil
}

// unknown refuses a version that is not in the list.
func (a *API) unknown(name, by string) error {
	const longest = 64 // bytes of the client's text in the answer
	if len(name) > longest {
		name = name[:longest] + "..."
	}
	return refuseVersion(codes.InvalidArgument, "VERSION_UNKNOWN", a, "%s names version %q of %q, which has %s", by, name, a.Name, a.names)
}

// unnamed refuses a request that names no version of an API without a default.
func (a *API) unnamed() error {
	return refuseVersion(codes.InvalidArgument, "VERSION_MISSING", a, "name a version of %q, of %s: in the path, in header %s, or as %s=... of a media type in accept",
		a.Name, a.names, a.Header, a.Parameter)
}

// lacks refuses a path that only other versions have.
func (v *Version) lacks(method, path string, p *openPath) error {
	return refuseVersion(codes.NotFound, "VERSION_WITHOUT_PATH", v.API, "nothing is served at %s %s in version %s of %q: it is in %s",
		method, path, v.Name, v.API.Name, namesOf(p.versions))
}

// namesOf lists versions for people.
func namesOf(versions []*Version) string {
	names := make([]string, 0, len(versions))
	for _, v := range versions {
		names = append(names, v.Name)
	}
	return joined(names)
}

// refuseVersion is a refusal with the list of versions in its details.
func refuseVersion(code codes.Code, reason string, a *API, format string, args ...any) error {
	st := status.New(code, fmt.Sprintf(format, args...))
	info := &errdetails.ErrorInfo{Reason: reason, Domain: domain, Metadata: map[string]string{"api": a.Name, "versions": a.names}}
	if with, err := st.WithDetails(info); err == nil { // as it always is
		st = with
	}
	return call.RefuseStatus(call.Client, st)
}

// domain is the domain of the gateway's google.rpc.ErrorInfo.
const domain = "gatehouse"
