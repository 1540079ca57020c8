package live_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/internal/routing"
	"github.com/gatehouse-dev/gatehouse/test/authtest"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

// rehearsal is one RPC with a chain in front of nothing, and a caller.
type rehearsal struct {
	method *call.Method
	token  string
}

// rehearse builds the chain of an RPC that has all the usual policies, or none.
// Where it has routes, they and the rest lead to nothing, too.
func rehearse(tb testing.TB, guarded bool, routes ...*configv1.Route) *rehearsal {
	tb.Helper()
	issuer, err := authtest.New("https://id.example", "shop")
	if err != nil {
		tb.Fatal(err)
	}
	keys := filepath.Join(tb.TempDir(), "jwks.json")
	if err := os.WriteFile(keys, issuer.JWKS(), 0o600); err != nil {
		tb.Fatal(err)
	}
	policy := &policyv1.Policy{Auth: &policyv1.Auth{Public: new(true)}}
	if guarded {
		policy = &policyv1.Policy{
			Auth:      &policyv1.Auth{Accept: []string{"idp"}},
			RateLimit: []*policyv1.RateLimit{{Requests: proto.Uint32(1_000_000_000), Key: new("caller.id")}},
			Timeout:   durationpb.New(10 * time.Second),
			Retry:     &policyv1.Retry{},
			Breaker:   &policyv1.Breaker{},
		}
	}
	file, err := config.New(&configv1.Config{
		Log: &configv1.Log{Access: new(false)},
		Upstreams: []*configv1.Upstream{{
			Name: "shop", Target: "passthrough:///127.0.0.1:1", Schema: &configv1.Schema{Source: &configv1.Schema_Linked{Linked: true}},
		}},
		Expose: []*configv1.Exposure{{Select: "shop.catalog.v1.CatalogService.GetShelf", Upstream: "shop", Policy: policy, Routes: routes}},
		Authenticators: []*policyv1.Authenticator{{Name: "idp", Kind: &policyv1.Authenticator_Jwt{Jwt: &policyv1.Jwt{
			Issuer: "https://id.example", Audiences: []string{"shop"}, Keys: &policyv1.Jwt_JwksFile{JwksFile: keys},
		}}}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	answer := calltest.Bytes("")
	backend := calltest.Conn{OnInvoke: func(_ context.Context, _ string, _, reply any, _ ...grpc.CallOption) error {
		reply.(*call.Message).Data = answer
		return nil
	}}
	link := func(conn grpc.ClientConnInterface, list ...interceptors.Interceptor) grpc.ClientConnInterface {
		if _, ok := conn.(*routing.Chooser); !ok {
			conn = backend
		}
		return interceptors.Chain(conn, list...)
	}
	g, err := live.New(tb.Context(), live.Options{Config: file, Log: slog.New(slog.DiscardHandler)}.Watching(link))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = g.Close() })
	token := issuer.Sign("ES256", issuer.Claims(time.Now()))
	return &rehearsal{g.Table().Edge.Method("/shop.catalog.v1.CatalogService/GetShelf"), token}
}

var oneRequest = []string{"\n\rshelves/tents"}

// call makes one call as an edge does.
func (r *rehearsal) call(tb testing.TB) {
	c := &call.Call{Method: r.method.Name, Protocol: call.REST, Peer: "192.0.2.7:1", RequestID: "r", Start: time.Now()}
	md := metadata.MD{"authorization": {"Bearer " + r.token}, "user-agent": {"curl"}, "x-request-id": {"r"}}
	down := &calltest.ServerStream{Ctx: metadata.NewOutgoingContext(call.With(tb.Context(), c), md), Requests: oneRequest}
	err := call.Forward(r.method, down)
	if err != nil {
		tb.Fatal(err)
	}
	c.Finish(err)
}

// What policies may cost: every call of every user pays it.
func TestPoliciesAllocateLittle(t *testing.T) {
	allocs := func(guarded bool) float64 {
		r := rehearse(t, guarded)
		r.call(t) // the token is verified once
		return testing.AllocsPerRun(500, func() { r.call(t) })
	}
	bare, guarded := allocs(false), allocs(true)
	if cost := guarded - bare; cost > 10 {
		t.Errorf("authentication, limit, timeout, retry and breaker allocate %v times a call (%v, and %v without), want at most 10", cost, guarded, bare)
	}
}

// A choice costs what counts the calls of each upstream, and next to nothing
// beside it.
func TestRoutesAllocateLittle(t *testing.T) {
	allocs := func(routes ...*configv1.Route) float64 {
		r := rehearse(t, true, routes...)
		r.call(t)
		return testing.AllocsPerRun(500, func() { r.call(t) })
	}
	flat, routed := allocs(), allocs(&configv1.Route{Upstream: "shop", Hosts: []string{"*.example"}, Headers: map[string]string{"x-beta": "1"}, Percent: new(5.0)})
	if cost := routed - flat; cost > 2 {
		t.Errorf("choosing allocates %v times a call (%v, and %v without), want at most 2", cost, routed, flat)
	}
}

// BenchmarkPolicies is what a call costs in the chain, with authentication by a
// token that was seen before, rate limit, timeout, retry and breaker, and with
// none of them. The difference is theirs.
func BenchmarkPolicies(b *testing.B) {
	for _, bench := range []struct {
		name    string
		guarded bool
	}{{"none", false}, {"all", true}} {
		b.Run(bench.name, func(b *testing.B) {
			r := rehearse(b, bench.guarded)
			b.ReportAllocs()
			for b.Loop() {
				r.call(b)
			}
		})
	}
}
