package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/files"
)

// checker gathers what is wrong with a configuration whose form is right.
type checker struct {
	file   *File
	errors Errors
}

func (c *checker) fail(path, format string, args ...any) {
	c.errors = append(c.errors, c.file.problem(path, format, args...))
}

// check is everything about a completed configuration that can be known
// without asking an upstream.
func (f *File) check() Errors {
	c := &checker{file: f}
	c.constraints()
	c.listeners(f.Config.GetListeners())
	for i, u := range f.Config.GetUpstreams() {
		c.upstream(fmt.Sprintf("upstreams[%d]", i), u)
	}
	c.upstreamNames()
	for i, e := range f.Config.GetExpose() {
		c.exposure(i, e)
	}
	c.versions(f.Config.GetVersions())
	c.compositions()
	c.redis(f.Config.GetRedis())
	if s := f.Config.GetShedding(); s.GetEnabled() && s.GetMaxLimit() < s.GetMinLimit() {
		c.fail("shedding.max_limit", "must not be less than min_limit")
	}
	c.openAPI(f.Config.GetOpenapi())
	return c.errors
}

func (c *checker) openAPI(o *configv1.OpenApi) {
	c.readable("openapi.file", o.GetFile())
	rule := &policyChecker{}
	rule.auth(o.GetAuth())
	for _, wrong := range rule.errors {
		c.fail("openapi."+wrong.Path, "%s", wrong.Text)
	}
	if len(o.GetAuth().GetForward()) > 0 {
		c.fail("openapi.auth.forward", "no backend is called for the document, so there is nobody to tell; leave it out")
	}
}

func (c *checker) listeners(l *configv1.Listeners) {
	addresses := make(map[string]netip.AddrPort)
	each := []struct {
		name string
		listener
	}{{"http", l.GetHttp()}, {"grpc", l.GetGrpc()}, {"admin", l.GetAdmin()}}
	for _, e := range each {
		if e.GetDisabled() {
			continue
		}
		path := "listeners." + e.name
		c.serverTLS(path+".tls", e.GetTls())
		address, ok := c.address(path+".address", e.GetAddress())
		if !ok {
			continue
		}
		for _, other := range each {
			if taken, ok := addresses[other.name]; ok && clash(address, taken) {
				c.fail(path+".address", "%s is taken by listeners.%s.address; give each listener a port of its own", c.quoted(path+".address", e.GetAddress()), other.name)
				break
			}
		}
		addresses[e.name] = address
	}
	if l.GetHttp().GetDisabled() && l.GetGrpc().GetDisabled() {
		c.fail("listeners", "http and grpc are both disabled; nothing would be served")
	}
	c.hosts("listeners.http.hosts", l.GetHttp().GetHosts())
	c.hosts("listeners.admin.hosts", l.GetAdmin().GetHosts())
	for i, p := range l.GetHttp().GetTrustedProxies() {
		path := fmt.Sprintf("listeners.http.trusted_proxies[%d]", i)
		if _, err := ParseNetwork(p); err != nil {
			c.fail(path, "%s %v", c.quoted(path, p), err)
		}
	}
}

// listener is what all listeners have in common.
type listener interface {
	GetAddress() string
	GetTls() *configv1.ServerTls
	GetDisabled() bool
}

// address checks host:port. A host that is a name is left to the system, but
// for localhost.
func (c *checker) address(path, text string) (netip.AddrPort, bool) {
	host, port, err := net.SplitHostPort(text)
	number, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil && !strings.Contains(text, ":"):
		c.fail(path, "%s has no port; want host:port, such as \"127.0.0.1:8080\" or \":8080\"", c.quoted(path, text))
		return netip.AddrPort{}, false
	case err != nil, strings.ContainsAny(host, "/ "):
		c.fail(path, "%s is not host:port; want such as \"127.0.0.1:8080\", \"[::1]:8080\" or \":8080\"", c.quoted(path, text))
		return netip.AddrPort{}, false
	case portErr != nil:
		c.fail(path, "%s has no port; want a number from 0 to 65535 after the colon", c.quoted(path, text))
		return netip.AddrPort{}, false
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil && host != "" {
		return netip.AddrPort{}, false // a name; only listening tells
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(number)), true
}

// clash tells whether two listeners cannot both have their addresses. The zero
// IP stands for all interfaces.
func clash(a, b netip.AddrPort) bool {
	if a.Port() != b.Port() || a.Port() == 0 {
		return false
	}
	all := func(ip netip.Addr) bool { return !ip.IsValid() || ip.IsUnspecified() }
	return a.Addr() == b.Addr() || all(a.Addr()) || all(b.Addr())
}

// ParseNetwork reads a network as "10.0.0.0/8", or one address. Its errors go
// on after the text.
func ParseNetwork(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, errors.New("is not a network; want such as \"10.0.0.0/8\", \"fd00::/8\" or \"192.0.2.7\"")
	}
	if masked := prefix.Masked(); masked != prefix {
		return netip.Prefix{}, fmt.Errorf("has bits set after its prefix of %d; want 0 there, or the address alone", prefix.Bits())
	}
	return prefix, nil
}

func (c *checker) serverTLS(path string, tls *configv1.ServerTls) {
	c.readable(path+".cert_file", tls.GetCertFile())
	c.readable(path+".key_file", tls.GetKeyFile())
	c.readable(path+".client_ca_file", tls.GetClientCaFile())
}

func (c *checker) upstream(path string, u *configv1.Upstream) {
	c.whereabouts(path, u)
	c.replicas(path, u)
	c.prefixes(path, u)
	c.target(path+".target", u.GetTarget())
	if u.GetComposed() && u.GetSchema().GetReflection() {
		c.fail(path+".schema.reflection", "there is no server to ask (composed: true); give image: FILE, or linked: true")
	}
	c.visible(path+".authority", u.GetAuthority(), "catalog.example.com")
	c.readable(path+".schema.image", u.GetSchema().GetImage())
	tls := u.GetTls()
	c.readable(path+".tls.ca_file", tls.GetCaFile())
	c.readable(path+".tls.cert_file", tls.GetCertFile())
	c.readable(path+".tls.key_file", tls.GetKeyFile())
	if tls.GetCertFile() != "" && tls.GetKeyFile() == "" {
		c.fail(path+".tls.key_file", "required with cert_file; give the private key of that certificate")
	}
	if tls.GetKeyFile() != "" && tls.GetCertFile() == "" {
		c.fail(path+".tls.cert_file", "required with key_file; give the certificate of that key")
	}
}

// whereabouts checks that it is said, once, where an upstream is.
func (c *checker) whereabouts(path string, u *configv1.Upstream) {
	said := 0
	for _, one := range [...]bool{u.GetTarget() != "", len(u.GetAddresses()) > 0, u.GetComposed()} {
		if one {
			said++
		}
	}
	switch {
	case said == 0:
		c.fail(path+".target", "required; give a gRPC target such as \"dns:///catalog:9000\", or addresses, or composed: true")
	case said > 1:
		c.fail(path, "says more than once where it is; give one of target, addresses and composed")
	}
}

// target refuses what gRPC would take for the name of a host.
func (c *checker) target(path, target string) {
	scheme, _, found := strings.Cut(target, "://")
	if found && slices.Contains([]string{"http", "https", "grpc", "grpcs", "tcp", "tls", "h2c"}, strings.ToLower(scheme)) {
		c.fail(path, "%s is a URL; give a gRPC target such as \"dns:///catalog:9000\", and tls: {} for TLS", c.quoted(path, target))
		return
	}
	c.visible(path, target, "dns:///catalog:9000")
}

// visible refuses what would not pass as a header's value.
func (c *checker) visible(path, text, example string) {
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		c.fail(path, "%s has spaces or control characters; want such as %q", c.quoted(path, text), example)
	}
}

// quoted is a text in quotes as it may be told.
func (c *checker) quoted(path, text string) string { return quoted(c.file.shown(path, text)) }

func (c *checker) upstreamNames() {
	first := map[string]int{}
	for i, u := range c.file.Config.GetUpstreams() {
		before, taken := first[u.GetName()]
		if !taken {
			first[u.GetName()] = i
			continue
		}
		if u.GetName() != "" {
			path := fmt.Sprintf("upstreams[%d].name", i)
			c.fail(path, "%s is taken by upstreams[%d] on %s; give each upstream a name of its own", c.quoted(path, u.GetName()), before,
				c.place(fmt.Sprintf("upstreams[%d].name", before)))
		}
	}
}

// place is where the field stands, for an error about another field.
func (c *checker) place(path string) string {
	if p := c.file.Position(path); p.Line > 0 {
		return fmt.Sprintf("line %d", p.Line)
	}
	return "the configuration"
}

func (c *checker) exposure(i int, e *configv1.Exposure) {
	path := fmt.Sprintf("expose[%d]", i)
	c.knownUpstream(path+".upstream", e.GetUpstream())
	for j, other := range c.file.Config.GetExpose()[:i] {
		if other.GetSelect() == e.GetSelect() && other.GetUpstream() == e.GetUpstream() && e.GetSelect() != "" {
			c.fail(path+".select", "%s is exposed already, of the same upstream, by expose[%d] on %s; join the two",
				c.quoted(path+".select", e.GetSelect()), j, c.place(fmt.Sprintf("expose[%d].select", j)))
			break
		}
	}
	c.httpRules(path, e)
	c.routing(path, e)
}

// readable checks that a file can be opened; "" is none.
func (c *checker) readable(path, file string) {
	if file == "" {
		return
	}
	if err := files.Check(file); err != nil {
		c.fail(path, "cannot read %s: %v", c.file.shown(path, file), describe(err))
	}
}

func describe(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return errors.New("no such file")
	}
	return unwrapPath(err)
}

// shown is a text as it may be told: as in the file, if it was substituted.
func (f *File) shown(path, text string) string {
	if written, ok := f.written[path]; ok {
		return written
	}
	return text
}
