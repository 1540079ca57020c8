package live_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// reloadsToMake is how many the test below makes: a thousand where there is time
// for it (make test-cluster), else fewer.
func reloadsToMake() int {
	if os.Getenv("GATEHOUSE_CLUSTER") != "" {
		return 1000
	}
	return 150
}

// warm is how many of them come before its first measurement.
const warm = 50

// variant is the n-th configuration: exposures, policies, upstreams and forms of
// answers change all the time, names come and go.
func variant(c *configv1.Config, n int, backends [2]string) {
	c.Upstreams[0].Target = "passthrough:///" + backends[n/3%2]
	c.Json.EmitDefaults = new(n%4 == 0)
	p := c.GetExpose()[0].GetPolicy()
	p.Timeout = durationpb.New(time.Duration(n%5+10) * time.Second)
	p.Breaker = &policyv1.Breaker{Kind: policyv1.Breaker_KIND_THREE_STATE.Enum(), MinimumCalls: new(uint32(n%7 + 20))}
	p.Retry = &policyv1.Retry{Safe: new(true), Attempts: new(uint32(n%3 + 2))}
	p.Concurrency = []*policyv1.Concurrency{{Limit: new(uint32(n%9 + 100))}}
	p.RateLimit = []*policyv1.RateLimit{{Name: new(fmt.Sprint("limit-", n)), Requests: proto.Uint32(1_000_000)}}
	if n%2 == 0 {
		name := fmt.Sprint("extra-", n)
		extra := proto.CloneOf(c.GetUpstreams()[0])
		extra.Name = name
		c.Upstreams = append(c.Upstreams, extra)
		e := proto.CloneOf(c.GetExpose()[0])
		e.Select, e.Upstream, e.Policy.RateLimit = "shop.reviews.v1.*", name, nil
		c.Expose = append(c.Expose, e)
	}
	if n%6 == 0 {
		c.Authenticators = []*policyv1.Authenticator{{Name: fmt.Sprint("issuer-", n), Kind: &policyv1.Authenticator_Jwt{Jwt: &policyv1.Jwt{
			Issuer: "https://id.example", Audiences: []string{"a"}, Keys: &policyv1.Jwt_JwksUrl{JwksUrl: "http://127.0.0.1:1"},
		}}}}
	}
}

// spoil makes it wrong, each time in another way.
func spoil(c *configv1.Config, n int) {
	switch n / 10 % 4 {
	case 0:
		c.Expose[0].Policy.Auth = &policyv1.Auth{Accept: []string{"nobody"}}
	case 1:
		c.Limits.MaxHeaders = new(uint32(n%50 + 1))
	case 2:
		c.Expose[0].Select = "shop.nothing.*"
	case 3:
		c.Upstreams[0].Target = "nonsense:///" + string(rune(0x7e))
		c.Expose[0].Policy.RateLimit[0].Key = new("no.such.name")
	}
}

// load calls by every door at a pace that two cores stand under the race detector,
// until stop. What is not answered as it should be is an error.
func load(t *testing.T, g *gatewaytest.Gateway) (calls *atomic.Int64, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	calls = new(atomic.Int64)
	var wg sync.WaitGroup
	for _, d := range doors() {
		caller := d.open(t, g)
		for range 2 {
			wg.Go(func() {
				tick := time.NewTicker(4 * time.Millisecond)
				defer tick.Stop()
				for n := 0; ctx.Err() == nil; n++ {
					r := []rpc{getShelf, getShelf, createProduct, watchStock}[n%4]
					if got := caller.call(t.Context(), r); got.code != codes.OK {
						t.Errorf("%s: %s: %v %s", d.name, r.name, got.code, got.message)
						return
					}
					calls.Add(1)
					<-tick.C
				}
			})
		}
	}
	return calls, func() {
		cancel()
		wg.Wait()
	}
}

// heap is what lives, in bytes.
func heap() uint64 {
	var m runtime.MemStats
	for range 3 { // what has finalizers goes in the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestThousandReloads reloads again and again under load, every tenth time what is
// invalid. Nothing is lost, and nothing is left of it.
func TestThousandReloads(t *testing.T) {
	reloads := reloadsToMake()
	a, b := &shopBackend{}, &shopBackend{}
	backends := [2]string{a.start(t), b.start(t)}
	g := gatewaytest.Start(t, gatewaytest.Config(backends[0], func(c *configv1.Config) {
		c.Log = &configv1.Log{Access: new(false)} // the test would keep it all
		c.Expose[0].Select = "shop.catalog.v1.*"
		inventory := proto.CloneOf(c.GetExpose()[0])
		inventory.Select = "shop.inventory.v1.*"
		c.Expose = append(c.Expose, inventory)
	}))
	base := g.Gateway.Table().File
	calls, stop := load(t, g)
	var refused int
	var memory uint64
	var goroutines, series int
	began := time.Now()
	for n := 1; n <= reloads; n++ {
		wrong := n%10 == 0
		next, err := base.With(func(c *configv1.Config) {
			variant(c, n, backends)
			if wrong {
				spoil(c, n)
			}
		})
		if err == nil {
			err = g.Gateway.Rebuild(t.Context(), next)
		}
		if (err != nil) != wrong {
			t.Fatalf("reload %d: %v, want an error: %v", n, err, wrong)
		}
		if wrong {
			refused++
		}
		if n == warm {
			atRest(t, g, base)
			memory, goroutines, series = heap(), most(), seriesOf(t, g)
		}
	}
	took := time.Since(began)
	atRest(t, g, base)
	if got := calls.Load(); got < int64(reloads) || a.calls.Load() == 0 || b.calls.Load() == 0 {
		t.Errorf("%d calls, of which %d at one backend and %d at the other: too few", got, a.calls.Load(), b.calls.Load())
	}
	// Under the same load as when they were counted first.
	if after := fewest(goroutines); after > goroutines {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines after %d reloads, %d after %d:\n%s", goroutines, warm, after, reloads, buf[:runtime.Stack(buf, true)])
	}
	if after := heap(); after > memory+memory/4+1<<20 {
		t.Errorf("%d bytes after %d reloads, %d after %d", memory, warm, after, reloads)
	}
	if after := seriesOf(t, g); after > series+series/10 {
		t.Errorf("%d series of metrics after %d reloads, %d after %d", series, warm, after, reloads)
	}
	stop()
	t.Logf("%d reloads, %d of them refused, in %v; %d calls; heap %d KiB then %d KiB", reloads, refused, took, calls.Load(), memory>>10, heap()>>10)
}

// atRest has the gateway serve by file, and waits until it is done with all that was
// before. What is measured then does not depend on which configuration, or which
// connection that has just begun, a reload left behind.
func atRest(t *testing.T, g *gatewaytest.Gateway, file *config.File) {
	t.Helper()
	if err := g.Gateway.Rebuild(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	gatewaytest.Eventually(t, "the end of all old tables", func() bool { return g.Gateway.Status().Draining == 0 })
	gatewaytest.Eventually(t, "connections to the backends", func() bool {
		r := g.Request(t, "GET", "/readyz", "")
		r.URL.Host = g.Admin
		return gatewaytest.Do(t, gatewaytest.Client(t), r).StatusCode == 200
	})
}

// most is how many goroutines there are at most, in a while under the same load.
func most() int {
	n := 0
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 50 {
		n = max(n, runtime.NumGoroutine())
		<-tick.C
	}
	return n
}

// fewest is how many goroutines there are once there are no more than so many, or
// the fewest that there were in a while.
func fewest(most int) int {
	n := runtime.NumGoroutine()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 300 {
		if n = min(n, runtime.NumGoroutine()); n <= most {
			break
		}
		<-tick.C
	}
	return n
}

func seriesOf(t *testing.T, g *gatewaytest.Gateway) (n int) {
	t.Helper()
	for line := range strings.Lines(get(t, g, "/metrics")) {
		if line[0] != '#' {
			n++
		}
	}
	return n
}
