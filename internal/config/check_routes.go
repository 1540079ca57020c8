package config

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"

	"github.com/gatehouse-dev/gatehouse/internal/nearest"
)

// routing checks what an exposure says of other upstreams than its own. The name
// of its own has been checked.
func (c *checker) routing(path string, e *configv1.Exposure) {
	own := c.file.upstream(e.GetUpstream())
	if own.GetComposed() && len(e.GetRoutes()) > 0 {
		c.fail(path+".routes", "upstream %q is composed of other RPCs; their own exposures have routes", e.GetUpstream())
	}
	for i, r := range e.GetRoutes() {
		c.route(fmt.Sprintf("%s.routes[%d]", path, i), r)
	}
	m := e.GetMirror()
	if m == nil {
		return
	}
	switch at := path + ".mirror"; {
	case own.GetComposed():
		c.fail(at, "upstream %q is composed of other RPCs; their own exposures have mirrors", e.GetUpstream())
	case m.GetUpstream() != "" && m.GetUpstream() == e.GetUpstream():
		c.fail(at+".upstream", "%s has the calls themselves; give another upstream", c.quoted(at+".upstream", m.GetUpstream()))
	default:
		c.otherUpstream(at+".upstream", m.GetUpstream())
	}
}

func (f *File) upstream(name string) *configv1.Upstream {
	for _, u := range f.Config.GetUpstreams() {
		if u.GetName() == name {
			return u
		}
	}
	return nil
}

// knownUpstream checks the name of an upstream; that it is there at all is the
// schema's to say.
func (c *checker) knownUpstream(path, name string) bool {
	if name == "" || c.file.upstream(name) != nil {
		return name != ""
	}
	var known []string
	for j, u := range c.file.Config.GetUpstreams() {
		known = append(known, c.file.shown(fmt.Sprintf("upstreams[%d].name", j), u.GetName()))
	}
	hint := nearest.DidYouMean(name, known)
	if hint == "" {
		hint = "; known are " + strings.Join(known, ", ")
	}
	c.fail(path, "no upstream is named %s%s", c.quoted(path, name), hint)
	return false
}

// otherUpstream is the same for one that is sent calls beside the exposure's own.
func (c *checker) otherUpstream(path, name string) {
	if c.knownUpstream(path, name) && c.file.upstream(name).GetComposed() {
		c.fail(path, "%s is composed and has no server to send calls to; give one that has", c.quoted(path, name))
	}
}

func (c *checker) route(path string, r *configv1.Route) {
	c.otherUpstream(path+".upstream", r.GetUpstream())
	c.hosts(path+".hosts", r.GetHosts())
	for _, key := range slices.Sorted(maps.Keys(r.GetHeaders())) {
		c.routeHeader(fmt.Sprintf("%s.headers[%q]", path, key), key)
	}
	for _, name := range slices.Sorted(maps.Keys(r.GetClaims())) {
		if name == "" || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") {
			c.fail(fmt.Sprintf("%s.claims[%q]", path, name), "%q is no claim; want a name, or a path such as \"org.name\"", name)
		}
	}
}

// hosts checks hosts as clients ask for them.
func (c *checker) hosts(path string, list []string) {
	for i, h := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if !hostPattern.MatchString(strings.TrimSuffix(h, ".")) && !isIPv6(h) {
			c.fail(at, "%s is no host; want such as \"shop.example.com\" or \"*.example.com\", without scheme, port and path", c.quoted(at, h))
		}
	}
}

// isIPv6 tells an IPv6 address, in brackets or without.
func isIPv6(text string) bool {
	if rest, ok := strings.CutPrefix(text, "["); ok {
		if text, ok = strings.CutSuffix(rest, "]"); !ok {
			return false
		}
	}
	ip, err := netip.ParseAddr(text)
	return err == nil && ip.Is6() && ip.Zone() == ""
}

// hostPattern is a host as a client asks for it, or the end of one.
var hostPattern = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?$`)

// headerPattern is a key of metadata.
var headerPattern = regexp.MustCompile(`^[0-9a-z_.-]+$`)

// routeHeader refuses keys that no call has here: nothing would ever match.
func (c *checker) routeHeader(path, key string) {
	switch {
	case !headerPattern.MatchString(key):
		c.fail(path, "%q is no key of metadata; want lower-case letters, digits, \"-\", \"_\" and \".\"", key)
	case strings.HasSuffix(key, "-bin"):
		c.fail(path, "%q holds bytes; choose by a key that holds text", key)
	case key == "host", key == "x-forwarded-host":
		c.fail(path, "%q is what hosts are for; say it there", key)
	case key == "user-agent":
		c.fail(path, "%q is the protocol's own and no metadata of a call; choose by x-forwarded-user-agent", key)
	case strings.HasPrefix(key, "grpc-"), slices.Contains(notMetadata, key):
		c.fail(path, "%q is the protocol's own and no metadata of a call; choose by another", key)
	}
}

// notMetadata are headers that concern the exchange with the client and end at the
// door, of one protocol at least.
var notMetadata = []string{
	"accept", "accept-encoding", "connection", "content-encoding", "content-language", "content-length", "content-location",
	"content-md5", "content-range", "content-type", "expect", "forwarded", "if-match", "if-modified-since", "if-none-match",
	"if-range", "if-unmodified-since", "keep-alive", "range", "te", "transfer-encoding", "upgrade", "x-real-ip",
}

// prefixPattern is a prefix of paths: whole segments, of characters that need no
// escape.
var prefixPattern = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

func (c *checker) prefixes(path string, u *configv1.Upstream) {
	for _, p := range [...]struct{ field, text string }{{"strip_prefix", u.GetStripPrefix()}, {"add_prefix", u.GetAddPrefix()}} {
		at := path + "." + p.field
		if p.text != "" && (!prefixPattern.MatchString(p.text) || dotted(p.text)) {
			c.fail(at, "%s is no prefix of paths; want whole segments such as \"/api\" or \"/shop/v1\", without variables and without a slash at the end", c.quoted(at, p.text))
		}
	}
}

// dotted tells a path with a segment that means another one.
func dotted(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." })
}
