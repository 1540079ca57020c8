package routing

import (
	"context"
	"maps"
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
	hosts   call.Hosts
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
	c.hosts = call.ParseHosts(r.Match.GetHosts())
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

func (c *compiled) host(known *call.Call) bool { return known != nil && c.hosts.Have(known.Host) }

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
