package live_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
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
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// The RPCs at which clients fall silent.
const (
	nameOfCreate   = "/shop.catalog.v1.CatalogService/CreateProduct"
	nameOfShelf    = "/shop.catalog.v1.CatalogService/GetShelf"
	nameOfWatch    = "/shop.inventory.v1.InventoryService/WatchStock"
	nameOfImport   = "/shop.inventory.v1.InventoryService/ImportCounts"
	nameOfModerate = "/shop.reviews.v1.ReviewsService/ModerateReviews"
)

// echoing is a backend that answers each request at once. It tells opened of each
// call that reaches it.
func echoing(t *testing.T, opened func(method string)) string {
	each := func(method string, handler grpc.StreamHandler) grpc.StreamHandler {
		return func(srv any, ss grpc.ServerStream) error {
			opened(method)
			return handler(srv, ss)
		}
	}
	script := gatewaytest.Script{
		nameOfCreate: gatewaytest.Unary(func(_ context.Context, in *catalogv1.CreateProductRequest) (*catalogv1.Product, error) {
			return in.GetProduct(), nil
		}),
		nameOfShelf: gatewaytest.Unary(func(_ context.Context, in *catalogv1.GetShelfRequest) (*catalogv1.Shelf, error) {
			return &catalogv1.Shelf{Name: in.GetName()}, nil
		}),
		nameOfWatch: gatewaytest.ServerStreaming(func(_ context.Context, _ *inventoryv1.WatchStockRequest, send func(*inventoryv1.WatchStockResponse) error) error {
			return send(new(inventoryv1.WatchStockResponse))
		}),
		nameOfImport: gatewaytest.Duplex(func(_ context.Context, receive func() (*inventoryv1.ImportCountsRequest, error), send func(*inventoryv1.ImportCountsResponse) error) error {
			for {
				if _, err := receive(); err == io.EOF {
					return send(new(inventoryv1.ImportCountsResponse))
				} else if err != nil {
					return err
				}
			}
		}),
		nameOfModerate: gatewaytest.Duplex(func(_ context.Context, receive func() (*reviewsv1.ModerateReviewsRequest, error), send func(*reviewsv1.ModerateReviewsResponse) error) error {
			for {
				if _, err := receive(); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				} else if err := send(new(reviewsv1.ModerateReviewsResponse)); err != nil {
					return err
				}
			}
		}),
	}
	for method, handler := range script {
		script[method] = each(method, handler)
	}
	return gatewaytest.Backend(t, script)
}

// silent begins calls by a door that send headers and nothing else, and returns when
// the gateway has them. end waits for the end of one and tells its status.
type silent struct {
	name  string
	begin func(t *testing.T, g *gatewaytest.Gateway, method string) (end func() codes.Code)
	// rests are the methods that the door can begin so; all if nil.
	rests []string
}

func silences() []silent {
	paths := map[string]string{nameOfCreate: "/v1/products", nameOfImport: "/v1/stock:importCounts"}
	rest := func(t *testing.T, client *http.Client, g *gatewaytest.Gateway, method string) func() codes.Code {
		body, keep := io.Pipe()
		t.Cleanup(func() { _ = keep.Close() })
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.HTTP+paths[method], body)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan codes.Code, 1)
		go func() {
			resp, err := client.Do(r)
			if err != nil {
				got <- codes.Unknown
				return
			}
			defer resp.Body.Close()
			if resp.StatusCode == http.StatusRequestTimeout {
				got <- codes.DeadlineExceeded
			} else {
				text, _ := io.ReadAll(resp.Body)
				t.Logf("%s %s", resp.Status, text)
				got <- codes.Internal
			}
		}()
		return func() codes.Code { return gatewaytest.Receive(t, got, "the end of a silent call") }
	}
	native := func(address func(*gatewaytest.Gateway) string) func(*testing.T, *gatewaytest.Gateway, string) func() codes.Code {
		return func(t *testing.T, g *gatewaytest.Gateway, method string) func() codes.Code {
			ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
			t.Cleanup(cancel)
			up, err := gatewaytest.Dial(t, address(g), nil).NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
			if err != nil {
				t.Fatal(err)
			}
			return func() codes.Code { return status.Code(up.RecvMsg(new(catalogv1.Product))) }
		}
	}
	rests := []string{nameOfCreate, nameOfImport}
	return []silent{
		{"REST over HTTP/1.1", func(t *testing.T, g *gatewaytest.Gateway, method string) func() codes.Code {
			return rest(t, gatewaytest.Client(t), g, method)
		}, rests},
		{"REST over h2c", func(t *testing.T, g *gatewaytest.Gateway, method string) func() codes.Code {
			return rest(t, gatewaytest.Client(t, gatewaytest.H2C), g, method)
		}, rests},
		{"gRPC", native(func(g *gatewaytest.Gateway) string { return g.GRPC }), nil},
		{"gRPC on the HTTP port", native(func(g *gatewaytest.Gateway) string { return g.HTTP }), nil},
	}
}

// eachSilence plays at each door with each method that can be called there so.
func eachSilence(t *testing.T, methods []string, play func(t *testing.T, s silent, method string)) {
	t.Helper()
	for _, s := range silences() {
		for _, method := range methods {
			if s.rests != nil && method != s.rests[0] && method != s.rests[1] {
				continue
			}
			t.Run(s.name+method, func(t *testing.T) {
				t.Parallel()
				play(t, s, method)
			})
		}
	}
}

// running waits until so many calls of a method run.
func running(t *testing.T, g *gatewaytest.Gateway, method string, n int) {
	t.Helper()
	line := fmt.Sprintf("gatehouse_calls_in_flight{method=%q} %d\n", method, n)
	gatewaytest.Eventually(t, line, func() bool { return strings.Contains(metricsOf(t, g), line) })
}

func policy(change func(*policyv1.Policy)) gatewaytest.Change {
	return func(c *configv1.Config) { change(c.GetExpose()[0].GetPolicy()) }
}

// speak makes a whole call of a method.
func speak(t *testing.T, cc grpc.ClientConnInterface, method string) error {
	t.Helper()
	up, err := cc.NewStream(bounded(t), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return err
	}
	msg := new(call.Message) // of no bytes
	if err := up.SendMsg(msg); err != nil && err != io.EOF {
		return err
	}
	if err := up.CloseSend(); err != nil {
		return err
	}
	for {
		if err := up.RecvMsg(msg); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func speaker(t *testing.T, g *gatewaytest.Gateway) *grpc.ClientConn {
	return gatewaytest.Dial(t, g.GRPC, nil, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(call.Codec{})))
}

// TestSilentCallsHoldNoPlace: as many clients as a cap has places send headers and no
// message. Others find all places free, and the backend hears of none of them.
func TestSilentCallsHoldNoPlace(t *testing.T) {
	t.Parallel()
	eachSilence(t, []string{nameOfCreate, nameOfWatch, nameOfImport, nameOfModerate}, func(t *testing.T, s silent, method string) {
		const places, calls = 5, 20
		opened := make(chan string, 2*calls)
		g := gatewaytest.Start(t, gatewaytest.Config(echoing(t, func(method string) { opened <- method }), policy(func(p *policyv1.Policy) {
			p.Concurrency = []*policyv1.Concurrency{{Limit: proto.Uint32(places)}}
		})))
		for range places {
			s.begin(t, g, method)
		}
		running(t, g, method, places)
		cc := speaker(t, g)
		for range calls {
			if err := speak(t, cc, method); err != nil {
				t.Fatalf("beside %d silent calls: %v", places, err)
			}
		}
		if n := len(opened); n != calls {
			t.Errorf("the backend had %d calls, want the %d with a message", n, calls)
		}
		g.Stop()
	})
}

// TestSilentCallsAreNotShedFor: two connections with a hundred silent calls each have
// nobody refused.
func TestSilentCallsAreNotShedFor(t *testing.T) {
	t.Parallel()
	for _, address := range []func(*gatewaytest.Gateway) string{
		func(g *gatewaytest.Gateway) string { return g.GRPC }, func(g *gatewaytest.Gateway) string { return g.HTTP },
	} {
		g := gatewaytest.Start(t, gatewaytest.Config(echoing(t, func(string) {}), func(c *configv1.Config) {
			c.Shedding = &configv1.Shedding{Enabled: true, MinLimit: proto.Uint32(20), MaxLimit: proto.Uint32(20)}
		}))
		for range 2 {
			cc := gatewaytest.Dial(t, address(g), nil)
			for range 100 {
				if _, err := cc.NewStream(bounded(t), &grpc.StreamDesc{ClientStreams: true}, nameOfShelf); err != nil {
					t.Fatal(err)
				}
			}
		}
		running(t, g, nameOfShelf, 200)
		cc := speaker(t, g)
		for range 100 {
			if err := speak(t, cc, nameOfCreate); err != nil {
				t.Fatalf("beside 200 silent calls: %v", err)
			}
		}
	}
}

// TestSilentCallsEndInTime: the timeout of a call covers the reading of its request.
// A late client gets DEADLINE_EXCEEDED or 408, and no policy counts the call.
func TestSilentCallsEndInTime(t *testing.T) {
	t.Parallel()
	for _, limit := range []string{"timeout", "stream_idle_timeout"} {
		eachSilence(t, []string{nameOfCreate, nameOfWatch}, func(t *testing.T, s silent, method string) {
			const soon = 50 * time.Millisecond
			g := gatewaytest.Start(t, gatewaytest.Config(echoing(t, func(string) {}), policy(func(p *policyv1.Policy) {
				p.Breaker = &policyv1.Breaker{MinimumCalls: proto.Uint32(1), Window: durationpb.New(time.Hour)}
				p.Retry = &policyv1.Retry{}
				p.Concurrency = []*policyv1.Concurrency{{Limit: proto.Uint32(1)}}
			}), func(c *configv1.Config) {
				c.Shedding = &configv1.Shedding{Enabled: true}
				if limit == "timeout" {
					c.GetExpose()[0].GetPolicy().Timeout = durationpb.New(soon)
				} else {
					c.Limits = &configv1.Limits{StreamIdleTimeout: durationpb.New(soon)}
				}
			}))
			for range 5 {
				if code := s.begin(t, g, method)(); code != codes.DeadlineExceeded {
					t.Errorf("a silent call ended with %v, want DEADLINE_EXCEEDED", code)
				}
			}
			running(t, g, method, 0)
			for _, state := range g.Gateway.Breakers() {
				if state.Requests != 0 {
					t.Errorf("the breaker counted %+v", state)
				}
			}
			if text := metricsOf(t, g); !strings.Contains(text, fmt.Sprintf(`gatehouse_calls_total{fault="client",method=%q`, method)) {
				t.Errorf("the end is not counted as the client's fault:\n%s", text)
			}
		})
	}
}

// TestTheEndOfALateCallHasItsHeaders: what the gateway says of every call is there.
func TestTheEndOfALateCallHasItsHeaders(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(echoing(t, func(string) {}), policy(func(p *policyv1.Policy) {
		p.Timeout = durationpb.New(50 * time.Millisecond)
		p.RateLimit = []*policyv1.RateLimit{{Requests: proto.Uint32(100)}}
	})))
	for _, address := range []string{g.GRPC, g.HTTP} {
		up, err := gatewaytest.Dial(t, address, nil).NewStream(bounded(t), &grpc.StreamDesc{ClientStreams: true}, nameOfShelf, grpc.WaitForReady(true))
		if err != nil {
			t.Fatal(err)
		}
		err = up.RecvMsg(new(catalogv1.Shelf))
		if want := "the request did not arrive within 50ms"; status.Code(err) != codes.DeadlineExceeded || status.Convert(err).Message() != want {
			t.Errorf("got %v, want DEADLINE_EXCEEDED: %s", err, want)
		}
		for _, key := range []string{"x-request-id", "ratelimit"} {
			if trailer := up.Trailer(); len(trailer.Get(key)) != 1 {
				t.Errorf("%s: no %s among %q", address, key, slices.Collect(maps.Keys(trailer)))
			}
		}
	}
}

// TestStreamsTakePlacesWithTheirFirstMessage: of two streams that a cap of one lets
// begin, the one that speaks has the place, until its status is there.
func TestStreamsTakePlacesWithTheirFirstMessage(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(echoing(t, func(string) {}), policy(func(p *policyv1.Policy) {
		p.Concurrency = []*policyv1.Concurrency{{Limit: proto.Uint32(1)}}
	})))
	for name, cc := range map[string]grpc.ClientConnInterface{
		"gRPC": speaker(t, g), "gRPC on the HTTP port": gatewaytest.Dial(t, g.HTTP, nil), "inside the process": g.Gateway.Conn(),
	} {
		client := reviewsv1.NewReviewsServiceClient(cc)
		ctx := metadata.AppendToOutgoingContext(bounded(t), "x-test", name)
		first, err := client.ModerateReviews(ctx)
		second, err2 := client.ModerateReviews(ctx)
		if err != nil || err2 != nil {
			t.Fatal(name, err, err2)
		}
		talk := func(s grpc.BidiStreamingClient[reviewsv1.ModerateReviewsRequest, reviewsv1.ModerateReviewsResponse]) error {
			if err := s.Send(new(reviewsv1.ModerateReviewsRequest)); err != nil && err != io.EOF {
				return err
			}
			_, err := s.Recv()
			return err
		}
		if err := talk(second); err != nil {
			t.Errorf("%s: the first that speaks: %v", name, err)
		}
		if err := talk(first); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s: beside one that has the place: %v, want RESOURCE_EXHAUSTED", name, err)
		}
		_ = second.CloseSend()
		if _, err := second.Recv(); err != io.EOF {
			t.Errorf("%s: the end: %v", name, err)
		}
		third, err := client.ModerateReviews(ctx)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := talk(third); err != nil {
			t.Errorf("%s: after the end: %v", name, err)
		}
		_ = third.CloseSend()
		if _, err := third.Recv(); err != io.EOF {
			t.Errorf("%s: the end: %v", name, err)
		}
	}
}

// bounded is a context that a test which passes does not outlast.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
	t.Cleanup(cancel)
	return ctx
}
