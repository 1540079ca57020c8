package live_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	ordersv1 "github.com/gatehouse-dev/gatehouse/gen/shop/orders/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// broken are requests that cannot be read as a message with a string as its first field.
var broken = []string{"\x0a\xff", "\x0a\x01\xff", "\x00", "\x0b", "\x0c", "\x07", "\x0a"}

// sendRaw calls a method with bytes for its one request, or behind a good first one,
// and returns the outcome.
func sendRaw(t *testing.T, cc grpc.ClientConnInterface, method, wire string) error {
	t.Helper()
	up, err := cc.NewStream(bounded(t), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		t.Fatal(err)
	}
	requests := []string{wire}
	if method == nameOfImport || method == nameOfModerate {
		requests = []string{"", wire}
	}
	for _, wire := range requests {
		if err := up.SendMsg(&call.Message{Data: mem.BufferSlice{mem.SliceBuffer(wire)}}); err != nil && err != io.EOF {
			t.Fatal(err)
		}
	}
	_ = up.CloseSend()
	for {
		var msg call.Message
		if err := up.RecvMsg(&msg); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		msg.Free()
	}
}

// rawDoors are connections that send bytes as they are.
func rawDoors(t *testing.T, g *gatewaytest.Gateway) map[string]grpc.ClientConnInterface {
	doors := map[string]grpc.ClientConnInterface{}
	for name, address := range map[string]string{"gRPC": g.GRPC, "gRPC on the HTTP port": g.HTTP} {
		doors[name] = gatewaytest.Dial(t, address, nil, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(call.Codec{})))
	}
	return doors
}

// counting are the ways to count answers for or against an upstream.
func counting() map[string]gatewaytest.Change {
	return map[string]gatewaytest.Change{
		"adaptive breaker": policy(func(p *policyv1.Policy) { p.Breaker = &policyv1.Breaker{} }),
		"three-state breaker": policy(func(p *policyv1.Policy) {
			p.Breaker = &policyv1.Breaker{Kind: policyv1.Breaker_KIND_THREE_STATE.Enum()}
		}),
		"retry budget": policy(func(p *policyv1.Policy) { p.Retry = &policyv1.Retry{} }),
		"outliers": func(c *configv1.Config) {
			c.Upstreams[0].Outliers = &configv1.Outliers{Interval: durationpb.New(time.Hour)}
		},
	}
}

// TestBrokenRequestsEndAtTheEdge: three broken requests for each good one, at each
// kind of RPC. The broken ones are told so and never reach the backend, and all good
// ones are served.
func TestBrokenRequestsEndAtTheEdge(t *testing.T) {
	t.Parallel()
	for name, change := range counting() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			g := gatewaytest.Start(t, gatewaytest.Config(echoing(t, func(method string) {
				if method != nameOfImport && method != nameOfModerate { // whose first request is good
					calls.Add(1)
				}
			}), change))
			good := int32(0)
			for door, cc := range rawDoors(t, g) {
				for _, method := range []string{nameOfShelf, nameOfWatch, nameOfImport, nameOfModerate} {
					for i := range 30 {
						for j := range 3 {
							wire := broken[(3*i+j)%len(broken)]
							if method == nameOfModerate {
								wire = broken[0] // its first field is a number
							}
							err := sendRaw(t, cc, method, wire)
							if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "not a message of type shop.") {
								t.Fatalf("%s: %s: a broken request: %v, want INVALID_ARGUMENT", door, method, err)
							}
						}
						if err := sendRaw(t, cc, method, ""); err != nil {
							t.Fatalf("%s: %s: a good call after %d broken ones: %v", door, method, 3*i+3, err)
						}
						if method == nameOfShelf || method == nameOfWatch {
							good++
						}
					}
				}
			}
			if n := calls.Load(); n != good {
				t.Errorf("the backend had %d calls, want the %d good ones", n, good)
			}
			for _, s := range g.Gateway.Breakers() {
				if s.Failures != 0 || s.Refusal != 0 {
					t.Errorf("a breaker counted %+v", s)
				}
			}
		})
	}
}

// TestUncheckedRequests: where nothing counts answers, or the check is off, requests
// pass unread. What the backend says of them is still held against nobody.
func TestUncheckedRequests(t *testing.T) {
	t.Parallel()
	off := func(c *configv1.Config) { c.GetExpose()[0].GetPolicy().CheckRequests = new(false) }
	nothing := func(*configv1.Config) {}
	for name, change := range counting() {
		t.Run(name+" without", func(t *testing.T) {
			t.Parallel()
			g := gatewaytest.Start(t, gatewaytest.Config(echoing(t, func(string) {}), change, off))
			for _, cc := range rawDoors(t, g) {
				for i := range 40 {
					if err := sendRaw(t, cc, nameOfShelf, broken[0]); status.Code(err) != codes.Internal {
						t.Fatalf("broken request %d: %v, want the backend's INTERNAL", i, err)
					}
				}
				if err := sendRaw(t, cc, nameOfShelf, ""); err != nil {
					t.Errorf("a good call: %v", err)
				}
			}
		})
	}
	t.Run("nothing counts", func(t *testing.T) {
		t.Parallel()
		on := func(c *configv1.Config) { c.GetExpose()[0].GetPolicy().CheckRequests = new(true) }
		for want, change := range map[codes.Code]gatewaytest.Change{codes.Internal: nothing, codes.InvalidArgument: on} {
			g := gatewaytest.Start(t, gatewaytest.Config(echoing(t, func(string) {}), change))
			for door, cc := range rawDoors(t, g) {
				if err := sendRaw(t, cc, nameOfShelf, broken[0]); status.Code(err) != want {
					t.Errorf("%s: %v, want %v", door, err, want)
				}
			}
		}
	})
}

// TestDebatableRequests: what some libraries of protobuf read and others do not passes,
// and a backend that cannot read it is not blamed.
func TestDebatableRequests(t *testing.T) {
	t.Parallel()
	var failed atomic.Bool
	failed.Store(true)
	backend := gatewaytest.Backend(t, gatewaytest.Script{nameOfShelf: func(_ any, ss grpc.ServerStream) error {
		if failed.Load() {
			return status.Error(codes.Internal, "nested too deep")
		}
		return gatewaytest.Unary(func(context.Context, *catalogv1.GetShelfRequest) (*catalogv1.Shelf, error) {
			return new(catalogv1.Shelf), nil
		})(nil, ss)
	}})
	g := gatewaytest.Start(t, gatewaytest.Config(backend, policy(func(p *policyv1.Policy) { p.Breaker = &policyv1.Breaker{} })))
	deep := strings.Repeat("\x7b", 200) + strings.Repeat("\x7c", 200) // groups that nobody knows
	for _, cc := range rawDoors(t, g) {
		failed.Store(true)
		for range 40 {
			if err := sendRaw(t, cc, nameOfShelf, deep); status.Code(err) != codes.Internal {
				t.Fatalf("got %v, want the backend's INTERNAL", err)
			}
		}
		failed.Store(false)
		if err := sendRaw(t, cc, nameOfShelf, ""); err != nil {
			t.Errorf("a good call: %v", err)
		}
	}
}

// TestDeepRESTRequests: the same for what REST bodies become. A list in JSON is two
// messages, so a document that is not nested too deep becomes a message that is.
func TestDeepRESTRequests(t *testing.T) {
	t.Parallel()
	const method, path = "/shop.orders.v1.OrdersService/CreateOrder", "/v1/customers/a/orders"
	var failed atomic.Bool
	backend := gatewaytest.Backend(t, gatewaytest.Script{method: func(_ any, ss grpc.ServerStream) error {
		if failed.Load() {
			return status.Error(codes.Internal, "nested too deep")
		}
		return gatewaytest.Unary(func(context.Context, *ordersv1.CreateOrderRequest) (*ordersv1.Order, error) {
			return new(ordersv1.Order), nil
		})(nil, ss)
	}})
	deep := `{"metadata":{"a":` + strings.Repeat("[", 80) + strings.Repeat("]", 80) + `}}`
	for name, change := range counting() {
		t.Run(name, func(t *testing.T) {
			g := gatewaytest.Start(t, gatewaytest.Config(backend, change))
			failed.Store(true)
			for range 40 {
				if a := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, http.MethodPost, path, deep)); a.StatusCode != http.StatusInternalServerError {
					t.Fatalf("HTTP %d %s, want the backend's INTERNAL", a.StatusCode, a.Text)
				}
			}
			failed.Store(false)
			if a := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, http.MethodPost, path, "{}")); a.StatusCode != http.StatusOK {
				t.Errorf("a good call: HTTP %d %s", a.StatusCode, a.Text)
			}
			if list := blamed(t, g); len(list) > 0 {
				t.Errorf("the upstream is blamed:\n%s", strings.Join(list, "\n"))
			}
		})
	}
}
