package admin

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/config"
)

// Route is one line of `gatehouse routes`.
type Route struct {
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
	OpenPath     string            `json:"open_path,omitempty"` // the path without the version; it is also listed as the Path of a line of its own
	Policies     map[string]string `json:"policies"`
	Skipped      string            `json:"skipped,omitempty"` // why this binding is not served (bad_rules: skip)
}

// Routes lists all that a table serves: a line for each path, and one for an RPC
// without any.
func Routes(t *compile.Table) []Route {
	var list []Route
	for _, m := range t.Methods {
		served := false
		for _, b := range m.Bindings {
			line := newRoute(t, m)
			line.Verb, line.Path, line.Body, line.ResponseBody = b.Verb, b.Path, b.Body, b.ResponseBody
			line.Version, line.OpenPath, line.Skipped = m.Version.String(), b.OpenPath, b.Problem()
			served = served || b.Err == nil
			list = append(list, line)
		}
		if !served {
			list = append(list, newRoute(t, m))
		}
	}
	return list
}

// newRoute has what all lines about an RPC have in common.
func newRoute(t *compile.Table, m *compile.Method) Route {
	x := t.File.Config.GetExpose()[m.Exposure]
	line := Route{Method: m.Name, Upstream: m.Upstream, Exposure: fmt.Sprintf("expose[%d]", m.Exposure), Policies: policiesOf(m.Effective)}
	for _, r := range x.GetRoutes() {
		line.Routes = append(line.Routes, r.GetUpstream()+condition(r))
	}
	if mirror := x.GetMirror(); mirror != nil {
		line.Mirror = mirror.GetUpstream() + share(mirror.GetPercent())
	}
	return line
}

// policiesOf lists the policies that are enabled, each with its most important setting.
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
	note("retry", strconv.FormatUint(uint64(p.GetRetry().GetAttempts()), 10), config.IsEnabled(p.GetRetry()) && p.GetRetry().GetSafe())
	note("breaker", name(p.GetBreaker().GetKind().String()), config.IsEnabled(p.GetBreaker()))
	fallback := "response"
	if p.GetFallback().GetLastGood() != nil {
		fallback = "last_good"
	}
	note("fallback", fallback, config.IsEnabled(p.GetFallback()))
	note("cache", p.GetCache().GetTtl().AsDuration().String(), config.IsEnabled(p.GetCache()))
	note("idempotency", p.GetIdempotency().GetTtl().AsDuration().String(), config.IsEnabled(p.GetIdempotency()))
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

func share(percent float64) string {
	if percent >= 100 {
		return ""
	}
	return " (" + strconv.FormatFloat(percent, 'f', -1, 64) + "%)"
}

// condition describes which calls a route takes.
func condition(r *configv1.Route) string {
	parts := slices.Clone(r.GetHosts())
	for _, key := range slices.Sorted(maps.Keys(r.GetHeaders())) {
		parts = append(parts, key+": "+r.GetHeaders()[key])
	}
	for _, name := range slices.Sorted(maps.Keys(r.GetClaims())) {
		parts = append(parts, "claim "+name+"="+r.GetClaims()[name])
	}
	if r.GetWhen() != "" {
		parts = append(parts, "when "+r.GetWhen())
	}
	if r.GetPercent() < 100 {
		parts = append(parts, strconv.FormatFloat(r.GetPercent(), 'f', -1, 64)+"%")
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
