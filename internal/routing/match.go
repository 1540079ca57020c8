package routing

import (
	"context"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// anything is the value that stands for all.
const anything = "*"

// compiled is a route as it is asked. What costs least is asked first.
type compiled struct {
	target  Target
	hosts   []host
	headers []pair
	claims  []claim
	when    func(context.Context) (bool, error)
	share   share
}

type pair struct{ key, value string }

// sorted are the pairs of m in one order, whatever map it came from.
func sorted(m map[string]string) []pair {
	var list []pair
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, pair{k, m[k]})
	}
	return list
}

func compile(r Route, before int, random func() float64) compiled {
	c := compiled{target: r.Target, headers: sorted(r.Match.GetHeaders()), when: r.When}
	for _, h := range r.Match.GetHosts() {
		c.hosts = append(c.hosts, hostOf(h))
	}
	for _, p := range sorted(r.Match.GetClaims()) {
		c.claims = append(c.claims, claimOf(p))
	}
	c.share = share{percent: r.Match.GetPercent(), random: random, key: r.StickyBy, salt: saltOf(r.Upstream, before)}
	return c
}

func (c *compiled) matches(ctx context.Context, known *call.Call) (bool, error) {
	if c.share.percent <= 0 ||
		len(c.hosts) > 0 && !c.host(known) ||
		!c.header(ctx) ||
		len(c.claims) > 0 && !c.claim(known) {
		return false, nil
	}
	if c.when != nil {
		if ok, err := c.when(ctx); err != nil || !ok {
			return false, clientsError(err)
		}
	}
	return c.share.takes(ctx)
}

func (c *compiled) host(known *call.Call) bool {
	if known == nil || known.Host == "" {
		return false
	}
	asked := bare(known.Host)
	for i := range c.hosts {
		if c.hosts[i].is(asked) {
			return true
		}
	}
	return false
}

func (c *compiled) header(ctx context.Context) bool {
	for _, h := range c.headers {
		if !isValue(metadata.ValueFromOutgoingContext(ctx, h.key), h.value) {
			return false
		}
	}
	return true
}

// isValue compares what was sent under one key. What was sent several times is
// one value as HTTP has it (RFC 9110, section 5.2), as in expressions.
func isValue(sent []string, want string) bool {
	switch {
	case len(sent) == 0:
		return false
	case want == anything:
		return true
	case len(sent) == 1:
		return sent[0] == want
	default:
		return strings.Join(sent, ", ") == want
	}
}

func (c *compiled) claim(known *call.Call) bool {
	if known == nil || known.Caller() == nil {
		return false
	}
	claims := known.Caller().Claims
	for i := range c.claims {
		if !c.claims[i].in(claims) {
			return false
		}
	}
	return true
}

// host is a host, or the end of those that are meant.
type host struct {
	name   string
	suffix bool
}

func hostOf(text string) host {
	if rest, ok := strings.CutPrefix(text, anything); ok {
		return host{strings.TrimSuffix(rest, "."), true}
	}
	return host{bare(text), false}
}

// bare is a host without its port, and without the dot of the root.
func bare(asked string) string {
	if i := strings.LastIndexByte(asked, ':'); i >= 0 && strings.IndexByte(asked, ':') == i || strings.HasPrefix(asked, "[") {
		if name, _, err := net.SplitHostPort(asked); err == nil {
			asked = name
		}
	}
	return strings.TrimSuffix(asked, ".")
}

func (h host) is(asked string) bool {
	if !h.suffix {
		return strings.EqualFold(asked, h.name)
	}
	cut := len(asked) - len(h.name)
	return cut > 0 && strings.EqualFold(asked[cut:], h.name)
}

// claim is a claim and the value it must have.
type claim struct {
	path  string // see call.ClaimAt
	value string
	// number is value, if it reads as one.
	number   float64
	isNumber bool
}

func claimOf(p pair) claim {
	c := claim{path: p.key, value: p.value}
	number, err := strconv.ParseFloat(p.value, 64)
	c.number, c.isNumber = number, err == nil
	return c
}

// in looks for the claim.
func (c *claim) in(claims map[string]any) bool {
	v, ok := call.ClaimAt(claims, c.path)
	return ok && c.is(v)
}

// is compares a claim as JSON has it. A list has the value if one of its members
// is the value.
func (c *claim) is(v any) bool {
	if list, ok := v.([]any); ok {
		return slices.ContainsFunc(list, c.is)
	}
	if c.value == anything {
		return v != nil
	}
	switch v := v.(type) {
	case string:
		return v == c.value
	case bool:
		return strconv.FormatBool(v) == c.value
	case float64:
		return c.isNumber && v == c.number
	default:
		return false
	}
}
