package compare

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

type rateLimit struct {
	Name     string  `json:"name"`
	Requests float64 `json:"requests"`
	Per      string  `json:"per"`
	Burst    float64 `json:"burst"`
	Cost     float64 `json:"cost"`
}

func (l *rateLimit) String() string {
	if l == nil {
		return ""
	}
	return fmt.Sprintf("%g in %s, %g at once, a call counts %g", l.Requests, l.Per, l.Burst, l.Cost)
}

// perSecond are the calls that it lets pass in a second, in the long run.
func (l *rateLimit) perSecond() float64 {
	per, err := time.ParseDuration(l.Per)
	if err != nil || per <= 0 {
		return 0
	}
	return l.Requests / per.Seconds() / max(l.Cost, 1)
}

type degraded struct {
	Serves   string   `json:"serves"`
	MaxAge   string   `json:"maxAge"`
	Optional []string `json:"optional"`
}

// policy is what a document shows of policies that nothing else in it shows.
type policy struct {
	Timeout string `json:"timeout"`
	Cache   struct {
		TTL string `json:"ttl"`
	} `json:"cache"`
	Idempotency *struct {
		TTL        string `json:"ttl"`
		AtMostOnce bool   `json:"at_most_once"`
	} `json:"idempotency"`
}

// cors says which pages of other sites may call.
type cors struct {
	Origins     []string `json:"allow_origins"`
	Headers     []string `json:"allow_headers"`
	Exposed     []string `json:"expose_headers"`
	Credentials bool     `json:"allow_credentials"`
}

// whole compares what a document says of all operations.
func (c *comparer) whole() {
	r := new(result)
	for _, name := range slices.Sorted(maps.Keys(c.old.Limits)) {
		was, is := c.old.Limits[name], c.next.Limits[name]
		if is != "" && number(json.RawMessage(is)) < number(json.RawMessage(was)) {
			r.add(Risky, "LIMIT_NO_LOWER", "limit "+name, string(was), string(is), "requests beyond it are refused")
		}
	}
	for _, s := range c.old.Servers {
		if len(c.next.Servers) > 0 && !slices.ContainsFunc(c.next.Servers, func(other server) bool { return other.URL == s.URL }) {
			r.add(Risky, "SERVER_NO_DELETE", "server", s.URL, "", "clients that call it may find nothing there")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.old.Components.SecuritySchemes)) {
		was, is := c.old.Components.SecuritySchemes[name], c.next.Components.SecuritySchemes[name]
		switch {
		case is == nil: // the operations that took it tell
		case was.Type != is.Type || was.Name != is.Name || was.In != is.In || was.Scheme != is.Scheme:
			r.add(Breaking, "SECURITY_SCHEME_SAME", "security scheme "+name, was.String(), is.String(), "credentials are sent otherwise")
		case was.Description != is.Description:
			r.add(Risky, "SECURITY_SCHEME_SAME", "security scheme "+name, was.Description, is.Description, "credentials of before may be refused")
		}
	}
	r.cors(c.old.Cors, c.next.Cors)
	c.note("", r)
}

func (s *securityScheme) String() string {
	return strings.Join(slices.DeleteFunc([]string{s.Type, s.Scheme, s.In, s.Name}, func(part string) bool { return part == "" }), " ")
}

// cors compares which pages may call, and what they may send and read.
func (r *result) cors(old, next *cors) {
	switch {
	case old == nil:
		return
	case next == nil:
		r.add(Breaking, "CORS_NO_DELETE", "CORS", "pages of other sites may call", "", "browsers refuse their calls")
		return
	case old.Credentials && !next.Credentials:
		r.add(Breaking, "CORS_NO_DELETE", "CORS", "with credentials", "without credentials", "browsers refuse calls with credentials")
	}
	for _, list := range []struct {
		what     string
		old, new []string
		why      string
	}{
		{"CORS origin", old.Origins, next.Origins, "browsers refuse its calls"},
		{"CORS request header", old.Headers, next.Headers, "browsers refuse calls with it"},
		{"CORS response header", old.Exposed, next.Exposed, "pages cannot read it"},
	} {
		for _, one := range list.old {
			// A document shows origins only where it shows all policies.
			if len(list.new) > 0 && !slices.ContainsFunc(list.new, func(pattern string) bool { return covers(pattern, one) }) {
				r.add(Breaking, "CORS_NO_DELETE", list.what, one, "", list.why)
			}
		}
	}
}

// covers reports whether a pattern of CORS takes an origin or header.
func covers(pattern, one string) bool {
	if pattern == "*" || strings.EqualFold(pattern, one) {
		return true
	}
	scheme, domain, isWild := strings.Cut(pattern, "://*")
	return isWild && strings.HasPrefix(one, scheme+"://") && strings.HasSuffix(one, domain)
}

// promises compares what policies promise of an operation.
func (d *differ) promises(old, next *operation) {
	d.security(old.Security, next.Security)
	d.sunset(old.Sunset, next.Sunset)
	d.rateLimits(old.RateLimits, next.RateLimits)
	d.degraded(orNone(old.Degraded), orNone(next.Degraded))
	if old.Policy != nil && next.Policy != nil {
		d.policy(old.Policy, next.Policy)
	}
}

// policy compares what only the policies tell.
func (d *differ) policy(old, next *policy) {
	add := func(when bool, rule, what, from, to, why string) {
		if when {
			d.add(Risky, rule, what, from, to, why)
		}
	}
	was, is := duration(old.Timeout), duration(next.Timeout)
	add(is > 0 && (was == 0 || is < was), "TIMEOUT_NO_SHORTER", "timeout", old.Timeout, next.Timeout, "calls that take longer fail with 504")
	was, is = duration(old.Cache.TTL), duration(next.Cache.TTL)
	add(is > was, "CACHE_NO_LONGER", "age of answers", cmp.Or(old.Cache.TTL, "0s"), next.Cache.TTL, "clients get answers that are older")
	before, after := old.Idempotency, next.Idempotency
	if before == nil || after == nil {
		return // the parameter tells
	}
	add(duration(after.TTL) < duration(before.TTL), "IDEMPOTENCY_NO_WEAKER", "idempotency keys are known for", before.TTL, after.TTL, "a call that is repeated later is carried out again")
	add(before.AtMostOnce && !after.AtMostOnce, "IDEMPOTENCY_NO_WEAKER", "a call with an idempotency key is carried out", "at most once", "again, if nobody knows whether it was", "clients rely on it")
}

func orNone(d *degraded) *degraded {
	if d == nil {
		return new(degraded)
	}
	return d
}

func duration(text string) time.Duration {
	d, _ := time.ParseDuration(cmp.Or(text, "0s")) // else there is none
	return d
}

// degraded compares what is answered while a service cannot answer.
func (d *differ) degraded(old, next *degraded) {
	if old.MaxAge != "" && duration(next.MaxAge) < duration(old.MaxAge) {
		d.add(Risky, "FALLBACK_NO_WEAKER", "last good answers", old.MaxAge, next.MaxAge, "clients get errors instead, while the service cannot answer")
	}
	for _, part := range without(next.Optional, old.Optional) {
		d.add(Risky, "FALLBACK_NO_WEAKER", "part "+part, "always there", "missing while the service cannot answer", "clients rely on finding it")
	}
}

// rateLimits compares limits by their names.
func (d *differ) rateLimits(old, next []rateLimit) {
	for i := range next {
		is := &next[i]
		var was *rateLimit
		if at := slices.IndexFunc(old, func(l rateLimit) bool { return l.Name == is.Name }); at >= 0 {
			was = &old[at]
		}
		if was == nil || is.perSecond() < was.perSecond() || is.Burst < was.Burst {
			d.add(Risky, "RATE_LIMIT_NO_LOWER", "rate limit "+is.Name, was.String(), is.String(), "calls beyond it are refused with 429")
		}
	}
}

// security compares the security requirements. Credentials that met one of the old must
// meet one of the new.
func (d *differ) security(old, next []map[string][]string) {
	from, to := waysText(old), waysText(next)
	if len(old) == 0 { // no credentials were needed
		old = []map[string][]string{{}}
	}
	if len(next) == 0 {
		next = []map[string][]string{{}}
	}
	for _, was := range old {
		if slices.ContainsFunc(next, func(is map[string][]string) bool { return admits(is, was) }) {
			continue
		}
		why := "callers that were let in are refused"
		if missing := missingScopes(was, next); missing != "" {
			why = "callers without the scope " + missing + " are refused"
		}
		d.add(Breaking, "SECURITY_NO_NARROWER", "security", from, to, why)
		return
	}
}

// admits reports whether credentials that did are enough: no other ones are asked for.
func admits(is, was map[string][]string) bool {
	for scheme, scopes := range is {
		had, ok := was[scheme]
		if !ok || len(without(scopes, had)) > 0 {
			return false
		}
	}
	return true
}

// missingScopes are those that the same credentials must have now, and need not before.
func missingScopes(was map[string][]string, next []map[string][]string) string {
	for _, is := range next {
		var missing []string
		for scheme, scopes := range is {
			had, ok := was[scheme]
			if !ok {
				missing = nil
				break
			}
			missing = append(missing, without(scopes, had)...)
		}
		if len(missing) > 0 {
			slices.Sort(missing)
			return strings.Join(slices.Compact(missing), ", ")
		}
	}
	return ""
}

func waysText(ways []map[string][]string) string {
	if len(ways) == 0 {
		return "public"
	}
	list := make([]string, 0, len(ways))
	for _, way := range ways {
		var schemes []string
		for _, scheme := range slices.Sorted(maps.Keys(way)) {
			text := scheme
			if len(way[scheme]) > 0 {
				text += " with " + strings.Join(way[scheme], " and ")
			}
			schemes = append(schemes, text)
		}
		list = append(list, cmp.Or(strings.Join(schemes, " and "), "anonymous"))
	}
	return strings.Join(list, " or ")
}
