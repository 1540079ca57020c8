package shop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gatehouse-dev/gatehouse/examples/shop"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	ordersv1 "github.com/gatehouse-dev/gatehouse/gen/shop/orders/v1"
	pricingv1 "github.com/gatehouse-dev/gatehouse/gen/shop/pricing/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
)

// noon is the moment at which all tests happen; seeded sales are on.
func noon() time.Time { return time.Date(2026, time.June, 15, 12, 0, 0, 0, time.UTC) }

// clients are those of one shop, each with a server of its own behind it.
type clients struct {
	catalog   catalogv1.CatalogServiceClient
	pricing   pricingv1.PricingServiceClient
	inventory inventoryv1.InventoryServiceClient
	reviews   reviewsv1.ReviewsServiceClient
	orders    ordersv1.OrdersServiceClient
	conns     map[string]*grpc.ClientConn // by backend name
}

func open(t *testing.T) clients {
	t.Helper()
	conns := map[string]*grpc.ClientConn{}
	for _, backend := range backends(t) {
		conns[backend.Name] = serve(t, backend)
	}
	return clients{
		catalog:   catalogv1.NewCatalogServiceClient(conns["catalog"]),
		pricing:   pricingv1.NewPricingServiceClient(conns["pricing"]),
		inventory: inventoryv1.NewInventoryServiceClient(conns["inventory"]),
		reviews:   reviewsv1.NewReviewsServiceClient(conns["reviews"]),
		orders:    ordersv1.NewOrdersServiceClient(conns["orders"]),
		conns:     conns,
	}
}

func backends(t *testing.T) []shop.Backend {
	t.Helper()
	s, err := shop.New(noon)
	if err != nil {
		t.Fatal(err)
	}
	return s.Backends()
}

func serve(t *testing.T, backend shop.Backend) *grpc.ClientConn {
	t.Helper()
	server, listener := backend.NewServer(), bufconn.Listen(1<<20)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///"+backend.Name,
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		// A short test may stop the server before it has begun to serve.
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return conn
}

func TestBackendsAnswerHealthAndReflection(t *testing.T) {
	t.Parallel()
	c := open(t)
	for _, backend := range backends(t) {
		conn := c.conns[backend.Name]
		health, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(),
			&grpc_health_v1.HealthCheckRequest{Service: backend.Service})
		if err != nil || health.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("%s: health: %v, %v", backend.Name, health, err)
		}
		stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = stream.Send(&grpc_reflection_v1.ServerReflectionRequest{
			MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{
				FileContainingSymbol: backend.Service,
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil || len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
			t.Errorf("%s: reflection: %v, %v", backend.Name, answer, err)
		}
	}
}

// An empty request gets an answer or a refusal that blames the request.
func TestEveryUnaryMethodIsImplemented(t *testing.T) {
	t.Parallel()
	c := open(t)
	for _, backend := range backends(t) {
		desc, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(backend.Service))
		if err != nil {
			t.Fatal(err)
		}
		methods := desc.(protoreflect.ServiceDescriptor).Methods()
		for i := range methods.Len() {
			method := methods.Get(i)
			if method.IsStreamingClient() || method.IsStreamingServer() {
				continue
			}
			name := "/" + backend.Service + "/" + string(method.Name())
			err := c.conns[backend.Name].Invoke(t.Context(), name, &emptypb.Empty{}, &emptypb.Empty{})
			switch code := status.Code(err); code {
			case codes.OK, codes.InvalidArgument, codes.NotFound:
			default:
				t.Errorf("%s: got %v, want OK, InvalidArgument or NotFound", name, err)
			}
		}
	}
}

func TestTwoShopsHoldTheSame(t *testing.T) {
	t.Parallel()
	var first *catalogv1.ListProductsResponse
	for range 2 {
		list, err := open(t).catalog.ListProducts(t.Context(), &catalogv1.ListProductsRequest{PageSize: 200})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = list
		}
		if !proto.Equal(first, list) {
			t.Error("two shops differ")
		}
	}
}

// Benchmarks and documents rely on the size of a page.
func TestHundredProductsAreAbout85KB(t *testing.T) {
	t.Parallel()
	list, err := open(t).catalog.ListProducts(t.Context(), &catalogv1.ListProductsRequest{PageSize: 100})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(list.GetProducts()); got != 100 {
		t.Fatalf("got %d products, want 100", got)
	}
	data, err := protojson.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer // protojson puts in spaces by chance
	if err := json.Compact(&compact, data); err != nil {
		t.Fatal(err)
	}
	if n := compact.Len(); n < 82_000 || n > 92_000 {
		t.Errorf("100 products are %d bytes of JSON, want about 85 KB", n)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	c := open(t)
	const mug = "products/enamel-mug-blue"
	tests := []struct {
		name   string
		call   func(context.Context) error
		code   codes.Code
		detail any
	}{
		{"unknown product", func(ctx context.Context) error {
			_, err := c.catalog.GetProduct(ctx, &catalogv1.GetProductRequest{Name: "products/unicorn"})
			return err
		}, codes.NotFound, &errdetails.ResourceInfo{}},
		{"unknown currency", func(ctx context.Context) error {
			_, err := c.catalog.GetProduct(ctx, &catalogv1.GetProductRequest{Name: mug, Currency: "XXX"})
			return err
		}, codes.InvalidArgument, &errdetails.BadRequest{}},
		{"product without a label", func(ctx context.Context) error {
			_, err := c.catalog.CreateProduct(ctx, &catalogv1.CreateProductRequest{Product: &catalogv1.Product{}})
			return err
		}, codes.InvalidArgument, &errdetails.BadRequest{}},
		{"product that exists", func(ctx context.Context) error {
			_, err := c.catalog.CreateProduct(ctx, &catalogv1.CreateProductRequest{
				ProductId: "enamel-mug-blue",
				Product:   &catalogv1.Product{DisplayName: "Mug", Shelf: "shelves/kitchen"},
			})
			return err
		}, codes.AlreadyExists, &errdetails.ResourceInfo{}},
		{"stale etag", func(ctx context.Context) error {
			_, err := c.catalog.DeleteProduct(ctx, &catalogv1.DeleteProductRequest{Name: mug, Etag: "old"})
			return err
		}, codes.Aborted, &errdetails.ErrorInfo{}},
		{"page of negative size", func(ctx context.Context) error {
			_, err := c.pricing.ListPrices(ctx, &pricingv1.ListPricesRequest{PageSize: -1})
			return err
		}, codes.InvalidArgument, &errdetails.BadRequest{}},
		{"token of another list", func(ctx context.Context) error {
			page, err := c.pricing.ListPrices(ctx, &pricingv1.ListPricesRequest{PageSize: 1})
			if err != nil {
				return err
			}
			_, err = c.pricing.ListPrices(ctx, &pricingv1.ListPricesRequest{PageToken: page.GetNextPageToken(), OnSale: true})
			return err
		}, codes.InvalidArgument, &errdetails.BadRequest{}},
		{"wrong coupon", func(ctx context.Context) error {
			_, err := c.pricing.QuoteBasket(ctx, &pricingv1.QuoteBasketRequest{
				Lines:     []*pricingv1.QuoteBasketRequest_Line{{Product: mug, Quantity: 1}},
				Reduction: &pricingv1.QuoteBasketRequest_Coupon{Coupon: "FREE"},
			})
			return err
		}, codes.InvalidArgument, &errdetails.BadRequest{}},
		{"more than there is", func(ctx context.Context) error {
			_, err := c.inventory.AdjustStock(ctx, &inventoryv1.AdjustStockRequest{
				Name: someStock(t, c), Delta: -1000, Reason: inventoryv1.Movement_REASON_SHIPPED,
			})
			return err
		}, codes.FailedPrecondition, &errdetails.ErrorInfo{}},
		{"six stars", func(ctx context.Context) error {
			_, err := c.reviews.CreateReview(ctx, &reviewsv1.CreateReviewRequest{
				Parent: mug, Review: &reviewsv1.Review{Rating: 6, Title: "!"},
			})
			return err
		}, codes.InvalidArgument, &errdetails.BadRequest{}},
		{"empty order", func(ctx context.Context) error {
			_, err := c.orders.CreateOrder(ctx, &ordersv1.CreateOrderRequest{Parent: "customers/me"})
			return err
		}, codes.InvalidArgument, &errdetails.BadRequest{}},
	}
	for _, test := range tests {
		err := test.call(t.Context())
		st := status.Convert(err)
		if st.Code() != test.code {
			t.Errorf("%s: got %v, want %v", test.name, err, test.code)
			continue
		}
		if len(st.Details()) != 1 || !sameType(st.Details()[0], test.detail) {
			t.Errorf("%s: got details %v, want one %T", test.name, st.Details(), test.detail)
		}
	}
}

func sameType(a, b any) bool {
	first, ok := a.(proto.Message)
	second, ok2 := b.(proto.Message)
	return ok && ok2 && first.ProtoReflect().Descriptor() == second.ProtoReflect().Descriptor()
}

func someStock(t *testing.T, c clients) string {
	t.Helper()
	list, err := c.inventory.ListStock(t.Context(), &inventoryv1.ListStockRequest{Parent: "warehouses/kassel", PageSize: 1})
	if err != nil || len(list.GetStock()) != 1 {
		t.Fatalf("got %v, %v; want one stock", list, err)
	}
	return list.GetStock()[0].GetName()
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	c := open(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 10 {
				product, err := c.catalog.CreateProduct(t.Context(), &catalogv1.CreateProductRequest{
					Product: &catalogv1.Product{DisplayName: "Tin Whistle", Shelf: "shelves/kitchen"},
				})
				if err != nil {
					t.Error(err)
					return
				}
				_, err = c.catalog.SearchProducts(t.Context(), &catalogv1.SearchProductsRequest{Query: "whistle"})
				if err != nil {
					t.Error(err)
				}
				_, err = c.reviews.CreateReview(t.Context(), &reviewsv1.CreateReviewRequest{
					Parent: product.GetName(), Review: &reviewsv1.Review{Rating: 5, Title: "Loud"},
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	found, err := c.catalog.SearchProducts(t.Context(), &catalogv1.SearchProductsRequest{Query: "whistle", PageSize: 200})
	if err != nil || len(found.GetResults()) != 80 {
		t.Errorf("got %d whistles, %v; want 80", len(found.GetResults()), err)
	}
}

// collect reads a stream to its end.
func collect[M any](t *testing.T, receive func() (*M, error)) []*M {
	t.Helper()
	var list []*M
	for {
		m, err := receive()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
}
