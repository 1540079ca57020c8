package difftest

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-dev/gatehouse/examples/shop"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	ordersv1 "github.com/gatehouse-dev/gatehouse/gen/shop/orders/v1"
	pricingv1 "github.com/gatehouse-dev/gatehouse/gen/shop/pricing/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
)

// today is the shops' clock, which stands still.
func today() time.Time { return time.Date(2026, time.September, 1, 12, 0, 0, 0, time.UTC) }

// store is a shop that can be filled anew, and remembers what it was asked. It
// is served by one server for each service; their addresses stay.
type store struct {
	addresses *strings.Replacer // NAME by address

	mu       sync.Mutex
	services map[string]any // implementations, by full name
	asked    []asked
	changed  bool   // since it was filled
	request  string // that is under way; what comes from others is late
}

// asked is one message that a service got.
type asked struct {
	method  string
	message proto.Message
}

// requestKey is the header, and metadata, that tells requests apart.
const requestKey = "difftest-request"

// shopHeader and shopTrailer are what the services say beside every answer.
const (
	shopHeader  = "x-shop"
	shopTrailer = "x-shop-trailer"
)

// capture takes the implementations out of a shop.
type capture map[string]any

func (c capture) RegisterService(desc *grpc.ServiceDesc, impl any) { c[desc.ServiceName] = impl }

// switched registers services whose implementation is the store's at the
// moment of the call.
type switched struct {
	store *store
	to    grpc.ServiceRegistrar
}

func (s switched) RegisterService(desc *grpc.ServiceDesc, _ any) {
	d := *desc
	d.Methods, d.Streams = nil, nil
	for _, m := range desc.Methods {
		handle := m.Handler
		m.Handler = func(_ any, ctx context.Context, dec func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
			return handle(s.store.service(desc.ServiceName), ctx, dec, i)
		}
		d.Methods = append(d.Methods, m)
	}
	for _, m := range desc.Streams {
		handle := m.Handler
		m.Handler = func(_ any, stream grpc.ServerStream) error {
			return handle(s.store.service(desc.ServiceName), stream)
		}
		d.Streams = append(d.Streams, m)
	}
	s.to.RegisterService(&d, nil)
}

func (s *store) service(name string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services[name]
}

// fill makes it a new shop for a request, unless nobody has changed anything.
func (s *store) fill(request int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked, s.request = nil, strconv.Itoa(request)
	if s.services != nil && !s.changed {
		return nil
	}
	fresh, err := shop.New(today)
	if err != nil {
		return err
	}
	c := capture{}
	for _, b := range fresh.Backends() {
		b.Register(c)
	}
	s.services, s.changed = c, false
	return nil
}

// takeAsked returns what was asked since the last time.
func (s *store) takeAsked() []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.asked
	s.asked = nil
	return list
}

// change notes that the shop is no longer as it was filled.
func (s *store) change() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = true
}

func (s *store) note(ctx context.Context, method string, message any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	md, _ := metadata.FromIncomingContext(ctx)
	if !slices.Equal(md.Get(requestKey), []string{s.request}) {
		return
	}
	if m, ok := message.(proto.Message); ok {
		m = proto.Clone(m)
		sortMask(m)
		s.asked = append(s.asked, asked{method, m})
	}
}

// readOnly tells the methods that change nothing by their names, as AIP-130
// has them.
func readOnly(method string) bool {
	_, name, _ := strings.Cut(method[1:], "/")
	for _, verb := range []string{"Get", "List", "Search", "BatchGet", "Quote", "Watch", "Moderate"} {
		if strings.HasPrefix(name, verb) {
			return true
		}
	}
	return false
}

func (s *store) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	s.note(ctx, info.FullMethod, req)
	_ = grpc.SetHeader(ctx, metadata.Pairs(shopHeader, info.FullMethod))
	_ = grpc.SetTrailer(ctx, metadata.Pairs(shopTrailer, "closed"))
	answer, err := next(ctx, req)
	if err == nil && !readOnly(info.FullMethod) {
		s.change() // what fails changes nothing
	}
	return answer, err
}

func (s *store) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	_ = stream.SetHeader(metadata.Pairs(shopHeader, info.FullMethod))
	stream.SetTrailer(metadata.Pairs(shopTrailer, "closed"))
	if !readOnly(info.FullMethod) {
		s.change()
	}
	return next(srv, &noting{stream, s, info.FullMethod})
}

// noting notes the messages of a stream.
type noting struct {
	grpc.ServerStream
	store  *store
	method string
}

func (n *noting) RecvMsg(m any) error {
	err := n.ServerStream.RecvMsg(m)
	if err == nil {
		n.store.note(n.Context(), n.method, m)
	}
	return err
}

// openStore serves a shop on loopback until the test ends.
func openStore(t *testing.T) *store {
	t.Helper()
	s := &store{}
	described, err := shop.New(today) // its implementations are not called
	if err == nil {
		err = s.fill(0)
	}
	if err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for _, b := range described.Backends() {
		l := listen(t)
		srv := grpc.NewServer(grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream))
		b.Register(switched{s, srv})
		var wg sync.WaitGroup
		wg.Go(func() { _ = srv.Serve(l) })
		t.Cleanup(func() { srv.Stop(); wg.Wait() })
		addresses = append(addresses, strings.ToUpper(b.Name), l.Addr().String())
	}
	s.addresses = strings.NewReplacer(addresses...)
	return s
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// gatehouseConfig has the shop's five services; a profile's lines follow.
const gatehouseConfig = `
listeners:
  http: {address: "127.0.0.1:0"}
  grpc: {disabled: true}
  admin: {disabled: true}
upstreams:
  - {name: catalog, target: "passthrough:///CATALOG", schema: {linked: true}}
  - {name: pricing, target: "passthrough:///PRICING", schema: {linked: true}}
  - {name: inventory, target: "passthrough:///INVENTORY", schema: {linked: true}}
  - {name: reviews, target: "passthrough:///REVIEWS", schema: {linked: true}}
  - {name: orders, target: "passthrough:///ORDERS", schema: {linked: true}}
expose:
  - {select: "shop.catalog.v1.*", upstream: catalog, policy: {auth: {public: true}, rate_limit: {unlimited: true}, timeout: 0s, retry: {disabled: true}, breaker: {disabled: true}, fallback: {disabled: true}, cache: {disabled: true}, idempotency: {disabled: true}}}
  - {select: "shop.pricing.v1.*", upstream: pricing, policy: {auth: {public: true}, rate_limit: {unlimited: true}, timeout: 0s, retry: {disabled: true}, breaker: {disabled: true}, fallback: {disabled: true}, cache: {disabled: true}, idempotency: {disabled: true}}}
  - {select: "shop.inventory.v1.*", upstream: inventory, policy: {auth: {public: true}, rate_limit: {unlimited: true}, timeout: 0s, retry: {disabled: true}, breaker: {disabled: true}, fallback: {disabled: true}, cache: {disabled: true}, idempotency: {disabled: true}}}
  - {select: "shop.reviews.v1.*", upstream: reviews, policy: {auth: {public: true}, rate_limit: {unlimited: true}, timeout: 0s, retry: {disabled: true}, breaker: {disabled: true}, fallback: {disabled: true}, cache: {disabled: true}, idempotency: {disabled: true}}}
  - {select: "shop.orders.v1.*", upstream: orders, policy: {auth: {public: true}, rate_limit: {unlimited: true}, timeout: 0s, retry: {disabled: true}, breaker: {disabled: true}, fallback: {disabled: true}, cache: {disabled: true}, idempotency: {disabled: true}}}
`

// openGateway is a gateway in front of the store.
func openGateway(t *testing.T, s *store, more string) *live.Gateway {
	t.Helper()
	file, err := config.Parse("difftest.yaml", []byte(s.addresses.Replace(gatehouseConfig)+more))
	if err != nil {
		t.Fatal(err)
	}
	g, err := live.New(t.Context(), live.Options{Config: file, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

// serveGatehouse returns the address at which the gateway takes HTTP.
func serveGatehouse(t *testing.T, g *live.Gateway) string {
	t.Helper()
	srv, err := g.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return srv.Address("http")
}

// serveReference returns the address of the generated facade, whose clients
// are built on the gateway's connection.
func serveReference(t *testing.T, g *live.Gateway, options ...runtime.ServeMuxOption) string {
	t.Helper()
	options = append(options, runtime.WithMetadata(func(_ context.Context, r *http.Request) metadata.MD {
		return metadata.Pairs(requestKey, r.Header.Get(requestKey))
	}))
	mux, conn, ctx := runtime.NewServeMux(options...), g.Conn(), t.Context()
	for _, err := range []error{
		catalogv1.RegisterCatalogServiceHandlerClient(ctx, mux, catalogv1.NewCatalogServiceClient(conn)),
		pricingv1.RegisterPricingServiceHandlerClient(ctx, mux, pricingv1.NewPricingServiceClient(conn)),
		inventoryv1.RegisterInventoryServiceHandlerClient(ctx, mux, inventoryv1.NewInventoryServiceClient(conn)),
		reviewsv1.RegisterReviewsServiceHandlerClient(ctx, mux, reviewsv1.NewReviewsServiceClient(conn)),
		ordersv1.RegisterOrdersServiceHandlerClient(ctx, mux, ordersv1.NewOrdersServiceClient(conn)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	srv := httptest.NewUnstartedServer(mux)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}
