package live_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// fork is a gateway in front of two upstreams: "shop", to which calls go that no
// route takes, and "canary". An answer tells who gave it.
type fork struct {
	shop, canary *shopBackend
	g            *gatewaytest.Gateway
}

const servedBy = "x-served-by"

func upstreamAt(name, address string) *configv1.Upstream {
	return &configv1.Upstream{
		Name: name, Target: "passthrough:///" + address, Schema: &configv1.Schema{Source: &configv1.Schema_Linked{Linked: true}},
	}
}

func (f *fork) start(t *testing.T, changes ...gatewaytest.Change) *fork {
	t.Helper()
	if f.shop == nil {
		f.shop = new(shopBackend)
	}
	if f.canary == nil {
		f.canary = new(shopBackend)
	}
	f.shop.name, f.canary.name = "shop", "canary"
	second := f.canary.start(t)
	changes = append([]gatewaytest.Change{func(c *configv1.Config) { c.Upstreams = append(c.Upstreams, upstreamAt("canary", second)) }}, changes...)
	f.g = gatewaytest.Start(t, gatewaytest.Config(f.shop.start(t), changes...))
	return f
}

// at is one door of the fork.
func (f *fork) at(t *testing.T, d door, r rpc) *stage {
	return &stage{caller: d.open(t, f.g), backend: f.canary, rpc: r}
}

// routes gives the one exposure routes.
func routes(list ...*configv1.Route) gatewaytest.Change {
	return func(c *configv1.Config) {
		for _, r := range list {
			if r.GetUpstream() == "" {
				r.Upstream = "canary"
			}
		}
		c.Expose[0].Routes = list
	}
}

// beta routes the calls of those who ask for it.
func beta() *configv1.Route { return &configv1.Route{Headers: map[string]string{"x-beta": "1"}} }

func wantServed(t *testing.T, got outcome, by string) {
	t.Helper()
	if got.first(servedBy) != by {
		t.Errorf("served by %q, want %q", got.first(servedBy), by)
	}
}

// Each way to choose decides the same at every door.
func TestRoutesChooseTheSameAtEveryDoor(t *testing.T) {
	keys := keysOf(t, "ada", "bob")
	for _, tc := range []struct {
		name    string
		route   *configv1.Route
		yes, no []string // headers of calls that are taken, and of such that are not
		network bool     // only calls that come over the network are taken
	}{
		{name: "host", route: &configv1.Route{Hosts: []string{"nobody.example", "127.0.0.1"}}, network: true},
		{name: "other hosts", route: &configv1.Route{Hosts: []string{"*.example"}}, no: []string{"x-forwarded-host", "a.example"}},
		{name: "header", route: beta(), yes: []string{"x-beta", "1"}, no: []string{"x-beta", "2"}},
		{name: "claim", route: &configv1.Route{Claims: map[string]string{"team": "of-ada"}}, yes: []string{"x-api-key", "key-of-ada"}},
		{
			name: "expression", route: &configv1.Route{When: `caller.claims.team == "of-ada" && headers["x-beta"] != "0"`},
			yes: []string{"x-api-key", "key-of-ada", "x-beta", "1"}, no: []string{"x-api-key", "key-of-ada"}, // which cannot be decided
		},
		{name: "expression about the request", route: &configv1.Route{When: `request.name.endsWith("tents") || request.name.endsWith("mug")`}, yes: []string{"x", "y"}},
		{name: "all", route: &configv1.Route{}, yes: []string{"x", "y"}},
		{name: "none of a hundred", route: &configv1.Route{Percent: new(0.0)}, no: []string{"x", "y"}},
	} {
		for _, r := range []rpc{getShelf, watchStock} {
			t.Run(tc.name+"/"+r.name, func(t *testing.T) {
				f := new(fork).start(t, keys, routes(tc.route), only(r), func(c *configv1.Config) {
					c.Expose[0].Policy.Auth = &policyv1.Auth{Accept: []string{"keys"}, Anonymous: new(true)}
				})
				for _, d := range doors() {
					s := f.at(t, d, r)
					if tc.yes != nil {
						wantServed(t, s.want(t, codes.OK, tc.yes...), "canary")
					}
					if tc.no != nil {
						wantServed(t, s.want(t, codes.OK, tc.no...), "shop")
					}
					if tc.network {
						wantServed(t, s.want(t, codes.OK), map[bool]string{true: "shop", false: "canary"}[d.protocol == call.InProcess])
					}
				}
			})
		}
	}
}

// Who is on the canary with one protocol is with all, and with all RPCs.
func TestAClientSticksWhateverItSpeaks(t *testing.T) {
	f := new(fork).start(t, routes(&configv1.Route{Percent: new(30.0), StickyBy: `headers["x-user"]`}))
	went := map[string]int{}
	for _, d := range doors() {
		for _, r := range []rpc{getShelf, watchStock} {
			s := f.at(t, d, r)
			for i := range 20 {
				user := fmt.Sprintf("user-%d", i)
				by := s.want(t, codes.OK, "x-user", user).first(servedBy)
				went[user+" to "+by]++
			}
		}
	}
	if len(went) != 20 {
		t.Errorf("20 users went %v, want each to one upstream", went)
	}
	if f.shop.calls.Load() == 0 || f.canary.calls.Load() == 0 {
		t.Error("all went to one upstream")
	}
}

func TestAnswersOfUpstreamsAreKeptApart(t *testing.T) {
	for name, policy := range map[string]func(*policyv1.Policy){
		"cache": func(p *policyv1.Policy) { p.Cache = &policyv1.Cache{Ttl: durationpb.New(time.Hour), Vary: new(`""`)} },
		"last good": func(p *policyv1.Policy) {
			p.Fallback = &policyv1.Fallback{Serve: &policyv1.Fallback_LastGood{LastGood: durationpb.New(time.Hour)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			downAfter := func(n int64) error {
				if n > 1 {
					return down
				}
				return nil
			}
			for _, d := range doors() { // each with a host of its own, which is in the key
				f := (&fork{shop: &shopBackend{fail: downAfter}, canary: &shopBackend{fail: downAfter}}).start(t, only(getShelf), routes(beta()),
					func(c *configv1.Config) { policy(c.GetExpose()[0].GetPolicy()) })
				s := f.at(t, d, getShelf)
				for range 2 {
					wantServed(t, s.want(t, codes.OK), "shop")
					wantServed(t, s.want(t, codes.OK, "x-beta", "1"), "canary")
				}
			}
		})
	}
}

// One upstream that is asked in two ways has two kinds of answers.
func TestAnswersOfTenantsAreKeptApart(t *testing.T) {
	tenant := func(name string) *configv1.Route {
		return &configv1.Route{Headers: map[string]string{"x-beta": name}, Metadata: &configv1.Rewrite{
			Request: &configv1.Changes{Set: map[string]string{"x-tenant": name}},
		}}
	}
	f := &fork{canary: &shopBackend{see: func(ctx context.Context) {
		in, _ := metadata.FromIncomingContext(ctx)
		_ = grpc.SetHeader(ctx, metadata.Pairs("x-of", in.Get("x-tenant")[0]))
	}}}
	f.start(t, only(getShelf), routes(tenant("a"), tenant("b")), func(c *configv1.Config) {
		c.Expose[0].Policy.Cache = &policyv1.Cache{Ttl: durationpb.New(time.Hour), Vary: new(`""`)}
	})
	s := f.at(t, doors()[0], getShelf)
	for _, name := range []string{"a", "b", "a", "b"} {
		if got := s.want(t, codes.OK, "x-beta", name); got.first("x-of") != name {
			t.Errorf("%s got the answer of %q", name, got.first("x-of"))
		}
	}
	s.wantCalls(t, 2)
}

func TestRetriesStayWithTheChosenUpstream(t *testing.T) {
	f := (&fork{canary: &shopBackend{fail: failsFirst(2)}}).start(t, only(getShelf), func(c *configv1.Config) {
		c.Expose[0].Policy.Retry = &policyv1.Retry{InitialBackoff: durationpb.New(time.Microsecond)}
	}, routes(&configv1.Route{Headers: map[string]string{"x-beta": "1"}, When: `true`}))
	s := f.at(t, doors()[0], getShelf)
	wantServed(t, s.want(t, codes.OK, "x-beta", "1"), "canary")
	s.wantCalls(t, 3)
	if n := f.shop.calls.Load(); n != 0 {
		t.Errorf("the other upstream got %d attempts", n)
	}
}

// What a failing canary spends is its own: breaker and budget.
func TestACanaryThatFailsHarmsNobodyElse(t *testing.T) {
	f := (&fork{canary: &shopBackend{fail: func(int64) error { return down }}, shop: &shopBackend{fail: func(n int64) error {
		if n == 1 {
			return down
		}
		return nil
	}}}).start(t, only(getShelf), routes(beta()), func(c *configv1.Config) {
		c.Expose[0].Policy.Retry = &policyv1.Retry{InitialBackoff: durationpb.New(time.Microsecond), Attempts: proto.Uint32(2)}
		c.Expose[0].Policy.Breaker = &policyv1.Breaker{
			Kind: policyv1.Breaker_KIND_THREE_STATE.Enum(), MinimumCalls: proto.Uint32(20), OpenTime: durationpb.New(time.Hour),
		}
	})
	s := f.at(t, doors()[2], getShelf)
	for range 40 {
		s.want(t, codes.Unavailable, "x-beta", "1")
	}
	s.wantCalls(t, 20) // then the breaker opened; the budget was empty before
	wantServed(t, s.want(t, codes.OK), "shop")
	if n := f.shop.calls.Load(); n != 2 {
		t.Errorf("%d attempts, want a second one", n)
	}
}

// A key of idempotency is one, whichever upstream chance would choose next.
func TestAKeyOfIdempotencyIsOneForAllUpstreams(t *testing.T) {
	percent := 50.0
	f := new(fork).start(t, only(createProduct), routes(&configv1.Route{Upstream: "canary", Percent: &percent}), func(c *configv1.Config) {
		c.Expose[0].Policy.Idempotency = &policyv1.Idempotency{}
	})
	for i, d := range doors() {
		key := fmt.Sprintf("%q", d.name)
		s := f.at(t, d, createProduct)
		s.want(t, codes.OK, "idempotency-key", key)
		for range 10 {
			if got := s.want(t, codes.OK, "idempotency-key", key); got.first("idempotency-replayed") != "true" {
				t.Errorf("%s: the repeated call got %v", d.name, got.header)
			}
		}
		if n := f.shop.calls.Load() + f.canary.calls.Load(); n != int64(i+1) {
			t.Errorf("%d calls, want that none was carried out twice", n)
		}
	}
}

// One that comes again with another header, by which it would go elsewhere, is not
// the call that had the key.
func TestAKeyOfIdempotencyBelongsToItsRoute(t *testing.T) {
	f := new(fork).start(t, only(createProduct), routes(beta()), func(c *configv1.Config) {
		c.Expose[0].Policy.Idempotency = &policyv1.Idempotency{}
	})
	for i, d := range doors() {
		key := fmt.Sprintf("%q", d.name)
		s := f.at(t, d, createProduct)
		s.want(t, codes.OK, "x-beta", "1", "idempotency-key", key)
		s.want(t, codes.InvalidArgument, "idempotency-key", key)
		s.wantCalls(t, int64(i+1))
	}
	if n := f.shop.calls.Load(); n != 0 {
		t.Errorf("%d calls were carried out twice", n)
	}
}

func TestACapOfAnUpstreamIsOfTheChosenOne(t *testing.T) {
	f := (&fork{canary: &shopBackend{gate: make(chan struct{}), arrived: make(chan struct{}, 1)}}).start(t, only(getShelf), routes(beta()),
		func(c *configv1.Config) {
			c.Expose[0].Policy.Concurrency = []*policyv1.Concurrency{
				{Scope: policyv1.Concurrency_SCOPE_RPC.Enum(), Limit: proto.Uint32(2)}, {Scope: policyv1.Concurrency_SCOPE_UPSTREAM.Enum(), Limit: proto.Uint32(1)},
			}
		})
	s := f.at(t, doors()[2], getShelf)
	done := make(chan outcome, 1)
	go func() { done <- s.call(t.Context(), getShelf, "x-beta", "1") }()
	gatewaytest.Receive(t, f.canary.arrived, "the first call")
	if got := s.want(t, codes.ResourceExhausted, "x-beta", "1"); !strings.Contains(got.message, `upstream "canary" takes 1 calls`) {
		t.Errorf("refused with %q", got.message)
	}
	wantServed(t, s.want(t, codes.OK), "shop")
	close(f.canary.gate)
	if got := gatewaytest.Receive(t, done, "the first call's end"); got.code != codes.OK {
		t.Errorf("the first call ended with %v", got.code)
	}
}

// Logs and metrics tell the upstream that was chosen.
func TestTheChosenUpstreamIsTold(t *testing.T) {
	f := (&fork{canary: &shopBackend{fail: func(int64) error { return down }}}).start(t, only(getShelf), routes(beta()))
	for _, d := range doors() {
		s := f.at(t, d, getShelf)
		s.want(t, codes.Unavailable, "x-beta", "1")
		s.want(t, codes.OK)
	}
	n := len(doors())
	gatewaytest.Eventually(t, "lines of all calls", func() bool { return strings.Count(f.g.Log.String(), "msg=call") == 2*n })
	for _, want := range []string{"upstream=canary", "upstream=shop"} {
		if got := strings.Count(f.g.Log.String(), want); got != n {
			t.Errorf("%d lines with %s, want %d", got, want, n)
		}
	}
	for _, want := range []string{`status="UNAVAILABLE",upstream="canary"`, `status="OK",upstream="shop"`} {
		line := fmt.Sprintf("gatehouse_routed_calls_total{method=%q,%s} %d", "/shop.catalog.v1.CatalogService/GetShelf", want, n)
		if text := metricsOf(t, f.g); !strings.Contains(text, line) {
			t.Errorf("no line %s", line)
		}
	}
}

func metricsOf(t *testing.T, g *gatewaytest.Gateway) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+g.Admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	return gatewaytest.Do(t, gatewaytest.Client(t), r).Text
}

func TestRoutesAreListed(t *testing.T) {
	f := new(fork).start(t, only(getShelf), routes(beta(), &configv1.Route{Percent: new(2.5)}), func(c *configv1.Config) {
		c.Expose[0].Mirror = &configv1.Mirror{Upstream: "canary", Percent: new(10.0)}
	})
	info := admin.Routes(f.g.Gateway.Table())[0]
	if got := strings.Join(info.Routes, "; "); info.Upstream != "shop" || got != "canary (x-beta: 1); canary (2.5%)" || info.Mirror != "canary (10%)" {
		t.Errorf("listed as %+v", info)
	}
}

func TestRoutesThatNoCallReachesAreToldOf(t *testing.T) {
	for want, list := range map[string][]*configv1.Route{
		"": {beta(), {Percent: new(50.0)}},
		"expose[0].routes[0].claims: on a public RPC nobody is known, so no call comes here of shop.catalog.v1.CatalogService.GetShelf": {{Claims: map[string]string{"a": "b"}}},
		"expose[0].routes[0]: takes all calls, so none goes to upstream \"shop\"":                                                       {{}},
		"expose[0].routes[2]: no call comes here: routes[1] takes all":                                                                  {beta(), {}, beta()},
	} {
		f := new(fork).start(t, only(getShelf), routes(list...))
		if got := strings.Join(f.g.Gateway.Table().Warnings, "\n"); got != want {
			t.Errorf("warned of %q, want %q", got, want)
		}
	}
}
