// Package ip lets clients in, or does not, by their network address.
//
// go-grpc-middleware's realip tells an address and decides nothing; the edge
// has told it already, behind trusted proxies. Hence a policy of our own.
package ip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

const name = "ip"

// The refusals do not repeat the address: making a text is more work than the
// decision, and those who are kept out may ask often.
var (
	errDenied     = call.Refuse(call.Client, codes.PermissionDenied, "calls from your network address are denied").By(name)
	errNotAllowed = call.Refuse(call.Client, codes.PermissionDenied, "calls from your network address are not among those that are let in").By(name)
)

// Build returns the policy of one RPC; without lists all are let in. Entries are
// networks in CIDR notation (RFC 4632, RFC 4291) or single addresses; an
// IPv4-mapped IPv6 address means the IPv4 address, in the lists and of clients
// alike. An entry that is neither is an error that names it.
//
// What is on the deny list is refused even where the allow list has it. A client
// without an address, as on a unix socket, is let in unless there is an allow
// list, which it cannot be on. A call made inside of the process for another one
// has that one's client. Refusals are PERMISSION_DENIED.
//
// A decision is a binary search: it takes no longer for a list of thousands than
// a dozen comparisons, and allocates nothing.
func Build(m *interceptors.Method) (interceptors.Interceptor, error) {
	allow, allowErr := parse("ip.allow", m.Policy.GetIp().GetAllow())
	deny, denyErr := parse("ip.deny", m.Policy.GetIp().GetDeny())
	if err := cmp.Or(allowErr, denyErr); err != nil || len(allow)+len(deny) == 0 {
		return interceptors.Interceptor{}, err
	}
	return interceptors.Around(name, func(ctx context.Context, _ string) (context.Context, func(error), error) {
		if err := decide(allow, deny, peer(ctx)); err != nil {
			return nil, nil, err
		}
		return ctx, nil, nil
	}), nil
}

// peer is the zero Addr where nobody knows better.
func peer(ctx context.Context) netip.Addr {
	if c := call.From(ctx); c != nil {
		return c.PeerIP()
	}
	return netip.Addr{}
}

func decide(allow, deny networks, client netip.Addr) error {
	if deny.has(client) {
		return errDenied
	}
	if len(allow) > 0 && !allow.has(client) {
		return errNotAllowed
	}
	return nil
}

// span is a run of addresses, both ends included.
type span struct{ first, last netip.Addr }

// networks are spans in order that do not overlap.
type networks []span

// has reports whether a is in one of the networks; the zero Addr is in none.
func (n networks) has(a netip.Addr) bool {
	i, found := slices.BinarySearchFunc(n, a, func(s span, a netip.Addr) int { return s.first.Compare(a) })
	return found || i > 0 && a.Compare(n[i-1].last) <= 0
}

func parse(field string, entries []string) (networks, error) {
	spans := make(networks, 0, len(entries))
	var errs []error
	for i, entry := range entries {
		prefix, err := parseEntry(entry)
		if err != nil {
			errs = append(errs, interceptors.Wrong(fmt.Sprintf("%s[%d]", field, i), "%q %w", entry, err))
			continue
		}
		spans = append(spans, span{prefix.Addr(), lastOf(prefix)})
	}
	return merge(spans), errors.Join(errs...)
}

// mappedBits is the length of the prefix of IPv4-mapped addresses, ::ffff:0:0/96.
const mappedBits = 96

func parseEntry(entry string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(entry); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, errors.New("has a zone, which means nothing to others: leave it out")
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(entry)
	if err != nil {
		return netip.Prefix{}, errors.New(`is neither an address nor a network: want "192.0.2.7", "192.0.2.0/24" or "2001:db8::/32"`)
	}
	if p.Addr().Is4In6() {
		if p.Bits() < mappedBits {
			return netip.Prefix{}, errors.New(`is more than the IPv4-mapped addresses: want an IPv4 network, as in "192.0.2.0/24"`)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("has bits set beyond its length: want %q, or a longer prefix", p.Masked())
	}
	return p, nil
}

// lastOf is the last address of p.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// merge puts spans in order and joins those that overlap.
func merge(spans networks) networks {
	slices.SortFunc(spans, func(a, b span) int { return a.first.Compare(b.first) })
	merged := spans[:0]
	for _, s := range spans {
		if n := len(merged); n > 0 && s.first.Compare(merged[n-1].last) <= 0 {
			if s.last.Compare(merged[n-1].last) > 0 {
				merged[n-1].last = s.last
			}
			continue
		}
		merged = append(merged, s)
	}
	return merged
}
