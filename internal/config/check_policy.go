package config

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
)

// Check returns what is wrong with the policy as it was merged, as [Errors] with
// paths below the policy and without positions. The rules of single fields are in
// the schema and were checked in each source; these are the rules that more than one
// field, or more than one source, has a part in.
//
// sound is the policy without the parts that are wrong, so that mistakes in the others
// can be found too. Who may call stays in it.
func (e *Effective) Check() (sound *policyv1.Policy, _ error) {
	c := &policyChecker{Effective: e}
	c.auth(e.Policy.GetAuth())
	c.rateLimits(e.Policy.GetRateLimit())
	c.concurrency(e.Policy.GetConcurrency())
	c.cache(e.Policy.GetCache())
	c.fallback(e.Policy.GetFallback())
	c.idempotency(e.Policy.GetIdempotency())
	c.breaker(e.Policy.GetBreaker())
	if len(c.errors) == 0 {
		return e.Policy, nil
	}
	sound = proto.CloneOf(e.Policy)
	fields := sound.ProtoReflect().Descriptor().Fields()
	for _, wrong := range c.errors {
		part, _, _ := strings.Cut(wrong.Path, ".")
		part, _, _ = strings.Cut(part, "[")
		if part != "auth" {
			sound.ProtoReflect().Clear(fields.ByName(protoreflect.Name(part)))
		}
	}
	return sound, c.errors
}

// policyChecker gathers what is wrong with one policy.
type policyChecker struct {
	*Effective
	errors Errors
}

func (c *policyChecker) fail(path, format string, args ...any) {
	c.errors = append(c.errors, &Error{Path: path, Text: fmt.Sprintf(format, args...)})
}

func (c *policyChecker) auth(a *policyv1.Auth) {
	if a.GetPublic() && (len(a.GetAccept()) > 0 || a.GetAnonymous() || len(a.GetScopes()) > 0 || a.GetAllow() != "") {
		c.fail("auth.public", "anybody may call, so accept, anonymous, scopes and allow cannot be said beside it")
	}
	if a.GetAnonymous() && len(a.GetScopes()) > 0 {
		c.fail("auth.anonymous", "nobody has no scopes, so anonymous and scopes cannot be said together")
	}
	for i, scope := range a.GetScopes() {
		if scope == "" || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' }) {
			c.fail(fmt.Sprintf("auth.scopes[%d]", i), "%q is no scope: want printable ASCII without spaces", scope)
		}
	}
}

func (c *policyChecker) rateLimits(limits []*policyv1.RateLimit) {
	if slices.ContainsFunc(limits, (*policyv1.RateLimit).GetUnlimited) {
		return
	}
	for i, l := range limits {
		switch {
		case l.GetRequests() == 0:
			c.fail(fmt.Sprintf("rate_limit[%d].requests", i), "want how many calls may come in the time `per`, 1 or more")
		case l.GetCost() > l.GetBurst():
			c.fail(fmt.Sprintf("rate_limit[%d].burst", i), "%d: want at least what one call costs, %d, or none could ever pass", l.GetBurst(), l.GetCost())
		}
	}
}

func (c *policyChecker) concurrency(caps []*policyv1.Concurrency) {
	seen := map[policyv1.Concurrency_Scope]bool{}
	for i, limit := range caps {
		if limit.GetUnlimited() {
			continue
		}
		if limit.GetLimit() == 0 {
			c.fail(fmt.Sprintf("concurrency[%d].limit", i), "want how many calls may run at once, at least 1")
		}
		if scope := limit.GetScope(); seen[scope] {
			c.fail(fmt.Sprintf("concurrency[%d].scope", i), "there is a cap of scope %q before; want one of each", enumName(scope.Descriptor().Values().ByNumber(scope.Number())))
		}
		seen[limit.GetScope()] = true
	}
}

func (c *policyChecker) cache(kept *policyv1.Cache) {
	if kept != nil && !kept.GetDisabled() && kept.GetTtl() == nil {
		c.fail("cache.ttl", "want how long an answer is kept, as in 10s")
	}
}

func (c *policyChecker) fallback(f *policyv1.Fallback) {
	if f != nil && !f.GetDisabled() && f.GetServe() == nil {
		c.fail("fallback", "want last_good or response, or it serves nothing")
	}
}

func (c *policyChecker) idempotency(p *policyv1.Idempotency) {
	if !p.GetDisabled() && p.GetAtMostOnce() && p.GetOnFailure() == policyv1.OnFailure_ON_FAILURE_OPEN {
		c.fail("idempotency.at_most_once", "not together with on_failure: open, for replicas that each know their own keys do a call twice: take on_failure: closed, or at_most_once: false")
	}
}

// breaker refuses settings of the three-state breaker for one that has no states.
func (c *policyChecker) breaker(b *policyv1.Breaker) {
	if b == nil || b.GetDisabled() || b.GetKind() != policyv1.Breaker_KIND_ADAPTIVE {
		return
	}
	for _, field := range [...]string{"failure_ratio", "slow_call", "slow_ratio", "open_time", "probes"} {
		if path := "breaker." + field; c.Origin[path] != "default" {
			c.fail(path, "only for kind: three-state; say that too, or leave this out")
			return
		}
	}
}
