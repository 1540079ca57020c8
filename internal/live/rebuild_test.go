package live_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// rebuilt has a gateway serve by another table, in which the RPCs have a
// timeout too.
func rebuilt(t *testing.T, g *gatewaytest.Gateway) {
	t.Helper()
	next, err := g.Gateway.Table().File.With(func(c *configv1.Config) { c.Expose[0].Policy.Timeout = durationpb.New(time.Minute) })
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Gateway.Rebuild(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if got := g.Gateway.Table().Methods[0].Effective.Policy.GetTimeout().AsDuration(); got != time.Minute {
		t.Fatalf("the new table has a timeout of %v", got)
	}
}

func TestStateSurvivesARebuild(t *testing.T) {
	b := &shopBackend{fail: func(int64) error { return down }}
	g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), func(c *configv1.Config) {
		c.Expose[0].Policy.RateLimit = []*policyv1.RateLimit{{Requests: proto.Uint32(5), Per: durationpb.New(time.Hour)}}
		c.Expose[0].Policy.Breaker = &policyv1.Breaker{
			Kind: policyv1.Breaker_KIND_THREE_STATE.Enum(), MinimumCalls: proto.Uint32(2), OpenTime: durationpb.New(time.Hour),
		}
	}))
	s := &stage{caller: doors()[0].open(t, g), backend: b, rpc: getShelf}
	for range 3 {
		s.want(t, codes.Unavailable)
	}
	s.wantCalls(t, 2)
	rebuilt(t, g)
	for range 2 { // of the limit; the breaker stays open
		s.want(t, codes.Unavailable)
	}
	s.wantCalls(t, 2)
	rebuilt(t, g)
	s.want(t, codes.ResourceExhausted) // the limit has not been refilled
}

func TestRebuildRefusesWhatItCannotChange(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Config((&shopBackend{}).start(t)))
	s := &stage{caller: doors()[0].open(t, g), backend: &shopBackend{}, rpc: getShelf}
	for name, change := range map[string]func(*configv1.Config){
		"limits.max_headers":    func(c *configv1.Config) { c.Limits.MaxHeaders = proto.Uint32(7) },
		"tracing.service_name":  func(c *configv1.Config) { c.Tracing.ServiceName = "other" },
		"upstreams[0].target":   func(c *configv1.Config) { c.Upstreams[0].Target = "" },
		"expose[0].policy.auth": func(c *configv1.Config) { c.Expose[0].Policy.Auth.Accept = []string{"nobody"} },
	} {
		next, err := g.Gateway.Table().File.With(change)
		if err == nil {
			err = g.Gateway.Rebuild(t.Context(), next)
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v, want one that names the field", name, err)
		}
		s.want(t, codes.OK) // by the old table
	}
}

// RPCs share a limit by its name; it can have only one size.
func TestSharedLimitsMustAgree(t *testing.T) {
	b := &shopBackend{}
	g := gatewaytest.Start(t, gatewaytest.Config(b.start(t)))
	limit := func(requests uint32) []*policyv1.RateLimit {
		return []*policyv1.RateLimit{{Requests: &requests, Name: new("shared"), Key: new("")}}
	}
	with := func(second uint32) error {
		next, err := g.Gateway.Table().File.With(func(c *configv1.Config) {
			c.Expose[0].Policy.RateLimit = limit(1)
			other := proto.CloneOf(c.GetExpose()[0])
			other.Select, other.Policy.RateLimit = "shop.inventory.v1.*", limit(second)
			c.Expose = append(c.Expose, other)
		})
		if err != nil {
			t.Fatal(err)
		}
		return g.Gateway.Rebuild(t.Context(), next)
	}
	if err := with(2); err == nil || !strings.Contains(err.Error(), `"shared" is the limit of /shop.`) {
		t.Errorf("error %v, want one that names the limit", err)
	}
	if err := with(1); err != nil {
		t.Fatal(err)
	}
	s := &stage{caller: doors()[2].open(t, g), backend: b, rpc: getShelf}
	s.want(t, codes.OK)
	s.rpc = watchStock
	s.want(t, codes.ResourceExhausted)
}
