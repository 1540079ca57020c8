package live_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// shopBackend does as a test says, and counts.
type shopBackend struct {
	calls atomic.Int64
	// fail, if not nil, is what the n-th call (from 1) ends with.
	fail func(n int64) error
	// gate, if not nil, is waited for by each call.
	gate chan struct{}
	// arrived is told of each call.
	arrived chan struct{}
	// see, if not nil, looks at each call.
	see func(ctx context.Context)
	// name, if any, is told in the header of good answers.
	name string
}

func (b *shopBackend) run(ctx context.Context) error {
	if b.see != nil {
		b.see(ctx)
	}
	n := b.calls.Add(1) // who waits for it may ask what was seen
	if b.arrived != nil {
		b.arrived <- struct{}{}
	}
	if b.gate != nil {
		select {
		case <-b.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if b.fail != nil {
		if err := b.fail(n); err != nil {
			return err
		}
	}
	if b.name != "" {
		_ = grpc.SetHeader(ctx, metadata.Pairs(servedBy, b.name))
	}
	return nil
}

func (b *shopBackend) start(t *testing.T) string { t.Helper(); return b.startWith(t) }

func (b *shopBackend) startWith(t *testing.T, opts ...grpc.ServerOption) string {
	t.Helper()
	return gatewaytest.Backend(t, gatewaytest.Script{
		"/shop.catalog.v1.CatalogService/GetShelf": gatewaytest.Unary(func(ctx context.Context, in *catalogv1.GetShelfRequest) (*catalogv1.Shelf, error) {
			return &catalogv1.Shelf{Name: in.GetName()}, b.run(ctx)
		}),
		"/shop.catalog.v1.CatalogService/GetProduct": gatewaytest.Unary(func(ctx context.Context, in *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
			return &catalogv1.Product{Name: in.GetName()}, b.run(ctx)
		}),
		"/shop.catalog.v1.CatalogService/CreateProduct": gatewaytest.Unary(func(ctx context.Context, in *catalogv1.CreateProductRequest) (*catalogv1.Product, error) {
			return in.GetProduct(), b.run(ctx)
		}),
		"/shop.inventory.v1.InventoryService/WatchStock": gatewaytest.ServerStreaming(
			func(ctx context.Context, in *inventoryv1.WatchStockRequest, send func(*inventoryv1.WatchStockResponse) error) error {
				if err := b.run(ctx); err != nil {
					return err
				}
				return send(&inventoryv1.WatchStockResponse{Name: in.GetName()})
			}),
	}, opts...)
}

// scene is one policy at work: what it decides must not depend on the door.
type scene struct {
	field  string // of gatehouse.policy.v1.Policy
	name   string
	policy func(p *policyv1.Policy)
	config func(c *configv1.Config)
	fail   func(n int64) error // what the backend ends its n-th call with
	see    func(ctx context.Context)
	gated  bool  // the backend waits in each call
	rpcs   []rpc // default: one unary RPC and one stream
	// play makes the calls and looks at what came.
	play func(t *testing.T, s *stage)
}

// stage is where a scene is played.
type stage struct {
	caller
	backend *shopBackend
	rpc     rpc
}

func (s *stage) want(t *testing.T, code codes.Code, headers ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
	defer cancel()
	got := s.call(ctx, s.rpc, headers...)
	if got.code != code {
		t.Fatalf("got %v %q, want %v", got.code, got.message, code)
	}
	return got
}

func (s *stage) wantCalls(t *testing.T, n int64) {
	t.Helper()
	if got := s.backend.calls.Load(); got != n {
		t.Errorf("the backend was called %d times, want %d", got, n)
	}
}

var (
	getShelf      = rpc{"GetShelf", "tents"}
	createProduct = rpc{"CreateProduct", "Mug"}
	watchStock    = rpc{"WatchStock", "mug"}
)

func TestPoliciesDecideTheSameAtEveryDoor(t *testing.T) {
	for _, sc := range scenes(t) {
		rpcs := sc.rpcs
		if rpcs == nil {
			rpcs = []rpc{getShelf, watchStock}
		}
		for _, r := range rpcs {
			for _, d := range doors() {
				t.Run(strings.Join([]string{sc.field, sc.name, r.name, d.name}, "/"), func(t *testing.T) {
					b := &shopBackend{fail: sc.fail}
					if sc.gated {
						b.gate, b.arrived = make(chan struct{}), make(chan struct{}, 10)
					}
					g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), func(c *configv1.Config) {
						sc.policy(c.GetExpose()[0].GetPolicy())
						if sc.config != nil {
							sc.config(c)
						}
					}))
					sc.play(t, &stage{caller: d.open(t, g), backend: b, rpc: r})
				})
			}
		}
	}
}

// A policy that has no scene cannot be shown to hold at every door.
func TestEveryPolicyHasAScene(t *testing.T) {
	fields := (&policyv1.Policy{}).ProtoReflect().Descriptor().Fields()
	all := scenes(t)
	for i := range fields.Len() {
		name := string(fields.Get(i).Name())
		if !slices.ContainsFunc(all, func(s scene) bool { return s.field == name }) {
			t.Errorf("policy %s has no scene: add one to scenes", name)
		}
	}
}

var down = status.Error(codes.Unavailable, "down")

func scenes(t *testing.T) []scene {
	t.Helper()
	return slices.Concat(authScenes(keysOf(t, "ada")), limitScenes(), faultScenes(), keepScenes(), checkScenes())
}

// checkScenes has good requests only: what is refused, these doors cannot send.
func checkScenes() []scene {
	return []scene{{
		field: "check_requests", name: "good requests", rpcs: []rpc{getShelf, createProduct, watchStock},
		policy: func(p *policyv1.Policy) { p.CheckRequests = new(true) },
		play: func(t *testing.T, s *stage) {
			s.want(t, codes.OK)
			s.wantCalls(t, 1)
		},
	}}
}

// keysOf lets people in by API keys, ada by "key-of-ada".
func keysOf(t *testing.T, ids ...string) func(*configv1.Config) {
	t.Helper()
	var text strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&text, "- {id: %s, sha256: %s, scopes: [read], claims: {team: of-%s}}\n", id, auth.HashKey("key-of-"+id), id)
	}
	file := filepath.Join(t.TempDir(), "keys.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *configv1.Config) {
		c.Authenticators = append(c.Authenticators, &policyv1.Authenticator{
			Name: "keys", Kind: &policyv1.Authenticator_ApiKeys{ApiKeys: &policyv1.ApiKeys{File: file}},
		})
	}
}

func authScenes(withKeys func(*configv1.Config)) []scene {
	rule := func(change func(*policyv1.Auth)) func(*policyv1.Policy) {
		return func(p *policyv1.Policy) {
			p.Auth = &policyv1.Auth{Accept: []string{"keys"}}
			change(p.GetAuth())
		}
	}
	return []scene{
		{
			field: "auth", name: "credentials", policy: rule(func(*policyv1.Auth) {}), config: withKeys,
			play: func(t *testing.T, s *stage) {
				if got := s.want(t, codes.Unauthenticated); got.first("www-authenticate") == "" {
					t.Error("no challenge")
				}
				s.want(t, codes.Unauthenticated, "x-api-key", "key-of-bob")
				s.wantCalls(t, 0)
				s.want(t, codes.OK, "x-api-key", "key-of-ada")
				s.wantCalls(t, 1)
			},
		},
		{
			field: "auth", name: "scopes", policy: rule(func(a *policyv1.Auth) { a.Scopes = []string{"write"} }), config: withKeys,
			play: func(t *testing.T, s *stage) {
				s.want(t, codes.PermissionDenied, "x-api-key", "key-of-ada")
				s.wantCalls(t, 0)
			},
		},
		{
			field: "auth", name: "condition", config: withKeys,
			policy: rule(func(a *policyv1.Auth) { a.Allow = new(`headers["x-tenant"] == "blue" && caller.id == "ada"`) }),
			play: func(t *testing.T, s *stage) {
				s.want(t, codes.PermissionDenied, "x-api-key", "key-of-ada", "x-tenant", "red")
				s.want(t, codes.PermissionDenied, "x-api-key", "key-of-ada")
				s.wantCalls(t, 0)
				s.want(t, codes.OK, "x-api-key", "key-of-ada", "x-tenant", "blue")
			},
		},
	}
}

func limitScenes() []scene {
	return []scene{
		{
			field: "rate_limit", name: "burst",
			policy: func(p *policyv1.Policy) {
				p.RateLimit = []*policyv1.RateLimit{{Requests: proto.Uint32(2), Per: durationpb.New(time.Hour), Name: new("hourly")}}
			},
			play: func(t *testing.T, s *stage) {
				s.want(t, codes.OK)
				if got := s.want(t, codes.OK); got.first("ratelimit-policy") != `"hourly";q=2;w=3600` {
					t.Errorf("ratelimit-policy is %q", got.first("ratelimit-policy"))
				}
				got := s.want(t, codes.ResourceExhausted)
				if !strings.HasPrefix(got.first("ratelimit"), `"hourly";r=0;t=`) {
					t.Errorf("ratelimit is %q", got.first("ratelimit"))
				}
				s.wantCalls(t, 2)
			},
		},
		{
			field: "concurrency", name: "cap", gated: true,
			policy: func(p *policyv1.Policy) { p.Concurrency = []*policyv1.Concurrency{{Limit: proto.Uint32(1)}} },
			play:   playOneAtATime(codes.ResourceExhausted),
		},
		{
			// Streams are refused too, but they do not fill the gateway.
			field: "priority", name: "shedding", gated: true, rpcs: []rpc{getShelf},
			policy: func(p *policyv1.Policy) { p.Priority = policyv1.Priority_PRIORITY_SHEDDABLE.Enum() },
			config: func(c *configv1.Config) {
				c.Shedding = &configv1.Shedding{Enabled: true, MinLimit: proto.Uint32(1), MaxLimit: proto.Uint32(1)}
			},
			play: playOneAtATime(codes.Unavailable),
		},
		{
			field: "ip", name: "deny",
			policy: func(p *policyv1.Policy) { p.Ip = &policyv1.Ip{Allow: []string{"192.0.2.0/24"}} },
			play: func(t *testing.T, s *stage) {
				s.want(t, codes.PermissionDenied)
				s.wantCalls(t, 0)
			},
		},
		{
			field: "timeout", name: "total", gated: true, rpcs: []rpc{getShelf},
			policy: func(p *policyv1.Policy) { p.Timeout = durationpb.New(20 * time.Millisecond) },
			play:   func(t *testing.T, s *stage) { s.want(t, codes.DeadlineExceeded) },
		},
	}
}

// playOneAtATime has a call refused while another is running, and not after.
func playOneAtATime(refusal codes.Code) func(t *testing.T, s *stage) {
	return func(t *testing.T, s *stage) {
		first := make(chan outcome, 1)
		go func() { first <- s.call(t.Context(), s.rpc) }()
		gatewaytest.Receive(t, s.backend.arrived, "the first call")
		s.want(t, refusal)
		s.wantCalls(t, 1)
		close(s.backend.gate)
		if got := gatewaytest.Receive(t, first, "the first answer"); got.code != codes.OK {
			t.Errorf("the first call: %v %s", got.code, got.message)
		}
		gatewaytest.Eventually(t, "room for another", func() bool { return s.call(t.Context(), s.rpc).code == codes.OK })
	}
}

func faultScenes() []scene {
	return []scene{
		{
			field: "retry", name: "once", fail: func(n int64) error {
				if n == 1 {
					return down
				}
				return nil
			},
			policy: func(p *policyv1.Policy) {
				p.Retry = &policyv1.Retry{InitialBackoff: durationpb.New(time.Millisecond), Safe: new(true)}
			},
			play: func(t *testing.T, s *stage) {
				s.want(t, codes.OK)
				s.wantCalls(t, 2)
			},
		},
		{
			field: "breaker", name: "opens", fail: func(int64) error { return down },
			policy: func(p *policyv1.Policy) {
				p.Breaker = &policyv1.Breaker{Kind: policyv1.Breaker_KIND_THREE_STATE.Enum(), MinimumCalls: proto.Uint32(3), OpenTime: durationpb.New(time.Hour)}
			},
			play: func(t *testing.T, s *stage) {
				for range 5 {
					s.want(t, codes.Unavailable)
				}
				s.wantCalls(t, 3)
			},
		},
		{
			field: "fallback", name: "fixed", fail: func(int64) error { return down }, rpcs: []rpc{getShelf},
			policy: func(p *policyv1.Policy) {
				p.Fallback = &policyv1.Fallback{Serve: &policyv1.Fallback_Response{Response: `{"name": "shelves/none"}`}}
			},
			config: onlyCatalog,
			play: func(t *testing.T, s *stage) {
				if got := s.want(t, codes.OK); !strings.Contains(got.first("gatehouse-degraded"), "UNAVAILABLE") {
					t.Errorf("gatehouse-degraded is %q", got.first("gatehouse-degraded"))
				}
			},
		},
	}
}

// onlyCatalog exposes GetShelf alone, for policies that fit few RPCs.
func onlyCatalog(c *configv1.Config) { c.Expose[0].Select = "shop.catalog.v1.CatalogService.GetShelf" }

func keepScenes() []scene {
	return []scene{
		{
			field: "cache", name: "hit", rpcs: []rpc{getShelf}, config: onlyCatalog,
			policy: func(p *policyv1.Policy) { p.Cache = &policyv1.Cache{Ttl: durationpb.New(time.Hour)} },
			play: func(t *testing.T, s *stage) {
				s.want(t, codes.OK)
				if got := s.want(t, codes.OK); got.first("age") == "" {
					t.Error("a kept answer has no age")
				}
				s.wantCalls(t, 1)
			},
		},
		{
			field: "idempotency", name: "replay", rpcs: []rpc{createProduct},
			config: func(c *configv1.Config) { c.Expose[0].Select = "shop.catalog.v1.CatalogService.CreateProduct" },
			policy: func(p *policyv1.Policy) { p.Idempotency = &policyv1.Idempotency{Required: new(true)} },
			play: func(t *testing.T, s *stage) {
				s.want(t, codes.InvalidArgument)
				s.want(t, codes.OK, "idempotency-key", `"one"`)
				if got := s.want(t, codes.OK, "idempotency-key", `"one"`); got.first("idempotency-replayed") != "true" {
					t.Errorf("idempotency-replayed is %q", got.first("idempotency-replayed"))
				}
				s.wantCalls(t, 1)
				s.want(t, codes.OK, "idempotency-key", `"two"`)
				s.wantCalls(t, 2)
			},
		},
	}
}
