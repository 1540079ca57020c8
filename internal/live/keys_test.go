package live_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	_ "github.com/gatehouse-dev/gatehouse/gen/shop/pages/v1" // for `schema: {linked: true}`
	"github.com/gatehouse-dev/gatehouse/test/authtest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// Two calls that differ in one thing, which a policy must not take for one. A row of
// the table in docs/SECURITY-MODEL.md names each by its policy and the thing.

// keyRow is one policy, and one thing that is in its key.
type keyRow struct {
	policy, thing string
	rpc           rpc
	config        func(c *configv1.Config)
	see           func(ctx context.Context) // in the backend
	// a and b are the headers of the two calls.
	a, b []string
	play func(t *testing.T, s *keyStage)
}

// keyStage is a gateway in front of two backends, "shop" and "other".
type keyStage struct {
	stage
	other *shopBackend
	row   *keyRow
}

var productPage = rpc{"GetProductPage", "mug"}

func TestKeys(t *testing.T) {
	t.Parallel()
	for _, row := range keyRows(t) {
		t.Run(row.policy+"/"+row.thing, func(t *testing.T) {
			t.Parallel()
			s := &keyStage{row: &row, other: &shopBackend{name: "other", see: row.see}}
			s.backend, s.rpc = &shopBackend{name: "shop", see: row.see}, row.rpc
			if strings.Contains(row.policy, "concurrency") || row.thing == "flights" {
				s.backend.gate, s.backend.arrived = make(chan struct{}), make(chan struct{}, 10)
			}
			if row.policy == "fallback.last_good" {
				s.backend.fail = func(n int64) error { return failAfter(n, 1) }
			}
			c := gatewaytest.Config(s.backend.start(t))
			c.Upstreams = append(c.Upstreams, proto.CloneOf(c.GetUpstreams()[0]), &configv1.Upstream{
				Name: "pages", Composed: true, Schema: c.GetUpstreams()[0].GetSchema(),
			})
			c.Upstreams[1].Name, c.Upstreams[1].Target = "other", "passthrough:///"+s.other.start(t)
			c.Listeners.Http.TrustedProxies = []string{"127.0.0.0/8"}
			c.Expose[0].Select = "shop.catalog.v1.CatalogService." + strings.TrimSuffix(row.rpc.name, "Page")
			row.config(c)
			g := gatewaytest.Start(t, c)
			s.caller = &restCaller{gatewaytest.Client(t), g}
			row.play(t, s)
		})
	}
}

func failAfter(n, good int64) error {
	if n > good {
		return down
	}
	return nil
}

// TestTheTableOfKeys compares the table in the documentation with the rows here.
func TestTheTableOfKeys(t *testing.T) {
	text, err := os.ReadFile("../../docs/SECURITY-MODEL.md")
	if err != nil {
		t.Fatal(err)
	}
	var told, played []string
	for _, m := range regexp.MustCompile("(?m)`TestKeys/([^`]+)`").FindAllStringSubmatch(string(text), -1) {
		told = append(told, m[1])
	}
	for _, row := range keyRows(t) {
		played = append(played, row.policy+"/"+strings.ReplaceAll(row.thing, " ", "_"))
	}
	for _, name := range told {
		if !slices.Contains(played, name) {
			t.Errorf("docs/SECURITY-MODEL.md names %s, which is no row here", name)
		}
	}
	for _, name := range played {
		if !slices.Contains(told, name) {
			t.Errorf("docs/SECURITY-MODEL.md does not name %s", name)
		}
	}
}

// playKept wants the first caller's answer kept for the first caller alone.
func playKept(t *testing.T, s *keyStage) {
	s.want(t, codes.OK, s.row.a...)
	if got := s.want(t, codes.OK, s.row.a...); got.first("age") == "" {
		t.Fatal("the first caller did not get its own answer again: the test tells nothing")
	}
	if got := s.want(t, codes.OK, s.row.b...); got.first("age") != "" {
		t.Error("the second caller got the first one's answer")
	}
	if n := s.backend.calls.Load() + s.other.calls.Load(); n != 2 {
		t.Errorf("the backends were called %d times, want once for each caller", n)
	}
}

// playNotKept wants that neither answer is kept.
func playNotKept(t *testing.T, s *keyStage) {
	for _, headers := range [][]string{s.row.a, s.row.a, s.row.b} {
		if got := s.want(t, codes.OK, headers...); got.first("age") != "" {
			t.Error("got an answer that was kept")
		}
	}
}

// playBypassed is playNotKept for a caller who must say who it is.
func playBypassed(t *testing.T, s *keyStage) {
	s.row.b = s.row.a
	playNotKept(t, s)
}

// playLastGood wants the first caller's answer served to the first caller alone.
func playLastGood(t *testing.T, s *keyStage) {
	s.want(t, codes.OK, s.row.a...)
	s.other.fail = s.backend.fail
	s.other.calls.Add(1)
	s.want(t, codes.Unavailable, s.row.b...)
	if got := s.want(t, codes.OK, s.row.a...); got.first("gatehouse-degraded") == "" {
		t.Error("the first caller did not get its last good answer: the test tells nothing")
	}
}

// playLimit wants that the first caller's limit is not the second one's.
func playLimit(t *testing.T, s *keyStage) {
	s.want(t, codes.OK, s.row.a...)
	s.want(t, codes.ResourceExhausted, s.row.a...)
	s.want(t, codes.OK, s.row.b...)
}

// playConcurrency wants that the first caller's place is not the second one's.
func playConcurrency(t *testing.T, s *keyStage) {
	var running sync.WaitGroup
	running.Go(func() { s.want(t, codes.OK, s.row.a...) })
	gatewaytest.Receive(t, s.backend.arrived, "the first caller's call")
	s.want(t, codes.ResourceExhausted, s.row.a...)
	running.Go(func() { s.want(t, codes.OK, s.row.b...) })
	gatewaytest.Receive(t, s.backend.arrived, "the second caller's call")
	close(s.backend.gate)
	running.Wait()
}

// playFlights wants that a call does not wait for another caller's.
func playFlights(t *testing.T, s *keyStage) {
	var running sync.WaitGroup
	for _, headers := range [][]string{s.row.a, s.row.b} {
		running.Go(func() { s.want(t, codes.OK, headers...) })
		gatewaytest.Receive(t, s.backend.arrived, "a call of each caller")
	}
	close(s.backend.gate)
	running.Wait()
}

// playIdempotency wants the first caller's answer given again to the first caller
// alone.
func playIdempotency(t *testing.T, s *keyStage) {
	a, b := append(slices.Clone(s.row.a), "idempotency-key", "one"), append(slices.Clone(s.row.b), "idempotency-key", "one")
	s.want(t, codes.OK, a...)
	if got := s.want(t, codes.OK, a...); got.first("idempotency-replayed") == "" {
		t.Fatal("the first caller did not get its own answer again: the test tells nothing")
	}
	if got := s.want(t, codes.OK, b...); got.first("idempotency-replayed") != "" {
		t.Error("the second caller got the first one's answer")
	}
	s.wantCalls(t, 2)
}

// playAnotherRequest wants the second call refused, since it is not the first one
// again.
func playAnotherRequest(t *testing.T, s *keyStage) {
	s.want(t, codes.OK, append(slices.Clone(s.row.a), "idempotency-key", "one")...)
	s.want(t, codes.InvalidArgument, append(slices.Clone(s.row.b), "idempotency-key", "one")...)
	s.want(t, codes.OK, append(slices.Clone(s.row.a), "idempotency-key", "one")...)
	if n := s.backend.calls.Load() + s.other.calls.Load(); n != 1 {
		t.Errorf("the backends were called %d times, want once", n)
	}
}

// playSpread wants each of many callers stay at one backend, and not all at one.
func playSpread(t *testing.T, s *keyStage) {
	before := int64(0)
	for i := range 30 {
		who := anonymousToken(t, i)
		s.want(t, codes.OK, who...)
		first := s.backend.calls.Load() - before
		s.want(t, codes.OK, who...)
		if now := s.backend.calls.Load() - before; now != 2*first {
			t.Fatalf("caller %d changed sides", i)
		}
		before = s.backend.calls.Load()
	}
	if n := s.backend.calls.Load(); n == 0 || n == 60 {
		t.Errorf("%d of 60 calls came to one backend: all callers are one", n)
	}
}

// playOther wants the second upstream served while the first one fails.
func playOther(t *testing.T, s *keyStage) {
	s.backend.fail = func(int64) error { return down }
	for range 60 {
		ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
		s.call(ctx, s.rpc, s.row.a...)
		cancel()
	}
	if n := s.backend.calls.Load(); n >= 120 {
		t.Fatalf("the failing upstream was called %d times: the policy did nothing", n)
	}
	failed := false
	s.other.fail = func(int64) error {
		if !failed {
			failed = s.row.policy == "retry budget"
			return map[bool]error{true: down}[failed]
		}
		return nil
	}
	s.want(t, codes.OK, s.row.b...)
}

// playMirror wants the answer of the call's own upstream.
func playMirror(t *testing.T, s *keyStage) {
	s.other.arrived = make(chan struct{}, 1)
	if got := s.want(t, codes.OK, s.row.a...); got.first(servedBy) != "shop" {
		t.Errorf("answered by %q", got.first(servedBy))
	}
	gatewaytest.Receive(t, s.other.arrived, "the copy")
}

// issuer signs the tokens of these tests.
var issuer = sync.OnceValues(func() (*authtest.Issuer, error) { return authtest.New("https://idp.example", "shop") })

// accept lets callers in by tokens ("jwt") and by API keys ("keys").
func accept(t *testing.T) func(c *configv1.Config) {
	t.Helper()
	i, err := issuer()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, i.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := keysOf(t, "ada", "bob")
	return func(c *configv1.Config) {
		keys(c)
		c.Authenticators = append(c.Authenticators, &policyv1.Authenticator{Name: "jwt", Kind: &policyv1.Authenticator_Jwt{Jwt: &policyv1.Jwt{
			Issuer: i.Name, Audiences: []string{i.Audience}, Keys: &policyv1.Jwt_JwksFile{JwksFile: file},
		}}})
		for _, e := range c.GetExpose() {
			e.GetPolicy().Auth = &policyv1.Auth{Accept: []string{"jwt", "keys"}}
		}
	}
}

// token is a header with a token that has more claims; those that are nil it has
// not.
func token(t *testing.T, claims map[string]any) []string {
	t.Helper()
	i, err := issuer()
	if err != nil {
		t.Fatal(err)
	}
	all := i.Claims(time.Now())
	for name, value := range claims {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	return []string{"authorization", "Bearer " + i.Sign("EdDSA", all)}
}

// anonymousToken is a token that names nobody.
func anonymousToken(t *testing.T, i int) []string {
	t.Helper()
	return token(t, map[string]any{"sub": nil, "jti": fmt.Sprint(i, rand.Text())})
}

// steps composes a page of one call, and exposes what it calls.
func steps(c *configv1.Config) {
	const page = "shop.pages.v1.PagesService.GetProductPage"
	whole := proto.CloneOf(c.GetExpose()[0])
	whole.Select, whole.Upstream = page, "pages"
	c.Expose = append(c.Expose, whole)
	c.Compose = []*composev1.Composition{{Rpc: page, Steps: []*composev1.Step{{
		Name: "product", Call: "shop.catalog.v1.CatalogService.GetProduct", Request: map[string]string{"name": "request.product"}, Into: "product",
	}}}}
}

// toOther sends the calls that match to the other upstream.
func toOther(match *configv1.Route) func(c *configv1.Config) {
	match.Upstream = "other"
	return func(c *configv1.Config) { c.Expose[0].Routes = []*configv1.Route{match} }
}

// last is the exposure under test: that of the composed RPC where there is one.
func last(c *configv1.Config) *policyv1.Policy {
	return c.GetExpose()[len(c.GetExpose())-1].GetPolicy()
}

func caching(vary *string) func(c *configv1.Config) {
	return func(c *configv1.Config) { last(c).Cache = &policyv1.Cache{Ttl: durationpb.New(time.Hour), Vary: vary} }
}

func lastGood(c *configv1.Config) {
	last(c).Fallback = &policyv1.Fallback{Serve: &policyv1.Fallback_LastGood{LastGood: durationpb.New(time.Hour)}}
}

func idempotent(c *configv1.Config) { last(c).Idempotency = &policyv1.Idempotency{} }

func limited(key *string) func(c *configv1.Config) {
	return func(c *configv1.Config) {
		last(c).RateLimit = []*policyv1.RateLimit{{Requests: proto.Uint32(1), Per: durationpb.New(time.Hour), Key: key}}
	}
}

func capped(c *configv1.Config) {
	last(c).Concurrency = []*policyv1.Concurrency{{Limit: proto.Uint32(1), Scope: policyv1.Concurrency_SCOPE_CALLER.Enum()}}
}

// both makes all changes, one after the other.
func both(changes ...func(c *configv1.Config)) func(c *configv1.Config) {
	return func(c *configv1.Config) {
		for _, change := range changes {
			change(c)
		}
	}
}

func from(address string, more ...string) []string {
	return append([]string{"x-forwarded-for", address}, more...)
}

// varies has a backend say that its answers differ by a header.
func varies(ctx context.Context) {
	_ = grpc.SetHeader(ctx, metadata.Pairs("vary", "accept-language"))
}

func keyRows(t *testing.T) []keyRow {
	t.Helper()
	return slices.Concat(limitRows(t), cacheRows(t), wholeRows(t), lastGoodRows(t), idempotencyRows(t), upstreamRows(t))
}

func limitRows(t *testing.T) []keyRow {
	t.Helper()
	in := accept(t)
	ada, bob := token(t, map[string]any{"sub": "ada"}), token(t, map[string]any{"sub": "bob"})
	one, two := anonymousToken(t, 1), anonymousToken(t, 2)
	anonymous := func(c *configv1.Config) { last(c).Auth.Anonymous = new(true) }
	return []keyRow{
		{"rate_limit", "network", getShelf, limited(nil), nil, from("192.0.2.1"), from("192.0.2.2"), playLimit},
		{"rate_limit", "caller", getShelf, both(in, limited(new("caller.id"))), nil, ada, bob, playLimit},
		{"rate_limit", "credential without an id", getShelf, both(in, limited(new("caller.id"))), nil, one, two, playLimit},
		{"rate_limit", "authenticator of the id", getShelf, both(in, limited(new("caller.id"))), nil, ada, []string{"x-api-key", "key-of-ada"}, playLimit},
		{"rate_limit", "network of nobody known", getShelf, both(in, anonymous, limited(new("caller.id"))), nil, from("192.0.2.1"), from("192.0.2.2"), playLimit},
		{"concurrency", "network", getShelf, capped, nil, from("192.0.2.1"), from("192.0.2.2"), playConcurrency},
		{"concurrency", "caller", getShelf, both(in, capped), nil, ada, bob, playConcurrency},
		{"concurrency", "credential without an id", getShelf, both(in, capped), nil, one, two, playConcurrency},
		{"concurrency", "authenticator of the id", getShelf, both(in, capped), nil, ada, []string{"x-api-key", "key-of-ada"}, playConcurrency},
	}
}

func cacheRows(t *testing.T) []keyRow {
	t.Helper()
	in := accept(t)
	ada, bob := token(t, map[string]any{"sub": "ada"}), token(t, map[string]any{"sub": "bob"})
	one, two := anonymousToken(t, 1), anonymousToken(t, 2)
	telling := func(c *configv1.Config) { last(c).Auth.Forward = map[string]string{"x-tenant": "tenant"} }
	tenant := func(name string) []string { return token(t, map[string]any{"sub": "ada", "tenant": name}) }
	teaming := func(c *configv1.Config) { last(c).Auth.Forward = map[string]string{"x-user-team": "team"} }
	named := caching(new("caller.id"))
	all := caching(new(`""`))
	acme := toOther(&configv1.Route{Headers: map[string]string{"x-tenant": "acme"}})
	return []keyRow{
		{"cache", "caller", getShelf, both(in, caching(nil)), nil, ada, bob, playKept},
		{"cache", "flights", getShelf, both(in, caching(nil)), nil, ada, bob, playFlights},
		{"cache", "credential without an id", getShelf, both(in, caching(nil)), nil, one, two, playKept},
		{"cache", "authenticator of the id", getShelf, both(in, caching(nil)), nil, ada, []string{"x-api-key", "key-of-ada"}, playKept},
		{"cache", "claims that backends are told", getShelf, both(in, telling, caching(nil)), nil, tenant("acme"), tenant("blue"), playKept},
		{"cache", "credential that is not checked", getShelf, caching(nil), nil, []string{"x-auth-token", "ada"}, nil, playNotKept},
		{"cache", "user behind an API key", getShelf, both(in, caching(nil)), nil, []string{"x-api-key", "key-of-ada", "x-user-id", "1"}, nil, playBypassed},
		{"cache", "claims under such a name", getShelf, both(in, teaming, caching(nil)), nil, []string{"x-api-key", "key-of-ada"}, []string{"x-api-key", "key-of-bob"}, playKept},
		{"cache", "host", getShelf, all, nil, []string{"host", "evil.example"}, []string{"host", "shop.example"}, playKept},
		{"cache", "scheme", getShelf, all, nil, []string{"x-forwarded-proto", "https"}, []string{"x-forwarded-proto", "http"}, playKept},
		{"cache", "Vary of the backend", getShelf, all, varies, []string{"accept-language", "de"}, []string{"accept-language", "fr"}, playKept},
		{"cache", "upstream", getShelf, both(acme, all), nil, nil, []string{"x-tenant", "acme"}, playKept},
		{"cache.vary", "caller", getShelf, both(in, named), nil, ada, bob, playKept},
		{"cache.vary", "credential without an id", getShelf, both(in, named), nil, one, two, playKept},
		{"cache.vary", "authenticator of the id", getShelf, both(in, named), nil, ada, []string{"x-api-key", "key-of-ada"}, playKept},
	}
}

// wholeRows are about composed RPCs, whose answers depend on what their steps do.
func wholeRows(t *testing.T) []keyRow {
	t.Helper()
	in := accept(t)
	all := caching(new(`""`))
	tenant := func(name string) []string { return token(t, map[string]any{"sub": "ada", "tenant": name}) }
	acme, blue := tenant("acme"), tenant("blue")
	keptStep := func(vary *string) func(c *configv1.Config) {
		return func(c *configv1.Config) {
			c.Expose[0].Policy.Cache = &policyv1.Cache{Ttl: durationpb.New(time.Hour), Vary: vary}
		}
	}
	telling := func(c *configv1.Config) { c.Expose[0].Policy.Auth.Forward = map[string]string{"x-tenant": "tenant"} }
	percent := 50.0
	return []keyRow{
		{"cache of a whole", "header of a route", productPage, both(steps, toOther(&configv1.Route{Headers: map[string]string{"x-tenant": "acme"}}), all), nil, nil, []string{"x-tenant", "acme"}, playKept},
		{"cache of a whole", "host of a route", productPage, both(steps, toOther(&configv1.Route{Hosts: []string{"acme.example"}}), all), nil, []string{"host", "shop.example"}, []string{"host", "acme.example"}, playKept},
		{"cache of a whole", "claim of a route", productPage, both(steps, in, toOther(&configv1.Route{Claims: map[string]string{"tenant": "acme"}}), all), nil, blue, acme, playKept},
		{"cache of a whole", "condition of a route", productPage, both(steps, toOther(&configv1.Route{When: `headers["x-tenant"] == "acme"`}), all), nil, []string{"x-tenant", "blue"}, []string{"x-tenant", "acme"}, playKept},
		{"cache of a whole", "key of a percentage", productPage, both(steps, toOther(&configv1.Route{Percent: &percent, StickyBy: `headers["x-user"]`}), all), nil, []string{"x-user", "ada"}, []string{"x-user", "bob"}, playKept},
		{"cache of a whole", "cache key of a step", productPage, both(steps, keptStep(new(`headers["accept-language"]`)), all), nil, []string{"accept-language", "de"}, []string{"accept-language", "fr"}, playKept},
		{"cache of a whole", "caller of a step", productPage, both(steps, in, keptStep(nil), all), nil, token(t, map[string]any{"sub": "ada"}), token(t, map[string]any{"sub": "bob"}), playKept},
		{"cache of a whole", "claims that backends are told", productPage, both(steps, in, telling, all), nil, acme, blue, playKept},
		{"cache of a whole", "Vary of a step's backend", productPage, both(steps, all), varies, []string{"accept-language", "de"}, []string{"accept-language", "fr"}, playKept},
	}
}

func lastGoodRows(t *testing.T) []keyRow {
	t.Helper()
	in := accept(t)
	ada, bob := token(t, map[string]any{"sub": "ada"}), token(t, map[string]any{"sub": "bob"})
	telling := func(c *configv1.Config) { last(c).Auth.Forward = map[string]string{"x-tenant": "tenant"} }
	tenant := func(name string) []string { return token(t, map[string]any{"sub": "ada", "tenant": name}) }
	return []keyRow{
		{"fallback.last_good", "caller", getShelf, both(in, lastGood), nil, ada, bob, playLastGood},
		{"fallback.last_good", "credential without an id", getShelf, both(in, lastGood), nil, anonymousToken(t, 1), anonymousToken(t, 2), playLastGood},
		{"fallback.last_good", "authenticator of the id", getShelf, both(in, lastGood), nil, ada, []string{"x-api-key", "key-of-ada"}, playLastGood},
		{"fallback.last_good", "claims that backends are told", getShelf, both(in, telling, lastGood), nil, tenant("acme"), tenant("blue"), playLastGood},
		{"fallback.last_good", "credential that is not checked", getShelf, lastGood, nil, nil, []string{"x-auth-token", "ada"}, playLastGood},
		{"fallback.last_good", "host", getShelf, lastGood, nil, []string{"host", "evil.example"}, []string{"host", "shop.example"}, playLastGood},
		{"fallback.last_good", "Vary of the backend", getShelf, lastGood, varies, []string{"accept-language", "de"}, []string{"accept-language", "fr"}, playLastGood},
		{"fallback.last_good", "route of a step", productPage, both(steps, toOther(&configv1.Route{Headers: map[string]string{"x-beta": "1"}}), lastGood), nil, nil, []string{"x-beta", "1"}, playLastGood},
	}
}

func idempotencyRows(t *testing.T) []keyRow {
	t.Helper()
	in := accept(t)
	ada, bob := token(t, map[string]any{"sub": "ada"}), token(t, map[string]any{"sub": "bob"})
	beta := toOther(&configv1.Route{Headers: map[string]string{"x-beta": "1"}})
	byHost := toOther(&configv1.Route{Hosts: []string{"acme.example"}})
	return []keyRow{
		{"idempotency", "network", createProduct, idempotent, nil, from("192.0.2.1"), from("192.0.2.2"), playIdempotency},
		{"idempotency", "caller", createProduct, both(in, idempotent), nil, ada, bob, playIdempotency},
		{"idempotency", "credential without an id", createProduct, both(in, idempotent), nil, anonymousToken(t, 1), anonymousToken(t, 2), playIdempotency},
		{"idempotency", "authenticator of the id", createProduct, both(in, idempotent), nil, ada, []string{"x-api-key", "key-of-ada"}, playIdempotency},
		{"idempotency", "credential that is not checked", createProduct, idempotent, nil, []string{"x-auth-token", "ada"}, []string{"x-auth-token", "bob"}, playIdempotency},
		{"idempotency", "header of a route", createProduct, both(beta, idempotent), nil, nil, []string{"x-beta", "1"}, playAnotherRequest},
		{"idempotency", "tenant that is not checked", createProduct, idempotent, nil, []string{"x-tenant", "acme"}, []string{"x-tenant", "blue"}, playIdempotency},
		{"idempotency", "host of a route", createProduct, both(byHost, idempotent), nil, []string{"host", "shop.example"}, []string{"host", "acme.example"}, playAnotherRequest},
	}
}

// upstreamRows are about policies that keep no answer. What they count belongs to an
// upstream, or to a caller's choice of one.
func upstreamRows(t *testing.T) []keyRow {
	t.Helper()
	in := accept(t)
	percent := 50.0
	ring := func(c *configv1.Config) {
		u := c.GetUpstreams()[0]
		u.Addresses = []*configv1.Address{{Address: address(u)}, {Address: address(c.GetUpstreams()[1])}}
		u.Target, u.Balancing = "", &configv1.Balancing{Kind: configv1.Balancing_KIND_RING_HASH, Key: "caller.id"}
	}
	acme := toOther(&configv1.Route{Headers: map[string]string{"x-tenant": "acme"}})
	breaking := func(c *configv1.Config) { last(c).Breaker = &policyv1.Breaker{MinimumCalls: proto.Uint32(5)} }
	retrying := func(c *configv1.Config) { last(c).Retry = &policyv1.Retry{Attempts: proto.Uint32(2)} }
	copying := func(c *configv1.Config) { c.Expose[0].Mirror = &configv1.Mirror{Upstream: "other"} }
	return []keyRow{
		{"routes.sticky_by", "credential without an id", getShelf, both(in, toOther(&configv1.Route{Percent: &percent, StickyBy: "caller.id"})), nil, nil, nil, playSpread},
		{"balancing.key", "credential without an id", getShelf, both(in, ring), nil, nil, nil, playSpread},
		{"breaker", "upstream", getShelf, both(acme, breaking), nil, nil, []string{"x-tenant", "acme"}, playOther},
		{"retry budget", "upstream", getShelf, both(acme, retrying), nil, nil, []string{"x-tenant", "acme"}, playOther},
		{"mirror", "answer of the copy", getShelf, copying, nil, nil, nil, playMirror},
	}
}

func address(u *configv1.Upstream) string {
	return strings.TrimPrefix(u.GetTarget(), "passthrough:///")
}
