package call

import (
	"net"
	"net/netip"
	"strings"
)

// Hosts are hosts as a configuration names them.
type Hosts []host

// host is a host, or the end of those that are meant.
type host struct {
	name   string
	suffix bool
}

// ParseHosts reads names such as "shop.example.com" and "[2001:db8::1]", and ends
// of names such as "*.example.com". "*" is every host that has a name.
func ParseHosts(list []string) Hosts {
	hosts := make(Hosts, 0, len(list))
	for _, text := range list {
		if rest, ok := strings.CutPrefix(text, "*"); ok {
			hosts = append(hosts, host{strings.TrimSuffix(rest, "."), true})
			continue
		}
		hosts = append(hosts, host{bareHost(text), false})
	}
	return hosts
}

// Have reports whether a host that a client asked for is one of the hosts. Its port,
// its case and the dot of the root do not matter.
func (h Hosts) Have(asked string) bool {
	if asked == "" {
		return false
	}
	asked = bareHost(asked)
	for i := range h {
		if h[i].is(asked) {
			return true
		}
	}
	return false
}

func (h host) is(asked string) bool {
	if !h.suffix {
		return strings.EqualFold(asked, h.name)
	}
	cut := len(asked) - len(h.name)
	return cut > 0 && strings.EqualFold(asked[cut:], h.name)
}

// bareHost is a host without its port, and without the dot of the root. An IPv6
// address has its one spelling, without brackets.
func bareHost(asked string) string {
	if i := strings.LastIndexByte(asked, ':'); i >= 0 && strings.IndexByte(asked, ':') == i || strings.HasPrefix(asked, "[") {
		if name, _, err := net.SplitHostPort(asked); err == nil {
			asked = name
		}
	}
	if strings.IndexByte(asked, ':') >= 0 {
		if ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(asked, "["), "]")); err == nil {
			return ip.String()
		}
	}
	return strings.TrimSuffix(asked, ".")
}
