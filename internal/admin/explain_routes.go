package admin

import (
	"maps"
	"net/url"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/routing"
)

// choices tells among which upstreams the calls of an RPC choose, and which would
// take one with a given header.
func choices(t *compile.Table, m *compile.Method, header map[string][]string) []UpstreamChoice {
	routes := t.File.Config.GetExpose()[m.Exposure].GetRoutes()
	if len(routes) == 0 {
		return []UpstreamChoice{{Upstream: m.Upstream}}
	}
	md := metadata.MD{}
	for key, values := range header {
		md.Append(key, values...)
	}
	var host string
	if given := md.Get("host"); len(given) > 0 {
		host = given[0]
	}
	list := make([]UpstreamChoice, 0, len(routes)+1)
	for i, r := range routes {
		list = append(list, UpstreamChoice{
			Upstream: r.GetUpstream(), When: strings.Trim(condition(r), " ()"), Verdict: routing.Verdict(r, host, md), Chain: m.RouteChains[i],
		})
	}
	return append(list, UpstreamChoice{Upstream: m.Upstream, When: "no route takes it", Verdict: restVerdict(list)})
}

// restVerdict tells whether a call goes to what is left.
func restVerdict(routes []UpstreamChoice) string {
	verdict := "yes"
	for _, r := range routes {
		switch r.Verdict {
		case "yes":
			return "no"
		case "depends":
			verdict = "depends"
		}
	}
	return verdict
}

// withHost is header with the host that a URL names, if header names none.
func withHost(header map[string][]string, target string) map[string][]string {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		return header
	}
	for key := range header {
		if strings.EqualFold(key, "host") {
			return header
		}
	}
	with := maps.Clone(header)
	if with == nil {
		with = map[string][]string{}
	}
	with["host"] = []string{u.Host}
	return with
}
