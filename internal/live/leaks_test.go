package live_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// everything has all policies at work, as small as they go.
func everything(c *configv1.Config) {
	base := c.GetExpose()[0]
	p := base.GetPolicy()
	p.RateLimit = []*policyv1.RateLimit{{Requests: proto.Uint32(1_000_000), Key: new(`[peer.network, method]`)}}
	p.Concurrency = []*policyv1.Concurrency{{Limit: proto.Uint32(4), Queue: proto.Uint32(4), MaxWait: durationpb.New(time.Millisecond)}}
	p.Timeout = durationpb.New(time.Second)
	p.Retry = &policyv1.Retry{InitialBackoff: durationpb.New(time.Microsecond), Safe: new(true), AttemptTimeout: durationpb.New(200 * time.Millisecond)}
	p.Breaker = &policyv1.Breaker{Kind: policyv1.Breaker_KIND_THREE_STATE.Enum(), FailureRatio: new(.9), OpenTime: durationpb.New(time.Millisecond)}
	c.Shedding = &configv1.Shedding{Enabled: true}
	other := proto.CloneOf(c.GetUpstreams()[0])
	other.Name = "other"
	c.Upstreams = append(c.Upstreams, other)
	base.Routes = []*configv1.Route{{Upstream: "other", Percent: new(30.0), StickyBy: "request.name"}}
	base.Mirror = &configv1.Mirror{Upstream: "other", Unsafe: true, Percent: new(50.0), Timeout: durationpb.New(time.Millisecond), MaxConcurrent: proto.Uint32(2)}
	base.Metadata = &configv1.Rewrite{
		Request: &configv1.Changes{Set: map[string]string{"x-set": "1"}}, Response: &configv1.Changes{Set: map[string]string{"x-set": "1"}},
	}
	c.Expose = nil
	for _, r := range []rpc{getShelf, createProduct, watchStock} {
		e := proto.Clone(base).(*configv1.Exposure)
		one := &configv1.Config{Expose: []*configv1.Exposure{e}}
		only(r)(one)
		switch r {
		case getShelf:
			e.Policy.Retry.Hedge = &policyv1.Hedge{Delay: durationpb.New(100 * time.Microsecond)}
			e.Policy.Fallback = &policyv1.Fallback{Serve: &policyv1.Fallback_LastGood{LastGood: durationpb.New(time.Minute)}}
			e.Policy.Cache = &policyv1.Cache{Ttl: durationpb.New(time.Millisecond)}
		case createProduct:
			e.Routes[0].StickyBy = "request.product.display_name"
			e.Policy.Idempotency = &policyv1.Idempotency{}
		case watchStock:
			e.Policy.Fallback = fixedAnswer(`{"name": "none"}`)
		}
		c.Expose = append(c.Expose, e)
	}
}

// After thousands of calls that ended in every way, nothing of them is left.
func TestNothingIsLeftOfCalls(t *testing.T) {
	ends := []error{nil, nil, down, status.Error(codes.Internal, "broken"), status.Error(codes.NotFound, "none"), nil}
	b := &shopBackend{
		fail: func(n int64) error { return ends[n%int64(len(ends))] },
		see: func(ctx context.Context) {
			timer := time.NewTimer(300 * time.Microsecond)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		},
	}
	g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), everything))
	callers := make([]caller, 0, len(doors()))
	for _, d := range doors() {
		callers = append(callers, d.open(t, g))
	}
	storm := func(calls int) {
		var wg sync.WaitGroup
		for i, c := range callers {
			for w := range 3 {
				wg.Go(func() {
					for n := range calls {
						// Some leave before the answer, at any time.
						patience := gatewaytest.Patience
						if n%4 == 0 {
							patience = time.Duration(n%17) * 50 * time.Microsecond
						}
						ctx, cancel := context.WithTimeout(t.Context(), patience)
						r := []rpc{getShelf, createProduct, watchStock}[n%3]
						r.arg = fmt.Sprint("n", n%7)
						c.call(ctx, r, "idempotency-key", fmt.Sprintf("%d-%d-%d", i, w, n%11))
						cancel()
					}
				})
			}
		}
		wg.Wait()
	}
	storm(20)
	before := settled(t, 1<<30)
	storm(150)
	// Connections of clients may have come, and each has a few goroutines.
	if after := settled(t, before+20); after > before+20 {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines before, %d after:\n%s", before, after, buf[:runtime.Stack(buf, true)])
	}
	for _, name := range []string{"gatehouse_concurrency_running", "gatehouse_concurrency_waiting", "gatehouse_calls_in_flight", "gatehouse_shed_in_flight"} {
		gatewaytest.Eventually(t, name+" is 0", func() bool { return sumOf(t, g, name) == 0 })
	}
}

// sumOf is the sum of a metric over all of its labels.
func sumOf(t *testing.T, g *gatewaytest.Gateway, name string) (sum float64) {
	t.Helper()
	r := g.Request(t, "GET", "/metrics", "")
	r.URL.Host = g.Admin
	found := false
	for line := range strings.Lines(gatewaytest.Do(t, gatewaytest.Client(t), r).Text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndex(rest, " "):]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		sum, found = sum+n, true
	}
	if !found {
		t.Fatalf("there is no metric %s", name)
	}
	return sum
}

// settled is how many goroutines there are once they are no more than so many, or
// do not become fewer.
func settled(t *testing.T, most int) int {
	t.Helper()
	n := runtime.NumGoroutine()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for quiet := 0; quiet < 50 && (n > most || quiet < 10); quiet++ {
		<-tick.C
		if now := runtime.NumGoroutine(); now < n {
			n, quiet = now, 0
		}
	}
	return n
}
