package compile

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/rewrite"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

// rewrites compiles changes of metadata, those of requests and those of answers.
func rewrites(c *configv1.Rewrite) (requests, answers rewrite.Changes, _ error) {
	requests, err := rewrite.OfRequests(c.GetRequest())
	if err != nil {
		return requests, answers, interceptors.Within("request", err)
	}
	if answers, err = rewrite.OfAnswers(c.GetResponse()); err != nil {
		return requests, answers, interceptors.Within("response", err)
	}
	return requests, answers, nil
}

// checkRewrites finds mistakes in changes of metadata, once and not for each RPC.
// The keys in which any RPC forwards claims are the gateway's own, too.
func (b *Builder) checkRewrites() error {
	var errs []error
	check := func(path string, c *configv1.Rewrite) {
		requests, _, err := rewrites(c)
		if err == nil {
			err = b.forwards(requests)
		}
		errs = append(errs, Place(b.file, path, err))
	}
	for i, x := range b.file.Config.GetExpose() {
		check(fmt.Sprintf("expose[%d].metadata", i), x.GetMetadata())
		for j, r := range x.GetRoutes() {
			check(fmt.Sprintf("expose[%d].routes[%d].metadata", i, j), r.GetMetadata())
		}
	}
	return errors.Join(errs...)
}

// forwards refuses changes under keys by which backends are told who calls.
func (b *Builder) forwards(c rewrite.Changes) error {
	for _, key := range c.Keys() {
		for _, own := range b.forwarded {
			if call.Folded(key) == call.Folded(own) {
				return interceptors.Wrong("request", "%q carries the caller's identity to backends (auth.forward) and cannot be changed; use another key", key)
			}
		}
	}
	return nil
}

// prefixed has the HTTP paths of an upstream's contract begin as the
// configuration says. Rules of the configuration are not its business: who wrote
// them wrote what is served.
func (b *Builder) prefixed(name string, declared []*contract.Binding) []*contract.Binding {
	u := b.upstreamNamed(name)
	strip, add := u.GetStripPrefix(), u.GetAddPrefix()
	if strip == "" && add == "" {
		return declared
	}
	bindings := slices.Clone(declared)
	for i, r := range declared {
		rest, ok := strings.CutPrefix(r.Path, strip)
		switch {
		case r.Err != nil:
		case !ok || strip != "" && (rest == "" && add == "" || rest != "" && rest[0] != '/'):
			bindings[i] = r.Failed(b.file.Errorf(b.fieldOf(name)+".strip_prefix",
				"%s %s is not below %q; leave the RPC out, or give it a path of its own with expose[].http", r.Verb, r.Path, strip))
		default:
			bindings[i] = r.At(add + rest)
		}
	}
	return bindings
}

// takesAll reports whether a route leaves nothing to those after it.
func takesAll(r *configv1.Route) bool {
	return len(r.GetHosts())+len(r.GetHeaders())+len(r.GetClaims()) == 0 && r.GetWhen() == "" && r.GetPercent() >= 100
}

// unreachable warns of routes, and upstreams, to which no call can come.
func (b *Builder) unreachable() []string {
	var list []string
	warn := func(path, format string, args ...any) {
		list = append(list, b.file.Errorf(path, format, args...).Error())
	}
	for _, path := range slices.Sorted(maps.Keys(b.unmatched)) {
		warn(path+".claims", "on a public RPC nobody is known, so no call comes here of %s", several(b.unmatched[path]))
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
