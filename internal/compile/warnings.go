package compile

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

// warnings list settings that are valid and may yet not be meant.
func (b *Builder) warnings() []string {
	return slices.Concat(b.exposures.warnings(), b.weakPromises(), b.unreachable(), sharedNames(b.withPolicy, b.contracts),
		b.overrides.warnings(b.withPolicy, b.contracts), skipped(b.withPolicy))
}

// sharedNames warns of messages in which two fields would have the same name in JSON.
func sharedNames(methods []*Method, contracts *contracts) []string {
	var list []string
	seen := map[protoreflect.FullName]bool{}
	var visit func(md protoreflect.MessageDescriptor)
	visit = func(md protoreflect.MessageDescriptor) {
		if md == nil || seen[md.FullName()] {
			return
		}
		seen[md.FullName()] = true
		if name, fields := transcode.SharedJSONName(md); name != "" {
			list = append(list, fmt.Sprintf("message %s: the fields %s have the same name in JSON, %q; there they keep the names that they have in the contract",
				md.FullName(), shortList(fields), name))
		}
		for i := range md.Fields().Len() {
			visit(md.Fields().Get(i).Message())
		}
	}
	for _, m := range methods {
		if contracts.of(m.Upstream).Set.SharesJSONNames() { // else every message would be looked at for nothing
			visit(m.Desc.Input())
			visit(m.Desc.Output())
		}
	}
	return list
}

// weakPromises warns of an explicit at_most_once without Redis: a gateway forgets the keys
// when its process ends.
func (b *Builder) weakPromises() []string {
	rpcs := map[int][]string{} // by exposure
	for _, m := range b.withPolicy {
		p := m.Effective.Policy.GetIdempotency()
		asked := m.Effective.Origin["idempotency.at_most_once"] != "default"
		if config.IsEnabled(p) && asked && p.GetAtMostOnce() && p.GetStore() != policyv1.Store_STORE_REDIS {
			rpcs[m.Exposure] = append(rpcs[m.Exposure], string(m.Desc.FullName()))
		}
	}
	var list []string
	for _, i := range slices.Sorted(maps.Keys(rpcs)) {
		list = append(list, b.file.Errorf(fmt.Sprintf("expose[%d].policy.idempotency.at_most_once", i),
			"with store: local a call is executed again when it is repeated after a restart, or at another replica; use store: redis (of %s)", shortList(rpcs[i])).Error())
	}
	return list
}

// takesAll reports whether a route leaves nothing to those after it.
func takesAll(r *configv1.Route) bool {
	return len(r.GetHosts())+len(r.GetHeaders())+len(r.GetClaims()) == 0 && r.GetWhen() == "" && r.GetPercent() >= 100
}

// unreachable warns of routes and upstreams that no call can reach.
func (b *Builder) unreachable() []string {
	var list []string
	warn := func(path, format string, args ...any) {
		list = append(list, b.file.Errorf(path, format, args...).Error())
	}
	for _, path := range slices.Sorted(maps.Keys(b.chains.unmatched)) {
		warn(path+".claims", "on a public RPC nobody is known, so no call comes here of %s", shortList(b.chains.unmatched[path]))
	}
	for i, x := range b.file.Config.GetExpose() {
		all := slices.IndexFunc(x.GetRoutes(), takesAll)
		if all < 0 {
			continue
		}
		path := fmt.Sprintf("expose[%d].routes", i)
		if all+1 < len(x.GetRoutes()) {
			warn(fmt.Sprintf("%s[%d]", path, all+1), "no call comes here: routes[%d] takes all", all)
		} else {
			warn(fmt.Sprintf("%s[%d]", path, all), "takes all calls, so none goes to upstream %q", x.GetUpstream())
		}
	}
	return list
}

// skipped warns of the bindings that are not served.
func skipped(methods []*Method) []string {
	var warnings []string
	for _, m := range methods {
		for _, r := range m.Bindings {
			if r.Err != nil {
				warnings = append(warnings, r.Problem()+"; skipped")
			}
		}
	}
	return warnings
}
