package compile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/cache"
	"github.com/gatehouse-dev/gatehouse/interceptors/idempotency"
	"github.com/gatehouse-dev/gatehouse/internal/answers"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/expr"
)

// PolicyKey is the key by which a policy keeps answers.
type PolicyKey struct {
	Policy string `json:"policy"`
	// Parts are what is in the key, as "header x-tenant (expose[1].routes[0].headers)".
	Parts []string `json:"parts"`
}

// String is the key on one line.
func (k PolicyKey) String() string { return k.Policy + ": " + strings.Join(k.Parts, ", ") }

// facts are what the answers of one RPC depend on, each with the field of the
// configuration that it follows from. A kept answer skips the policies behind it, so its
// key must hold all that those policies look at.
type facts struct {
	b     *chainBuilder
	why   map[answers.Fact]string
	seen  map[string]bool // RPCs
	host  string          // where upstreams are chosen by host; "" for nowhere
	wrong error           // what cannot be part of a key
}

func (b *chainBuilder) newFacts() *facts {
	return &facts{b: b, why: map[answers.Fact]string{}, seen: map[string]bool{}}
}

func (f *facts) list() answers.Facts {
	return answers.NewFacts(slices.Collect(maps.Keys(f.why))...)
}

func (f *facts) add(why string, fact answers.Fact) {
	if f.why[fact] == "" {
		f.why[fact] = why
	}
}

func (f *facts) fail(why, format string, args ...any) {
	if f.wrong == nil {
		f.wrong = fmt.Errorf("%s: %s", why, fmt.Sprintf(format, args...))
	}
}

// forwarded adds the claims that are forwarded to the backends of an RPC.
func (f *facts) forwarded(of string, auth *policyv1.Auth) {
	if auth.GetPublic() {
		return
	}
	for key, claim := range auth.GetForward() {
		f.add(fmt.Sprintf("auth.forward[%q] of %s", key, of), answers.Fact{Kind: answers.Claim, Name: claim})
	}
}

// steps adds the facts of the RPCs that a composed RPC calls, and of those that they call.
func (f *facts) steps(rpc string) {
	c := f.b.compositions[rpc]
	if c == nil || f.seen[rpc] {
		return
	}
	f.seen[rpc] = true
	for _, s := range c.from.GetSteps() {
		name := contract.WireName(protoreflect.FullName(s.GetCall()))
		if m := find(f.b.exposures.methods, name); m != nil && !f.seen[name] {
			f.step(m)
			f.steps(name)
		}
		f.seen[name] = true
	}
}

// step adds the facts of one step.
func (f *facts) step(m *Method) {
	policy, of := m.Effective.Policy, string(m.Desc.FullName())
	f.forwarded(of, policy.GetAuth())
	f.routes(m, policy.GetAuth())
	if kept := policy.GetCache(); config.IsEnabled(kept) && (kept.Vary == nil || !cache.IsEverybody(kept.GetVary())) {
		if why := "cache of " + of; kept.GetVary() == "" {
			f.add(why, answers.Fact{Kind: answers.Caller})
		} else {
			f.expression("cache.vary of "+of, m, policy.GetAuth(), kept.GetVary(), (*expr.Env).Key)
		}
	}
	if kept := policy.GetFallback(); config.IsEnabled(kept) && kept.GetLastGood() != nil {
		f.add("fallback.last_good of "+of, answers.Fact{Kind: answers.Caller})
	}
}

// routes adds what the choice among an RPC's upstreams depends on. A percentage that is
// drawn at random depends on nothing.
func (f *facts) routes(m *Method, auth *policyv1.Auth) {
	for i, r := range f.b.file.exposureOf(m).GetRoutes() {
		path := fmt.Sprintf("expose[%d].routes[%d]", m.Exposure, i)
		if len(r.GetHosts()) > 0 && f.host == "" {
			f.host = path + ".hosts"
		}
		for key := range r.GetHeaders() {
			f.add(path+".headers", answers.Fact{Kind: answers.Header, Name: key})
		}
		if !auth.GetPublic() {
			for claim := range r.GetClaims() {
				f.add(path+".claims", answers.Fact{Kind: answers.Claim, Name: claim})
			}
		}
		if r.GetWhen() != "" {
			f.expression(path+".when", m, auth, r.GetWhen(), (*expr.Env).Condition)
		}
		if r.GetStickyBy() != "" && r.GetPercent() < 100 {
			f.expression(path+".sticky_by", m, auth, r.GetStickyBy(), (*expr.Env).Key)
		}
	}
}

// expression adds what an expression depends on, except for the request: that of a step is
// made from the request of the composed RPC, which is in the key, and from answers of steps.
func (f *facts) expression(why string, m *Method, auth *policyv1.Auth, text string, compile func(*expr.Env, string) (*expr.Program, error)) {
	env, err := f.b.programs.Env(m.Desc)
	if err != nil {
		f.fail(why, "%v", err)
		return
	}
	program, err := compile(env, text)
	if err != nil {
		return // reported where the expression is compiled
	}
	d := program.Depends()
	if d.AnyHeader {
		f.fail(why, "it looks at headers without naming them, so an answer that is kept cannot be told from others; name them, as in headers[\"x-tenant\"]")
	}
	for _, name := range d.Headers {
		f.add(why, answers.Fact{Kind: answers.Header, Name: name})
	}
	for kind, used := range map[answers.Kind]bool{answers.PeerIP: d.PeerIP, answers.PeerNetwork: d.PeerNetwork} {
		if used {
			f.add(why, answers.Fact{Kind: kind})
		}
	}
	if auth.GetPublic() {
		return // every caller is anonymous
	}
	for _, name := range d.Claims {
		f.add(why, answers.Fact{Kind: answers.Claim, Name: name})
	}
	for fact, used := range map[answers.Fact]bool{
		{Kind: answers.Caller}: d.CallerID, {Kind: answers.Authenticator}: d.Authenticator,
		{Kind: answers.Scopes}: d.Scopes, {Kind: answers.Claim}: d.AnyClaim,
	} {
		if used {
			f.add(why, fact)
		}
	}
}

// keysOf finds the facts for those policies of an RPC that keep answers, and adds the keys
// to m for explanations.
func (b *chainBuilder) keysOf(r *interceptors.Method, m *Method) error {
	policy := m.Effective.Policy
	if !keeps(policy) {
		return nil
	}
	parts, own, choice := b.newFacts(), b.newFacts(), b.newFacts()
	for _, f := range []*facts{parts, own, choice} {
		f.steps(r.Name)
	}
	if b.compositions[r.Name] == nil {
		own.forwarded(string(m.Desc.FullName()), policy.GetAuth())
	}
	choice.routes(m, policy.GetAuth())
	choice.keepHeaders()
	r.Facts, r.OwnFacts, r.ChosenBy = parts.list(), own.list(), choice.headers()
	note := func(policy string, f *facts, first ...string) {
		m.Keys = append(m.Keys, PolicyKey{policy, f.parts(first)})
	}
	kept := ""
	if c := policy.GetCache(); config.IsEnabled(c) {
		kept = "cache"
		who, from := []string{"caller"}, own
		if c.Vary != nil {
			who, from = []string{c.GetVary() + " (cache.vary)"}, parts
		}
		if c.Vary != nil && cache.IsEverybody(c.GetVary()) {
			who = nil
		}
		note(kept, from, append([]string{"RPC", "request", "upstream", "host", "scheme"}, who...)...)
	}
	if c := policy.GetFallback(); config.IsEnabled(c) && c.GetLastGood() != nil {
		kept = "fallback"
		note("fallback.last_good", own, "RPC", "request", "upstream", "host", "scheme", "caller")
	}
	if config.IsEnabled(policy.GetIdempotency()) {
		note("idempotency", choice, "RPC", "Idempotency-Key", "caller or network", "credentials not checked")
	}
	if choice.wrong != nil && config.IsEnabled(policy.GetIdempotency()) {
		return interceptors.Wrong("idempotency", "what chooses the upstream of a repeated call cannot be told: %w", choice.wrong)
	}
	if parts.wrong != nil && kept != "" {
		return interceptors.Wrong(kept, "what its answers depend on cannot be told: %w", parts.wrong)
	}
	return nil
}

// keepHeaders forgets all facts but headers.
func (f *facts) keepHeaders() {
	maps.DeleteFunc(f.why, func(fact answers.Fact, _ string) bool { return fact.Kind != answers.Header })
}

// headers are the names of the facts, all of which are headers, and the host where
// upstreams are chosen by it, as package idempotency takes them.
func (f *facts) headers() []string {
	var names []string
	if f.host != "" {
		names = append(names, idempotency.Host)
	}
	for _, fact := range f.list() {
		names = append(names, fact.Name)
	}
	return names
}

// parts describes the parts of a key.
func (f *facts) parts(first []string) []string {
	list := slices.Clone(first)
	if f.host != "" && !slices.Contains(list, "host") {
		list = append(list, "host ("+f.host+")")
	}
	for _, fact := range f.list() {
		if text := fact.String(); !slices.Contains(list, text) {
			list = append(list, text+" ("+f.why[fact]+")")
		}
	}
	return list
}
