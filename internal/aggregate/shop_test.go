package aggregate_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	pagesv1 "github.com/gatehouse-dev/gatehouse/gen/shop/pages/v1"
	pricingv1 "github.com/gatehouse-dev/gatehouse/gen/shop/pricing/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

const (
	getProduct        = "shop.catalog.v1.CatalogService.GetProduct"
	getPrice          = "shop.pricing.v1.PricingService.GetPrice"
	listStock         = "shop.inventory.v1.InventoryService.ListStock"
	listReviews       = "shop.reviews.v1.ReviewsService.ListReviews"
	getReviewer       = "shop.reviews.v1.ReviewsService.GetReviewer"
	batchGetReviewers = "shop.reviews.v1.ReviewsService.BatchGetReviewers"
	getProductPage    = "shop.pages.v1.PagesService.GetProductPage"
)

// shop is the backend of a test. Its customers write the reviews, in this order;
// "" is one without a customer.
type shop struct {
	customers []string
	// hook, if not nil, sees each call, by the full name of its RPC, and fails it.
	hook func(ctx context.Context, rpc string, request proto.Message) error

	mu       sync.Mutex
	requests map[string][]proto.Message
	metadata map[string][]metadata.MD
}

// calls is how often an RPC was called.
func (s *shop) calls(rpc string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests[rpc])
}

func serve[Q, A any, PQ gatewaytest.Message[Q], PA gatewaytest.Message[A]](s *shop, rpc string, do func(PQ) (PA, error)) grpc.StreamHandler {
	return gatewaytest.Unary(func(ctx context.Context, in PQ) (PA, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		s.mu.Lock()
		s.requests[rpc] = append(s.requests[rpc], in)
		s.metadata[rpc] = append(s.metadata[rpc], md)
		s.mu.Unlock()
		if s.hook != nil {
			if err := s.hook(ctx, rpc, in); err != nil {
				return nil, err
			}
		}
		return do(in)
	})
}

func wireName(rpc string) string {
	i := strings.LastIndex(rpc, ".")
	return "/" + rpc[:i] + "/" + rpc[i+1:]
}

func (s *shop) start(t *testing.T) string {
	t.Helper()
	s.requests, s.metadata = map[string][]proto.Message{}, map[string][]metadata.MD{}
	return gatewaytest.Backend(t, gatewaytest.Script{
		wireName(getProduct): serve(s, getProduct, func(in *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
			return &catalogv1.Product{Name: in.GetName(), DisplayName: "Mug"}, nil
		}),
		wireName(getPrice): serve(s, getPrice, func(in *pricingv1.GetPriceRequest) (*pricingv1.Price, error) {
			return &pricingv1.Price{Name: in.GetName()}, nil
		}),
		wireName(listStock): serve(s, listStock, func(in *inventoryv1.ListStockRequest) (*inventoryv1.ListStockResponse, error) {
			return &inventoryv1.ListStockResponse{Stock: []*inventoryv1.Stock{{Name: in.GetParent(), Product: strings.Join(in.GetProducts(), " ")}}}, nil
		}),
		wireName(listReviews): serve(s, listReviews, func(*reviewsv1.ListReviewsRequest) (*reviewsv1.ListReviewsResponse, error) {
			return s.reviews(), nil
		}),
		wireName(getReviewer): serve(s, getReviewer, func(in *reviewsv1.GetReviewerRequest) (*reviewsv1.Reviewer, error) {
			return &reviewsv1.Reviewer{Name: in.GetName()}, nil
		}),
		wireName(batchGetReviewers): serve(s, batchGetReviewers, func(in *reviewsv1.BatchGetReviewersRequest) (*reviewsv1.BatchGetReviewersResponse, error) {
			out := &reviewsv1.BatchGetReviewersResponse{}
			for _, name := range in.GetNames() {
				out.Reviewers = append(out.Reviewers, &reviewsv1.Reviewer{Name: name})
			}
			return out, nil
		}),
	})
}

func (s *shop) reviews() *reviewsv1.ListReviewsResponse {
	out := &reviewsv1.ListReviewsResponse{}
	for i, c := range s.customers {
		r := &reviewsv1.Review{Name: fmt.Sprintf("products/mug/reviews/%d", i), Author: &reviewsv1.Review_Nickname{Nickname: "nick"}}
		if c != "" {
			r.Author = &reviewsv1.Review_Customer{Customer: "customers/" + c}
		}
		out.Reviews = append(out.Reviews, r)
	}
	return out
}

// withPages adds the composed service.
func withPages(c *configv1.Config) {
	c.Upstreams = append(c.Upstreams, &configv1.Upstream{
		Name: "pages", Composed: true, Schema: &configv1.Schema{Source: &configv1.Schema_Linked{Linked: true}},
	})
	c.Expose = append(c.Expose, &configv1.Exposure{Select: "shop.pages.v1.*", Upstream: "pages", Policy: proto.CloneOf(c.GetExpose()[0].GetPolicy())})
}

// composed states a composition of the page, in the place of the contract's.
func composed(steps ...*composev1.Step) gatewaytest.Change {
	return func(c *configv1.Config) {
		c.Compose = append(c.Compose, &composev1.Composition{Rpc: getProductPage, Steps: steps, Missing: "missing"})
	}
}

// page starts a gateway in front of the shop.
func (s *shop) page(t *testing.T, changes ...gatewaytest.Change) *gatewaytest.Gateway {
	t.Helper()
	return gatewaytest.Start(t, gatewaytest.Config(s.start(t), append([]gatewaytest.Change{withPages}, changes...)...))
}

// outcome is how a call ended, in the same words for all doors.
type outcome struct {
	page    *pagesv1.ProductPage
	code    codes.Code
	message string
	header  metadata.MD
	trailer metadata.MD
}

func (o *outcome) String() string {
	return fmt.Sprintf("%v %q, %v, header %v, trailer %v", o.code, o.message, o.page, o.header, o.trailer)
}

type door struct {
	name string
	call func(ctx context.Context, t *testing.T, g *gatewaytest.Gateway, headers ...string) *outcome
}

var doors = []door{{"REST", overREST}, {"gRPC", overGRPC}, {"inside the process", inProcess}}

const product = "products/mug"

// overREST asks for trailers, too.
func overREST(ctx context.Context, t *testing.T, g *gatewaytest.Gateway, headers ...string) *outcome {
	t.Helper()
	r := g.Request(t, "GET", "/v1/pages/"+product, "", append(headers, "TE: trailers")...).WithContext(ctx)
	a := gatewaytest.Do(t, gatewaytest.Client(t), r)
	out := &outcome{page: new(pagesv1.ProductPage), header: lower(a.Header), trailer: lower(a.Trailer)}
	if a.StatusCode == http.StatusOK {
		if err := protojson.Unmarshal([]byte(a.Text), out.page); err != nil {
			t.Fatalf("%v: %s", err, a.Text)
		}
		return out
	}
	var told struct{ Status, Message string }
	unwrap(t, a.Text, &told)
	out.message = told.Message
	for c := range codes.Unauthenticated + 1 {
		if call.CodeName(c) == told.Status {
			out.code = c
		}
	}
	return out
}

func lower(h http.Header) metadata.MD {
	md := metadata.MD{}
	for key, values := range h {
		md.Append(key, values...)
	}
	return md
}

func overGRPC(ctx context.Context, t *testing.T, g *gatewaytest.Gateway, headers ...string) *outcome {
	t.Helper()
	return overConn(ctx, gatewaytest.Dial(t, g.GRPC, nil), headers)
}

func inProcess(ctx context.Context, _ *testing.T, g *gatewaytest.Gateway, headers ...string) *outcome {
	return overConn(ctx, g.Gateway.Conn(), headers)
}

func overConn(ctx context.Context, cc grpc.ClientConnInterface, headers []string) *outcome {
	for _, h := range headers {
		key, value, _ := strings.Cut(h, ": ")
		ctx = metadata.AppendToOutgoingContext(ctx, key, value)
	}
	out := new(outcome)
	page, err := pagesv1.NewPagesServiceClient(cc).GetProductPage(ctx, &pagesv1.GetProductPageRequest{Product: product},
		grpc.Header(&out.header), grpc.Trailer(&out.trailer))
	out.page, out.code, out.message = page, status.Code(err), status.Convert(err).Message()
	return out
}
