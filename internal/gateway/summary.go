package gateway

import (
	"fmt"
	"strconv"
	"strings"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
)

// RouteInfo is one line of `gatehouse routes`.
type RouteInfo struct {
	Verb         string            `json:"verb,omitempty"`
	Path         string            `json:"path,omitempty"`
	Body         string            `json:"body,omitempty"`
	ResponseBody string            `json:"response_body,omitempty"` // the contract's own spelling
	Method       string            `json:"method"`
	Upstream     string            `json:"upstream"`
	Routes       []string          `json:"routes,omitempty"` // other upstreams, in their order, each with the calls that go there
	Mirror       string            `json:"mirror,omitempty"`
	Exposure     string            `json:"exposure"`
	Version      string            `json:"version,omitempty"`   // as in "v2 of reviews"
	OpenPath     string            `json:"open_path,omitempty"` // the path that leaves the version open; it has a line of its own, whose Path is the same
	Policies     map[string]string `json:"policies"`
	Skipped      string            `json:"skipped,omitempty"` // why this binding is not served (bad_rules: skip)
}

// Routes lists all that is served: a line for each path, and one for an RPC without
// any.
func (g *Gateway) Routes() []RouteInfo {
	now := g.served()
	var list []RouteInfo
	for _, e := range now.exposed {
		served := false
		for _, r := range e.bindings {
			line := now.describe(e)
			line.Verb, line.Path, line.Body, line.ResponseBody = r.Verb, r.Path, r.Body, r.ResponseBody
			line.Version, line.OpenPath = e.version.String(), r.OpenPath
			if served = served || r.Err == nil; r.Err != nil {
				line.Skipped = inOneLine(r.Err)
			}
			list = append(list, line)
		}
		if !served {
			list = append(list, now.describe(e))
		}
	}
	return list
}

// describe is what all lines about an RPC have in common.
func (s *served) describe(e *exposed) RouteInfo {
	x := s.file.Config.GetExpose()[e.index]
	line := RouteInfo{Method: e.Name, Upstream: e.Upstream, Exposure: fmt.Sprintf("expose[%d]", e.index), Policies: policiesOf(e.effective)}
	for _, r := range x.GetRoutes() {
		line.Routes = append(line.Routes, r.GetUpstream()+condition(r))
	}
	if m := x.GetMirror(); m != nil {
		line.Mirror = m.GetUpstream() + share(m.GetPercent())
	}
	return line
}

// policiesOf lists the policies in force, each with what matters most of it, for
// `gatehouse routes`. What is off is left out.
func policiesOf(e *config.Effective) map[string]string {
	p := e.Policy
	out := map[string]string{}
	note := func(name, value string, on bool) {
		if on {
			out[name] = value
		}
	}
	note("auth", summaryOfAuth(p.GetAuth()), p.GetAuth() != nil)
	note("timeout", p.GetTimeout().AsDuration().String(), p.GetTimeout().AsDuration() > 0)
	note("priority", name(p.GetPriority().String()), p.GetPriority() != policyv1.Priority_PRIORITY_NORMAL)
	note("ip", fmt.Sprintf("%d allowed, %d denied", len(p.GetIp().GetAllow()), len(p.GetIp().GetDeny())), p.GetIp() != nil)
	var limits, caps []string
	for _, l := range p.GetRateLimit() {
		if !l.GetUnlimited() {
			limits = append(limits, fmt.Sprintf("%d/%v", l.GetRequests(), l.GetPer().AsDuration()))
		}
	}
	for _, c := range p.GetConcurrency() {
		if !c.GetUnlimited() {
			caps = append(caps, strconv.FormatUint(uint64(c.GetLimit()), 10))
		}
	}
	note("rate_limit", strings.Join(limits, ","), len(limits) > 0)
	note("concurrency", strings.Join(caps, ","), len(caps) > 0)
	note("retry", strconv.FormatUint(uint64(p.GetRetry().GetAttempts()), 10), on(p.GetRetry()) && p.GetRetry().GetSafe())
	note("breaker", name(p.GetBreaker().GetKind().String()), on(p.GetBreaker()))
	fallback := "response"
	if p.GetFallback().GetLastGood() != nil {
		fallback = "last_good"
	}
	note("fallback", fallback, on(p.GetFallback()))
	note("cache", p.GetCache().GetTtl().AsDuration().String(), on(p.GetCache()))
	note("idempotency", p.GetIdempotency().GetTtl().AsDuration().String(), on(p.GetIdempotency()))
	return out
}

func summaryOfAuth(a *policyv1.Auth) string {
	if a.GetPublic() {
		return "public"
	}
	return strings.Join(a.GetAccept(), ",")
}

// name is the name of an enum's value as the configuration has it, for enums
// whose prefix is one word.
func name(value string) string {
	_, rest, _ := strings.Cut(value, "_")
	return strings.ReplaceAll(strings.ToLower(rest), "_", "-")
}

// part is a policy that can be turned off.
type part interface {
	comparable
	GetDisabled() bool
}

// on reports whether a policy is there and not turned off.
func on[P part](p P) bool {
	var none P
	return p != none && !p.GetDisabled()
}
