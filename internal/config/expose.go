package config

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
)

// Match tells whether a select names an RPC, which is given in full, as in
// "shop.catalog.v1.CatalogService.GetProduct".
func Match(selector string, method protoreflect.FullName) bool {
	return specificity(selector, method) > 0
}

// specificity grows with how closely a select names an RPC: 0 is not at all,
// then "*", the prefixes by length, the service, the RPC itself.
func specificity(selector string, method protoreflect.FullName) int {
	const ofService, ofMethod = 1 << 20, 1 << 21
	switch prefix, all := strings.CutSuffix(selector, "*"); {
	case selector == "*":
		return 1
	case all && strings.HasSuffix(prefix, ".") && strings.HasPrefix(string(method), prefix):
		return min(1+len(prefix), ofService-1)
	case selector == string(method.Parent()) && selector != "":
		return ofService
	case selector == string(method):
		return ofMethod
	default:
		return 0
	}
}

// Selects tells whether an exposure names an RPC: by its select, and not left out
// by its except.
func Selects(e *configv1.Exposure, method protoreflect.FullName) bool { return rank(e, method) > 0 }

// rank grows with how closely an exposure names an RPC; 0 is not at all.
func rank(e *configv1.Exposure, method protoreflect.FullName) int {
	if slices.ContainsFunc(e.GetExcept(), func(selector string) bool { return Match(selector, method) }) {
		return 0
	}
	return specificity(e.GetSelect(), method)
}

// Exposure finds the exposure that serves an RPC: the index in Config.Expose
// of the most specific one whose upstream has the RPC, -1 if there is none. has
// tells whether the contract of an upstream has the RPC.
//
// It is an error, which names both places, if two that are equally specific
// send one RPC to different upstreams.
func (f *File) Exposure(method protoreflect.FullName, has func(upstream string) bool) (int, error) {
	best, highest, rival := -1, 0, -1
	for i, e := range f.Config.GetExpose() {
		r := rank(e, method)
		if r == 0 || r < highest || !has(e.GetUpstream()) {
			continue
		}
		if r > highest {
			best, highest, rival = i, r, -1
		} else {
			rival = i
		}
	}
	if rival < 0 {
		return best, nil
	}
	one, other := f.Config.GetExpose()[best], f.Config.GetExpose()[rival]
	path := fmt.Sprintf("expose[%d].select", rival)
	return -1, f.Errorf(path, "%s is exposed twice: of upstream %q here, and of upstream %q by expose[%d] at %s; name it in full in one of them, or leave it out of one (except)",
		method, other.GetUpstream(), one.GetUpstream(), best, f.Position(fmt.Sprintf("expose[%d].select", best)))
}
