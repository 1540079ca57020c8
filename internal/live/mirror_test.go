package live_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// mirrored has calls copied to "canary".
func mirrored(change ...func(*configv1.Mirror)) gatewaytest.Change {
	return func(c *configv1.Config) {
		c.Expose[0].Mirror = &configv1.Mirror{Upstream: "canary"}
		for _, f := range change {
			f(c.GetExpose()[0].GetMirror())
		}
	}
}

// noted keeps the metadata of calls.
type noted struct {
	mu   sync.Mutex
	seen []metadata.MD
}

func (n *noted) note(ctx context.Context) {
	in, _ := metadata.FromIncomingContext(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen = append(n.seen, in)
}

func (n *noted) last() metadata.MD {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.seen) == 0 {
		return nil
	}
	return n.seen[len(n.seen)-1]
}

// Copies come, whatever becomes of them, and their answers go nowhere.
func TestCallsAreCopiedAtEveryDoor(t *testing.T) {
	var got noted
	f := (&fork{canary: &shopBackend{see: got.note, fail: func(int64) error { return down }}}).start(t, only(getShelf), mirrored(), func(c *configv1.Config) {
		c.Expose[0].Metadata = &configv1.Rewrite{Request: &configv1.Changes{Set: map[string]string{"x-set": "new"}}}
	})
	for i, d := range doors() {
		s := f.at(t, d, getShelf)
		// A client cannot have a call taken for a copy.
		wantServed(t, s.want(t, codes.OK, "x-user", d.name, "gatehouse-mirrored", "false"), "shop")
		gatewaytest.Eventually(t, "the copy", func() bool { return f.canary.calls.Load() == int64(i+1) })
		md := got.last()
		if strings.Join(md["gatehouse-mirrored"], " ") != "true" || md["x-user"][0] != d.name || md["x-set"][0] != "new" {
			t.Errorf("%s: the copy came with %v", d.name, md)
		}
	}
	line := fmt.Sprintf(`gatehouse_mirror_calls_total{method="/shop.catalog.v1.CatalogService/GetShelf",status="UNAVAILABLE",upstream="canary"} %d`, len(doors()))
	gatewaytest.Eventually(t, line, func() bool { return strings.Contains(metricsOf(t, f.g), line) })
}

// A copy that is under way when its upstream is changed goes on to its end.
func TestACopyKeepsItsConnection(t *testing.T) {
	gate, came := make(chan struct{}), make(chan struct{}, 1)
	canary := &shopBackend{see: func(ctx context.Context) {
		came <- struct{}{}
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}}
	f := (&fork{canary: canary}).start(t, only(getShelf), mirrored())
	f.at(t, doors()[0], getShelf).want(t, codes.OK)
	gatewaytest.Receive(t, came, "the copy")
	if err := changed(t, f.g, func(c *configv1.Config) {
		for _, u := range c.GetUpstreams() {
			if u.GetName() == "canary" {
				u.Authority = "canary.test"
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	if n := f.g.Gateway.Status().Draining; n != 1 {
		t.Errorf("%d tables drain, want the one that the copy came from", n)
	}
	close(gate)
	line := `gatehouse_mirror_calls_total{method="/shop.catalog.v1.CatalogService/GetShelf",status="OK",upstream="canary"} 1`
	gatewaytest.Eventually(t, line, func() bool { return strings.Contains(metricsOf(t, f.g), line) })
}

// What has effects is not done twice, and what streams is not copied.
func TestOnlySafeCallsAreCopied(t *testing.T) {
	for _, unsafe := range []bool{false, true} {
		f := new(fork).start(t, mirrored(func(m *configv1.Mirror) { m.Unsafe = unsafe }))
		for _, d := range doors() {
			for _, r := range []rpc{createProduct, watchStock} {
				f.at(t, d, r).want(t, codes.OK)
			}
		}
		want := map[bool]int64{false: 0, true: int64(len(doors()))}[unsafe]
		// A call that is copied comes last, so that those before it have come.
		f.at(t, doors()[0], getShelf).want(t, codes.OK)
		gatewaytest.Eventually(t, "the copies", func() bool { return f.canary.calls.Load() == want+1 })
	}
}

// A call that another upstream need not carry out is no call to copy: kept
// answers, and calls that went to the mirror's own upstream.
func TestOnlyWhatIsSentIsCopied(t *testing.T) {
	f := new(fork).start(t, only(getShelf), mirrored(), routes(beta()), func(c *configv1.Config) {
		c.Expose[0].Policy.Cache = &policyv1.Cache{Ttl: durationpb.New(time.Hour)}
	})
	s := f.at(t, doors()[0], getShelf)
	s.want(t, codes.OK)
	s.want(t, codes.OK) // out of the cache
	wantServed(t, s.want(t, codes.OK, "x-beta", "1"), "canary")
	gatewaytest.Eventually(t, "one copy and one call", func() bool { return f.canary.calls.Load() == 2 })
	if got := metricsOf(t, f.g); !strings.Contains(got, `upstream="canary"} 1`) {
		t.Error("want one copy counted")
	}
}

// A retried call is copied once.
func TestARetriedCallIsCopiedOnce(t *testing.T) {
	f := (&fork{shop: &shopBackend{fail: failsFirst(2)}}).start(t, only(getShelf), mirrored(), func(c *configv1.Config) {
		c.Expose[0].Policy.Retry = &policyv1.Retry{InitialBackoff: durationpb.New(time.Microsecond)}
	})
	s := f.at(t, doors()[0], getShelf)
	s.want(t, codes.OK) // three attempts
	s.want(t, codes.OK)
	gatewaytest.Eventually(t, "two copies", func() bool { return f.canary.calls.Load() == 2 })
	if n := f.shop.calls.Load(); n != 4 {
		t.Errorf("%d attempts, want 4", n)
	}
}

// A mirror that never answers holds nobody up, and ends with the gateway.
func TestASlowMirrorIsHarmless(t *testing.T) {
	f := (&fork{canary: &shopBackend{gate: make(chan struct{}), arrived: make(chan struct{}, 10)}}).start(t, only(getShelf), mirrored(func(m *configv1.Mirror) {
		m.Timeout, m.MaxConcurrent = durationpb.New(time.Hour), new(uint32(2))
	}))
	s := f.at(t, doors()[2], getShelf)
	for range 5 {
		wantServed(t, s.want(t, codes.OK), "shop")
	}
	for range 2 {
		gatewaytest.Receive(t, f.canary.arrived, "a copy")
	}
	line := fmt.Sprintf("gatehouse_mirror_dropped_total{method=%q,upstream=%q} 3", "/shop.catalog.v1.CatalogService/GetShelf", "canary")
	if !strings.Contains(metricsOf(t, f.g), line) {
		t.Errorf("no line %s", line)
	}
	f.g.Stop()
	if err := f.g.Wait(t); err != nil { // waits for the copies, which end now
		t.Error(err)
	}
}

// What copies hold when their calls have ended is in the account, with the answers
// that they have room for.
func TestCopiesAreHeldInTheAccount(t *testing.T) {
	canary := &shopBackend{gate: make(chan struct{}), arrived: make(chan struct{}, 10)}
	f := (&fork{canary: canary}).start(t, only(getShelf), mirrored(func(m *configv1.Mirror) { m.Timeout = durationpb.New(time.Hour) }))
	s := f.at(t, doors()[2], getShelf)
	for range 3 {
		s.want(t, codes.OK)
		gatewaytest.Receive(t, canary.arrived, "a copy")
	}
	if held := numberOf(t, metricsOf(t, f.g), "gatehouse_memory_held_bytes"); held < 3*64<<10 {
		t.Errorf("%v bytes are held for three copies, want room for three answers", held)
	}
	close(canary.gate)
	gatewaytest.Eventually(t, "the copies' end", func() bool {
		return numberOf(t, metricsOf(t, f.g), "gatehouse_memory_held_bytes") == 0
	})
}

// numberOf is the value of a metric without labels.
func numberOf(t *testing.T, metrics, name string) float64 {
	t.Helper()
	for line := range strings.Lines(metrics) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// The answer to a copy is received as far as there is room for it: the first copies
// of an RPC find out how large its answers are.
func TestAnswersToCopiesAreBounded(t *testing.T) {
	large := gatewaytest.Backend(t, gatewaytest.Script{
		nameOfShelf: gatewaytest.Unary(func(context.Context, *catalogv1.GetShelfRequest) (*catalogv1.Shelf, error) {
			return &catalogv1.Shelf{Name: strings.Repeat("x", 300<<10)}, nil
		}),
	})
	f := new(fork).start(t, only(getShelf), mirrored(), func(c *configv1.Config) { c.Upstreams[1] = upstreamAt("canary", large) })
	s := f.at(t, doors()[2], getShelf)
	labels := fmt.Sprintf("method=%q", nameOfShelf)
	dropped := fmt.Sprintf("gatehouse_mirror_dropped_total{%s,upstream=%q} ", labels, "canary")
	for i := range 3 { // 64, 128 and 256 KiB
		s.want(t, codes.OK)
		line := fmt.Sprint(dropped, i+1)
		gatewaytest.Eventually(t, line, func() bool { return strings.Contains(metricsOf(t, f.g), line) })
	}
	s.want(t, codes.OK)
	line := fmt.Sprintf("gatehouse_mirror_calls_total{%s,status=%q,upstream=%q} 1", labels, "OK", "canary")
	gatewaytest.Eventually(t, line, func() bool { return strings.Contains(metricsOf(t, f.g), line) })
	if line := fmt.Sprint(dropped, 3); !strings.Contains(metricsOf(t, f.g), line) {
		t.Errorf("no line %s", line)
	}
}
