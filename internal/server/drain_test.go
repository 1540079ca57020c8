package server_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// holding is a backend that keeps every call until it is released.
type holding struct {
	entered chan string
	ended   chan error
	release chan struct{}
}

func hold() *holding {
	return &holding{entered: make(chan string, 16), ended: make(chan error, 16), release: make(chan struct{})}
}

func (h *holding) script() gatewaytest.Script {
	held := func(answer func(grpc.ServerStream) error) grpc.StreamHandler {
		return func(_ any, ss grpc.ServerStream) error {
			name, _ := grpc.MethodFromServerStream(ss)
			h.entered <- name
			select {
			case <-h.release:
				h.ended <- nil
				return answer(ss)
			case <-ss.Context().Done():
				h.ended <- ss.Context().Err()
				return ss.Context().Err()
			}
		}
	}
	return gatewaytest.Script{
		getProduct: held(func(ss grpc.ServerStream) error { return ss.SendMsg(&catalogv1.Product{Name: "products/boots"}) }),
		"/shop.inventory.v1.InventoryService/WatchStock": held(func(ss grpc.ServerStream) error {
			return ss.SendMsg(&inventoryv1.WatchStockResponse{Name: "stock"})
		}),
		"/shop.reviews.v1.ReviewsService/ModerateReviews": held(func(ss grpc.ServerStream) error {
			return ss.SendMsg(&reviewsv1.ModerateReviewsResponse{DraftId: 1})
		}),
	}
}

// calls are one of each sort; a result is "" if all went well.
func calls(t *testing.T, g *gatewaytest.Gateway) map[string]func() string {
	web, h2c := gatewaytest.Client(t), gatewaytest.Client(t, gatewaytest.H2C)
	all := map[string]func() string{}
	for name, client := range map[string]*http.Client{"HTTP/1.1": web, "HTTP/2": h2c} {
		for path, want := range map[string]string{"/v1/products/boots": "products/boots", "/v1/warehouses/w/stock/s:watch": `"stock"`} {
			r := g.Request(t, "GET", path, "")
			all[name+path] = func() string { return fetch(client, r, want) }
		}
	}
	for name, address := range map[string]string{"native": g.GRPC, "gRPC over HTTP": g.HTTP} {
		cc := gatewaytest.Dial(t, address, nil)
		all[name+", unary"] = func() string {
			got, err := catalogv1.NewCatalogServiceClient(cc).GetProduct(t.Context(), new(catalogv1.GetProductRequest))
			return failure(err, got.GetName() == "products/boots")
		}
		all[name+", stream"] = func() string {
			talk, err := reviewsv1.NewReviewsServiceClient(cc).ModerateReviews(t.Context())
			if err != nil {
				return err.Error()
			}
			if _, err = talk.Recv(); err != nil {
				return err.Error()
			}
			_, err = talk.Recv()
			return failure(nil, err == io.EOF)
		}
	}
	return all
}

func failure(err error, ok bool) string {
	switch {
	case err != nil:
		return err.Error()
	case !ok:
		return "a wrong answer"
	default:
		return ""
	}
}

func fetch(client *http.Client, r *http.Request, want string) string {
	resp, err := client.Do(r)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return failure(err, resp.StatusCode == 200 && strings.Contains(string(body), want))
}

type result struct{ name, failure string }

// begin starts all calls and waits until the backend has them.
func begin(t *testing.T, h *holding, all map[string]func() string) <-chan result {
	t.Helper()
	results := make(chan result, len(all))
	for name, call := range all {
		go func() { results <- result{name, call()} }()
	}
	for range all {
		gatewaytest.Receive(t, h.entered, "a call at the backend")
	}
	return results
}

// TestDrainLetsCallsFinish: with calls of every sort running, the gateway takes
// no new ones, lets the running ones finish, and ends.
func TestDrainLetsCallsFinish(t *testing.T) {
	t.Parallel()
	h := hold()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, h.script())))
	all := calls(t, g)
	results := begin(t, h, all)
	g.Stop()
	for _, address := range []string{g.HTTP, g.GRPC} {
		gatewaytest.Eventually(t, "no more connections", func() bool {
			c, err := net.Dial("tcp", address)
			if err == nil {
				_ = c.Close()
			}
			return err != nil
		})
	}
	select {
	case <-g.Done():
		t.Fatal("ended with calls running")
	case r := <-results:
		t.Fatalf("%s ended early: %s", r.name, r.failure)
	default:
	}
	close(h.release)
	for range all {
		if r := gatewaytest.Receive(t, results, "a result"); r.failure != "" {
			t.Errorf("%s: %s", r.name, r.failure)
		}
	}
	if err := g.Wait(t); err != nil {
		t.Error(err)
	}
}

// TestDrainEnds what has not finished in time.
func TestDrainEnds(t *testing.T) {
	t.Parallel()
	h := hold()
	const bound = 200 * time.Millisecond
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, h.script()), func(c *configv1.Config) {
		c.Drain = &configv1.Drain{Timeout: durationpb.New(bound)}
	}))
	all := calls(t, g)
	results := begin(t, h, all)
	began := time.Now()
	g.Stop()
	for range all {
		if r := gatewaytest.Receive(t, results, "a result"); r.failure == "" {
			t.Errorf("%s went well", r.name)
		}
	}
	if err := g.Wait(t); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < bound || took > bound+5*time.Second {
		t.Errorf("took %v, the bound is %v", took, bound)
	}
	for range all {
		if err := gatewaytest.Receive(t, h.ended, "the end at the backend"); err != context.Canceled {
			t.Errorf("the backend ended with %v", err)
		}
	}
	if n := strings.Count(g.Log.String(), "msg=call "); n != len(all) {
		t.Errorf("%d of %d calls are in the log when serving is over", n, len(all))
	}
}

// TestDrainLogsWhatItCutsOff: a call by gRPC over HTTP is in the log when serving
// is over, also if its handler takes some time to return after its connection is
// closed. Calls by other doors, for which the drain waits too, would hide it.
func TestDrainLogsWhatItCutsOff(t *testing.T) {
	t.Parallel()
	h := hold()
	slow := interceptors.Around("slow", func(ctx context.Context, _ string) (context.Context, func(error), error) {
		return ctx, func(error) { time.Sleep(300 * time.Millisecond) }, nil // stands for a handler that is slow to return
	})
	file, err := config.New(gatewaytest.Config(gatewaytest.Backend(t, h.script()), func(c *configv1.Config) {
		c.Drain = &configv1.Drain{Timeout: durationpb.New(time.Millisecond)}
	}))
	if err != nil {
		t.Fatal(err)
	}
	g := gatewaytest.StartOptions(t, live.Options{Config: file, Custom: []interceptors.Interceptor{slow}})
	all := calls(t, g)
	maps.DeleteFunc(all, func(name string, _ func() string) bool { return !strings.HasPrefix(name, "gRPC over HTTP") })
	results := begin(t, h, all)
	g.Stop()
	for range all {
		gatewaytest.Receive(t, results, "a result")
	}
	if err := g.Wait(t); err != nil {
		t.Error(err)
	}
	if n := strings.Count(g.Log.String(), "msg=call "); n != len(all) {
		t.Errorf("%d of %d calls are in the log when serving is over", n, len(all))
	}
}

// TestDrainOrder: readiness goes first, while calls are still taken.
func TestDrainOrder(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, taking), func(c *configv1.Config) {
		c.Drain = &configv1.Drain{Timeout: durationpb.New(time.Minute), Delay: durationpb.New(time.Second)}
	}))
	client := gatewaytest.Client(t)
	gatewaytest.Eventually(t, "readiness", func() bool { return readiness(t, client, g) == 200 })
	health := greetHealth(t, g)
	if got := gatewaytest.Receive(t, health, "gRPC health"); got != "SERVING" {
		t.Errorf("gRPC health is %s", got)
	}
	g.Stop()
	gatewaytest.Eventually(t, "no readiness", func() bool { return readiness(t, client, g) == 503 })
	if got := gatewaytest.Do(t, client, g.Request(t, "GET", "/v1/products/boots", "")); got.StatusCode != 200 {
		t.Errorf("a call in the delay: %d %s", got.StatusCode, got.Text)
	}
	if got := gatewaytest.Receive(t, health, "gRPC health"); got != "NOT_SERVING" {
		t.Errorf("gRPC health is %s", got)
	}
	if err := g.Wait(t); err != nil {
		t.Error(err)
	}
}

func readiness(t *testing.T, client *http.Client, g *gatewaytest.Gateway) int {
	t.Helper()
	got := admin(t, client, g, "/readyz")
	var body struct {
		Ready, Draining bool
		Upstreams       []struct{ Upstream, State string }
	}
	if err := json.Unmarshal([]byte(got.Text), &body); err != nil {
		t.Fatalf("%v: %s", err, got.Text)
	}
	if body.Ready != (got.StatusCode == 200) || len(body.Upstreams) != 1 || body.Upstreams[0].Upstream != "shop" {
		t.Errorf("%d %s", got.StatusCode, got.Text)
	}
	return got.StatusCode
}

func admin(t *testing.T, client *http.Client, g *gatewaytest.Gateway, path string) gatewaytest.Answer {
	t.Helper()
	r := g.Request(t, "GET", path, "")
	r.URL.Host = g.Admin
	return gatewaytest.Do(t, client, r)
}

// TestGoAway: connections are told, on both listeners.
func TestGoAway(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, taking)))
	var framers []*http2.Framer
	for _, address := range []string{g.HTTP, g.GRPC} {
		c := connect(t, address)
		_, _ = io.WriteString(c, http2.ClientPreface)
		fr := http2.NewFramer(c, c)
		_ = fr.WriteSettings()
		if _, err := fr.ReadFrame(); err != nil {
			t.Fatal(err)
		}
		framers = append(framers, fr)
	}
	g.Stop()
	for i, fr := range framers {
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				t.Errorf("listener %d: no GOAWAY before %v", i, err)
				break
			}
			if p, ok := f.(*http2.PingFrame); ok && !p.IsAck() {
				_ = fr.WritePing(true, p.Data)
			}
			if f.Header().Type == http2.FrameGoAway {
				break
			}
		}
	}
	if err := g.Wait(t); err != nil {
		t.Error(err)
	}
}

// greetHealth watches gRPC's health service and tells each state.
func greetHealth(t *testing.T, g *gatewaytest.Gateway) <-chan string {
	t.Helper()
	states := make(chan string, 8)
	watch, err := grpc_health_v1.NewHealthClient(gatewaytest.Dial(t, g.GRPC, nil)).Watch(t.Context(), new(grpc_health_v1.HealthCheckRequest))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			got, err := watch.Recv()
			if err != nil {
				return
			}
			states <- got.GetStatus().String()
		}
	}()
	return states
}
