package live_test

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// counted is a replica of the shop that answers, or fails, and counts.
type counted struct {
	address string
	calls   atomic.Int64
	fails   atomic.Bool
	health  *health.Server
}

func newCounted(t *testing.T) *counted {
	t.Helper()
	c := &counted{health: health.NewServer()}
	srv := grpc.NewServer(grpc.UnknownServiceHandler(gatewaytest.Unary(
		func(_ context.Context, in *catalogv1.GetShelfRequest) (*catalogv1.Shelf, error) {
			c.calls.Add(1)
			if c.fails.Load() {
				return nil, status.Error(codes.Unavailable, "out of order")
			}
			return &catalogv1.Shelf{Name: in.GetName()}, nil
		})))
	healthv1.RegisterHealthServer(srv, c.health)
	l := gatewaytest.Listen(t)
	c.address = l.Addr().String()
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	return c
}

// TestUpstreamSettings: what the configuration says of replicas is done. How it
// is done is tested beside the code that does it.
func TestUpstreamSettings(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*configv1.Upstream)
		before func([]*counted)
		ok     func(a, b int64) bool // of 100 calls
	}{
		"one after the other": {func(*configv1.Upstream) {}, nil, func(a, b int64) bool { return a == 50 && b == 50 }},
		"weights": {func(u *configv1.Upstream) {
			u.Balancing = &configv1.Balancing{Kind: configv1.Balancing_KIND_WEIGHTED}
			u.Addresses[0].Weight = proto.Uint32(4)
		}, nil, func(a, b int64) bool { return a > 75 && b > 15 }},
		"health": {func(u *configv1.Upstream) { u.HealthCheck = &configv1.HealthCheck{Service: "shop"} },
			func(all []*counted) {
				all[0].health.SetServingStatus("shop", healthv1.HealthCheckResponse_SERVING)
				all[1].health.SetServingStatus("shop", healthv1.HealthCheckResponse_NOT_SERVING)
			},
			func(a, b int64) bool { return a == 100 && b == 0 }},
		"health is not asked": {func(u *configv1.Upstream) { u.HealthCheck = &configv1.HealthCheck{Disabled: true} },
			func(all []*counted) { all[1].health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING) },
			func(a, b int64) bool { return a == 50 && b == 50 }},
		"outliers": {func(u *configv1.Upstream) {
			u.Outliers = &configv1.Outliers{
				Interval: durationpb.New(20 * time.Millisecond), BaseEjectionTime: durationpb.New(time.Minute), FailurePercentage: proto.Uint32(50),
				SuccessRateStdev: proto.Uint32(0), MinimumCalls: proto.Uint32(3), MinimumReplicas: proto.Uint32(2), MaxEjectionPercent: proto.Uint32(50),
			}
		}, func(all []*counted) { all[1].fails.Store(true) }, func(a, b int64) bool { return a == 100 && b == 0 }},
		"the ring, without a key": {func(u *configv1.Upstream) {
			u.Balancing = &configv1.Balancing{Kind: configv1.Balancing_KIND_RING_HASH, Key: `headers["x-tenant"]`}
		}, nil, func(a, b int64) bool { return a > 0 && b > 0 }},
		"fewest calls, several connections": {func(u *configv1.Upstream) {
			u.Balancing = &configv1.Balancing{Kind: configv1.Balancing_KIND_LEAST_REQUEST, Connections: proto.Uint32(3), SlowStart: durationpb.New(time.Millisecond)}
		}, nil, func(a, b int64) bool { return a > 0 && b > 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := []*counted{newCounted(t), newCounted(t)}
			if tc.before != nil {
				tc.before(all)
			}
			g := gatewaytest.Start(t, gatewaytest.Config("", func(c *configv1.Config) {
				u := c.GetUpstreams()[0]
				u.Target, u.Addresses = "", []*configv1.Address{{Address: all[0].address}, {Address: all[1].address}}
				tc.change(u)
			}))
			cc := catalogv1.NewCatalogServiceClient(gatewaytest.Dial(t, g.GRPC, nil))
			gatewaytest.Eventually(t, "the calls as they should be", func() bool {
				all[0].calls.Store(0)
				all[1].calls.Store(0)
				for range 100 {
					_, _ = cc.GetShelf(t.Context(), &catalogv1.GetShelfRequest{Name: "shelves/a"})
				}
				return tc.ok(all[0].calls.Load(), all[1].calls.Load())
			})
		})
	}
}

// TestStreamAgeAtEveryDoor: a stream that is too old ends in the form that its
// client understands, as nobody's failure.
func TestStreamAgeAtEveryDoor(t *testing.T) {
	t.Parallel()
	backend := gatewaytest.Backend(t, gatewaytest.Script{
		"/shop.inventory.v1.InventoryService/WatchStock": gatewaytest.ServerStreaming(
			func(ctx context.Context, _ *inventoryv1.WatchStockRequest, send func(*inventoryv1.WatchStockResponse) error) error {
				if err := send(&inventoryv1.WatchStockResponse{Name: "s"}); err != nil {
					return err
				}
				<-ctx.Done()
				return ctx.Err()
			}),
	})
	g := gatewaytest.Start(t, gatewaytest.Config(backend, func(c *configv1.Config) {
		c.GetUpstreams()[0].MaxStreamAge = durationpb.New(time.Second)
	}))
	const told = "the stream reached its maximum age (1s): call again"
	var doors sync.WaitGroup
	doors.Go(func() {
		a := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", "/v1/warehouses/w/stock/s:watch", ""))
		if want := `{"name":"s"}` + "\n" + `{"error":{"code":503,"message":"` + told + `","status":"UNAVAILABLE"}}` + "\n"; a.Text != want {
			t.Errorf("REST: got %d %q, want %q", a.StatusCode, a.Text, want)
		}
	})
	for _, address := range []string{g.GRPC, g.HTTP} {
		doors.Go(func() {
			stream, err := inventoryv1.NewInventoryServiceClient(gatewaytest.Dial(t, address, nil)).
				WatchStock(t.Context(), &inventoryv1.WatchStockRequest{Name: "warehouses/w/stock/s"})
			for err == nil {
				_, err = stream.Recv()
			}
			if err == io.EOF || status.Code(err) != codes.Unavailable || status.Convert(err).Message() != told {
				t.Errorf("gRPC: err = %v", err)
			}
		})
	}
	doors.Wait()
	gatewaytest.Eventually(t, "lines in the log that say it was the gateway", func() bool { return strings.Count(g.Log.String(), "fault=gateway") == 3 })
}

// TestReadinessTellsWhatIsNeeded: an upstream that is down makes the gateway
// unready if it is needed, and is told of either way.
func TestReadinessTellsWhatIsNeeded(t *testing.T) {
	t.Parallel()
	up := newCounted(t)
	g := gatewaytest.Start(t, gatewaytest.Config("", func(c *configv1.Config) {
		shop := c.GetUpstreams()[0]
		shop.Target, shop.Addresses = "", []*configv1.Address{{Address: up.address}}
		c.Upstreams = append(c.Upstreams, &configv1.Upstream{
			Name: "reviews", Target: "dns:///" + gatewaytest.Unreachable(t), Schema: shop.GetSchema(), Optional: true,
		})
	}))
	type told struct {
		Ready            bool
		Missing, Without []string
		Upstreams        []struct {
			Upstream, State, Found string
			Needed, Ready          bool
			Replicas, Connections  int
		}
	}
	client := gatewaytest.Client(t)
	get := func(path string) gatewaytest.Answer {
		r := g.Request(t, "GET", path, "")
		r.URL.Host = g.Admin
		return gatewaytest.Do(t, client, r)
	}
	ask := func() (code int, body told) {
		a := get("/readyz")
		if err := json.Unmarshal([]byte(a.Text), &body); err != nil {
			t.Fatalf("%v: %s", err, a.Text)
		}
		return a.StatusCode, body
	}
	gatewaytest.Eventually(t, "readiness", func() bool {
		code, body := ask()
		return code == 200 && body.Upstreams[0].State == "TRANSIENT_FAILURE"
	})
	_, body := ask()
	reviews, shop := body.Upstreams[0], body.Upstreams[1]
	if !body.Ready || len(body.Missing) > 0 || len(body.Without) != 1 || body.Without[0] != "reviews" {
		t.Errorf("told: %+v", body)
	}
	if reviews.Needed || reviews.Ready || reviews.Found != "dns" || reviews.Connections != 0 || reviews.Replicas != 1 {
		t.Errorf("reviews: %+v", reviews)
	}
	if !shop.Needed || !shop.Ready || shop.Found != "addresses" || shop.Connections != 1 || shop.Replicas != 1 {
		t.Errorf("shop: %+v", shop)
	}
	for _, want := range []string{
		`ready{upstream="reviews"} 0`, `ready{upstream="shop"} 1`, `needed{upstream="reviews"} 0`, `needed{upstream="shop"} 1`,
		`replicas{upstream="shop"} 1`, `connections{upstream="shop"} 1`, `connections{upstream="reviews"} 0`,
	} {
		if !strings.Contains(get("/metrics").Text, "\ngatehouse_upstream_"+want+"\n") {
			t.Errorf("the metrics have no gatehouse_upstream_%s", want)
		}
	}
}
