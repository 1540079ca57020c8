package live_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// A public RPC's backend may yet authenticate: who sends a key of idempotency with
// another credential is another caller, at the same address too.
func TestIdempotencyKeepsCredentialsApart(t *testing.T) {
	for _, d := range doors() {
		t.Run(d.name, func(t *testing.T) {
			b := &shopBackend{}
			g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), func(c *configv1.Config) {
				c.Expose[0].Select = "shop.catalog.v1.CatalogService.CreateProduct"
				c.Expose[0].Policy.Idempotency = &policyv1.Idempotency{}
			}))
			s := &stage{caller: d.open(t, g), backend: b, rpc: createProduct}
			for i, who := range []string{"alice", "bob", "alice", "bob"} {
				got := s.want(t, codes.OK, "authorization", "Bearer "+who, "idempotency-key", `"one"`)
				if replayed := got.first("idempotency-replayed") == "true"; replayed != (i >= 2) {
					t.Errorf("call %d, of %s: replayed is %v", i, who, replayed)
				}
			}
			s.wantCalls(t, 2)
		})
	}
}

// A public RPC's backend may yet answer by a credential of its own: such answers
// are nobody else's, unless the policy says so.
func TestCacheKeepsCredentialsApart(t *testing.T) {
	for name, tc := range map[string]struct {
		vary  *string
		calls int64
	}{"default": {nil, 4}, "everybody": {new(""), 1}, "by header": {new(`headers["authorization"]`), 2}} {
		for _, d := range doors() {
			t.Run(name+"/"+d.name, func(t *testing.T) {
				b := &shopBackend{}
				g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), onlyCatalog, func(c *configv1.Config) {
					c.Expose[0].Policy.Cache = &policyv1.Cache{Ttl: durationpb.New(time.Hour), Vary: tc.vary}
				}))
				s := &stage{caller: d.open(t, g), backend: b, rpc: getShelf}
				for _, who := range []string{"alice", "bob", "alice", "bob"} {
					s.want(t, codes.OK, "authorization", "Bearer "+who)
				}
				s.wantCalls(t, tc.calls)
			})
		}
	}
}

// A client that takes no answers holds no more where they come from the cache.
func TestUnreadAnswersOutOfTheCache(t *testing.T) {
	const size, calls = 3_900_000, 20
	large := gatewaytest.Backend(t, gatewaytest.Script{
		nameOfShelf: gatewaytest.Unary(func(context.Context, *catalogv1.GetShelfRequest) (*catalogv1.Shelf, error) {
			return &catalogv1.Shelf{Name: strings.Repeat("x", size)}, nil
		}),
	})
	for name, address := range map[string]func(*gatewaytest.Gateway) string{
		"gRPC":                  func(g *gatewaytest.Gateway) string { return g.GRPC },
		"gRPC on the HTTP port": func(g *gatewaytest.Gateway) string { return g.HTTP },
	} {
		t.Run(name, func(t *testing.T) {
			g := gatewaytest.Start(t, gatewaytest.Config(large, only(getShelf), func(c *configv1.Config) {
				c.Expose[0].Policy.Cache = &policyv1.Cache{Ttl: durationpb.New(time.Hour)}
			}))
			cc := gatewaytest.Dial(t, address(g), nil, grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
			request := &catalogv1.GetShelfRequest{Name: "shelves/tents"}
			if err := cc.Invoke(t.Context(), nameOfShelf, request, new(catalogv1.Shelf)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for range calls {
				up, err := cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, nameOfShelf)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(up.SendMsg(request), up.CloseSend()); err != nil {
					t.Fatal(err)
				}
			}
			hits := fmt.Sprintf("gatehouse_cache_calls_total{method=%q,result=%q} %d", nameOfShelf, "hit", calls)
			gatewaytest.Eventually(t, hits, func() bool { return strings.Contains(metricsOf(t, g), hits) })
			if held := numberOf(t, metricsOf(t, g), "gatehouse_memory_held_bytes"); held > 16<<20 {
				t.Errorf("%v bytes are held for one client", held)
			}
			cancel()
			gatewaytest.Eventually(t, "the end of all", func() bool {
				return numberOf(t, metricsOf(t, g), "gatehouse_memory_held_bytes") == 0
			})
		})
	}
}
