// Package edgetest has what the tests of several doors share: a backend with RPCs of
// each kind, bad input, and views that do without JSON.
package edgetest

import (
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// The RPCs that the tests call, one of each kind.
const (
	GetProduct      = "/shop.catalog.v1.CatalogService/GetProduct"
	WatchStock      = "/shop.inventory.v1.InventoryService/WatchStock"
	ImportCounts    = "/shop.inventory.v1.InventoryService/ImportCounts"
	ModerateReviews = "/shop.reviews.v1.ReviewsService/ModerateReviews"
)

// Paths of GetProduct and WatchStock over REST.
const (
	ProductPath = "/v1/products/boots"
	WatchPath   = "/v1/warehouses/w/stock/s:watch"
)

// FourKinds is a backend with one RPC of each kind.
var FourKinds = gatewaytest.Script{
	GetProduct: gatewaytest.Unary(func(_ context.Context, in *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
		return &catalogv1.Product{Name: in.GetName(), DisplayName: strings.Repeat("Boots ", 100)}, nil
	}),
	WatchStock: gatewaytest.ServerStreaming(func(_ context.Context, in *inventoryv1.WatchStockRequest, send func(*inventoryv1.WatchStockResponse) error) error {
		for i := range in.GetMaxMovements() {
			if err := send(&inventoryv1.WatchStockResponse{Name: in.GetName(), Movement: &inventoryv1.Movement{OnHand: int64(i)}}); err != nil {
				return err
			}
		}
		return nil
	}),
	ImportCounts: gatewaytest.Duplex(func(_ context.Context, receive func() (*inventoryv1.ImportCountsRequest, error), send func(*inventoryv1.ImportCountsResponse) error) error {
		for out := new(inventoryv1.ImportCountsResponse); ; out.Imported++ {
			in, err := receive()
			if err == io.EOF {
				return send(out)
			}
			if err != nil {
				return err
			}
			out.Difference += in.GetCounted()
		}
	}),
	ModerateReviews: gatewaytest.Duplex(func(_ context.Context, receive func() (*reviewsv1.ModerateReviewsRequest, error), send func(*reviewsv1.ModerateReviewsResponse) error) error {
		for {
			in, err := receive()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := send(&reviewsv1.ModerateReviewsResponse{DraftId: in.GetDraftId()}); err != nil {
				return err
			}
		}
	}),
}

// Product is a backend of GetProduct alone.
func Product(t *testing.T, do grpc.StreamHandler) string {
	t.Helper()
	return gatewaytest.Backend(t, gatewaytest.Script{GetProduct: do})
}

// SendStock sends an answer of WatchStock.
type SendStock = func(*inventoryv1.WatchStockResponse) error

// Watching is a backend of WatchStock alone.
func Watching(t *testing.T, do func(context.Context, SendStock) error) string {
	t.Helper()
	return gatewaytest.Backend(t, gatewaytest.Script{
		WatchStock: gatewaytest.ServerStreaming(func(ctx context.Context, _ *inventoryv1.WatchStockRequest, send func(*inventoryv1.WatchStockResponse) error) error {
			return do(ctx, send)
		}),
	})
}

// OverHTTP runs a test over HTTP/1.1 and over HTTP/2.
func OverHTTP(t *testing.T, test func(*testing.T, *http.Client)) {
	t.Helper()
	t.Run("HTTP/1.1", func(t *testing.T) { test(t, gatewaytest.Client(t)) })
	t.Run("HTTP/2", func(t *testing.T) { test(t, gatewaytest.Client(t, gatewaytest.H2C)) })
}

// Soon is a context that ends when a test has waited long enough.
func Soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// Frame is one message as gRPC sends it.
func Frame(compressed byte, b []byte) string {
	head := append([]byte{compressed}, 0, 0, 0, 0)
	binary.BigEndian.PutUint32(head[1:], uint32(len(b)))
	return string(append(head, b...))
}

// Wire is the wire form of a message.
func Wire(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// leaks are texts that no client may read: addresses, and the words of parsers
// and libraries.
var leaks = []string{
	"127.0.0.1", "strconv", "rpc error", "transport:", "json:", "proto:", "protobuf", "goroutine", "panic", "url.Parse",
	"net/url", "invalid syntax", "dial tcp", "connection refused", "EOF", "context ", "http2:", "RST_STREAM", "grpc:", "malformed HTTP", "frame too large",
}

// CheckNoLeak fails the test if a text for clients has what they may not read.
func CheckNoLeak(t *testing.T, text string) {
	t.Helper()
	for _, leak := range leaks {
		if strings.Contains(text, leak) {
			t.Errorf("the client was told %q: %s", leak, text)
		}
	}
}

// SmallBody is how many bytes a body has at most under SmallLimits.
const SmallBody = 4096

// SmallLimits bounds bodies and messages by SmallBody.
func SmallLimits(c *configv1.Config) {
	c.Limits = &configv1.Limits{MaxBodyBytes: proto.Int64(SmallBody), MaxMessageBytes: proto.Int64(SmallBody)}
}

// ManyHeaders are n fields of a header.
func ManyHeaders(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = "X-Many: 1"
	}
	return list
}

// Plain is a view that shows the bytes as they are.
type Plain struct{}

// AppendRequest appends the body.
func (Plain) AppendRequest(dst []byte, in *call.Input) ([]byte, error) {
	return append(dst, in.Body...), nil
}

// AppendResponse appends the answer.
func (Plain) AppendResponse(dst, wire []byte, _ call.Lifetime) ([]byte, string, bool, error) {
	return append(dst, wire...), "", false, nil
}

// RawBody is false.
func (Plain) RawBody() bool { return false }

// RawAnswer is false.
func (Plain) RawAnswer() bool { return false }

// Sink is a writer that keeps nothing.
type Sink struct{ Headers http.Header }

// Header returns Headers.
func (s *Sink) Header() http.Header { return s.Headers }

// WriteHeader does nothing.
func (s *Sink) WriteHeader(int) {}

// Write does nothing.
func (s *Sink) Write(b []byte) (int, error) { return len(b), nil }

// WithTimeout sets the policy's time limit of all methods, 0 for none.
func WithTimeout(d time.Duration) gatewaytest.Change {
	return func(c *configv1.Config) { c.GetExpose()[0].GetPolicy().Timeout = durationpb.New(d) }
}

// WithErrors sets the format of errors.
func WithErrors(f configv1.Errors_Format) gatewaytest.Change {
	return func(c *configv1.Config) { c.Errors = &configv1.Errors{Format: f} }
}

// WithProxies trusts proxies.
func WithProxies(networks ...string) gatewaytest.Change {
	return func(c *configv1.Config) { c.GetListeners().GetHttp().TrustedProxies = networks }
}

// BeginsStream is the backend of streams: it is asked before the client's first
// message is known to be good, and gets none.
func BeginsStream(_ any, ss grpc.ServerStream) error {
	<-ss.Context().Done()
	return ss.Context().Err()
}
