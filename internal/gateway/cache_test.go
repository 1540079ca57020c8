package gateway_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/gatewaytest"
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
