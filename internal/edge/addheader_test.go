package edge_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// limiting adds a limiter's headers to every answer, and refuses whoever asks
// for it.
func limiting() interceptors.Interceptor {
	return interceptors.Around("limit", func(ctx context.Context, _ string) (context.Context, func(error), error) {
		call.From(ctx).AddHeader("ratelimit", `"burst";r=0;t=2`, "ratelimit-policy", `"burst";q=100;w=60`)
		md, _ := metadata.FromOutgoingContext(ctx)
		if len(md["x-refuse"]) == 0 {
			return ctx, nil, nil
		}
		call.From(ctx).AddHeader("grpc-retry-pushback-ms", "1500")
		st, err := status.New(codes.ResourceExhausted, "slow down").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)})
		if err != nil {
			return ctx, nil, err
		}
		return ctx, nil, call.RefuseStatus(call.Client, st).By("limit")
	})
}

func startLimiting(t *testing.T) *gatewaytest.Gateway {
	t.Helper()
	fails := func(_ any, ss grpc.ServerStream) error {
		_ = ss.SetHeader(metadata.MD{"x-backend": {"1"}})
		return status.Error(codes.FailedPrecondition, "the backend says no")
	}
	file, err := config.New(gatewaytest.Config(gatewaytest.Backend(t, gatewaytest.Script{
		edgetest.GetProduct: edgetest.FourKinds[edgetest.GetProduct], edgetest.WatchStock: edgetest.FourKinds[edgetest.WatchStock], edgetest.ImportCounts: edgetest.FourKinds[edgetest.ImportCounts],
		"/shop.catalog.v1.CatalogService/GetShelf": fails, "/shop.inventory.v1.InventoryService/GetStock": fails,
	})))
	if err != nil {
		t.Fatal(err)
	}
	return gatewaytest.StartOptions(t, live.Options{Config: file, Custom: []interceptors.Interceptor{limiting()}})
}

func TestAddedHeadersREST(t *testing.T) {
	t.Parallel()
	g := startLimiting(t)
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		for _, tc := range []struct {
			method, target, body string
			refuse               bool
			want                 int
			retry                string
		}{
			{method: "GET", target: edgetest.ProductPath, want: 200},
			{method: "HEAD", target: edgetest.ProductPath, want: 200},
			{method: "GET", target: "/v1/shelves/a", want: 400},
			{method: "GET", target: edgetest.ProductPath, refuse: true, want: 429, retry: "2"},
			{method: "GET", target: edgetest.WatchPath + "?maxMovements=2", want: 200},
			{method: "GET", target: edgetest.WatchPath, want: 200}, // a stream of nothing
			{method: "GET", target: edgetest.WatchPath, refuse: true, want: 429, retry: "2"},
			{method: "POST", target: "/v1/stock:importCounts", body: "{}\n{}\n", want: 200},
			{method: "POST", target: "/v1/stock:importCounts", body: "{}\n{}\n", refuse: true, want: 429, retry: "2"},
		} {
			headers := []string{"Te: trailers"}
			if tc.refuse {
				headers = append(headers, "X-Refuse: 1")
			}
			got := gatewaytest.Do(t, client, g.Request(t, tc.method, tc.target, tc.body, headers...))
			if got.StatusCode != tc.want || got.Header.Get("Retry-After") != tc.retry {
				t.Errorf("%s %s: got %d, retry after %q: %s", tc.method, tc.target, got.StatusCode, got.Header.Get("Retry-After"), got.Text)
			}
			if !slices.Equal(got.Header["Ratelimit"], []string{`"burst";r=0;t=2`}) || !slices.Equal(got.Header["Ratelimit-Policy"], []string{`"burst";q=100;w=60`}) {
				t.Errorf("%s %s: header %v", tc.method, tc.target, got.Header)
			}
			if got.Trailer.Get("Ratelimit") != "" || got.Header.Get("Grpc-Retry-Pushback-Ms") != "" {
				t.Errorf("%s %s: header %v, trailer %v", tc.method, tc.target, got.Header, got.Trailer)
			}
		}
	})
}

// TestAddedHeadersGRPC: in the header of an answer with messages, in the trailer
// of one without.
func TestAddedHeadersGRPC(t *testing.T) {
	t.Parallel()
	g := startLimiting(t)
	for door, address := range map[string]string{"native": g.GRPC, "http": g.HTTP} {
		cc := gatewaytest.Dial(t, address, nil)
		catalog, inventory := catalogv1.NewCatalogServiceClient(cc), inventoryv1.NewInventoryServiceClient(cc)
		for _, tc := range []struct {
			name  string
			code  codes.Code
			inEnd bool
			do    func(context.Context, ...grpc.CallOption) (header, trailer metadata.MD, err error)
		}{
			{name: "unary", code: codes.OK, do: unaryCall(func(ctx context.Context, o ...grpc.CallOption) error {
				_, err := catalog.GetProduct(ctx, &catalogv1.GetProductRequest{Name: "products/a"}, o...)
				return err
			})},
			{name: "unary refused", code: codes.ResourceExhausted, inEnd: true, do: unaryCall(func(ctx context.Context, o ...grpc.CallOption) error {
				_, err := catalog.GetProduct(metadata.AppendToOutgoingContext(ctx, "x-refuse", "1"), &catalogv1.GetProductRequest{}, o...)
				return err
			})},
			{name: "unary failed", code: codes.FailedPrecondition, inEnd: true, do: unaryCall(func(ctx context.Context, o ...grpc.CallOption) error {
				_, err := catalog.GetShelf(ctx, &catalogv1.GetShelfRequest{Name: "shelves/a"}, o...)
				return err
			})},
			{name: "stream", code: codes.OK, do: watchCall(inventory, 2, false)},
			{name: "stream of nothing", code: codes.OK, inEnd: true, do: watchCall(inventory, 0, false)},
			{name: "stream refused", code: codes.ResourceExhausted, inEnd: true, do: watchCall(inventory, 2, true)},
		} {
			header, trailer, err := tc.do(edgetest.Soon(t))
			if status.Code(err) != tc.code {
				t.Errorf("%s, %s: %v", door, tc.name, err)
			}
			here, there := header, trailer
			if tc.inEnd {
				here, there = trailer, header
			}
			if !slices.Equal(here["ratelimit"], []string{`"burst";r=0;t=2`}) || len(there["ratelimit"]) != 0 {
				t.Errorf("%s, %s: header %v, trailer %v", door, tc.name, header, trailer)
			}
			if tc.code != codes.ResourceExhausted {
				continue
			}
			if len(status.Convert(err).Details()) != 1 || !slices.Equal(trailer["grpc-retry-pushback-ms"], []string{"1500"}) {
				t.Errorf("%s, %s: details %v, trailer %v", door, tc.name, status.Convert(err).Details(), trailer)
			}
		}
		// A refusal is one block of headers and nothing else: a client may retry it.
		h2 := newRawH2(t, address)
		got := h2.do(edgetest.Frame(0, nil), ":method", "POST", ":scheme", "http", ":authority", "a", ":path", edgetest.GetProduct,
			"content-type", "application/grpc", "te", "trailers", "x-refuse", "1")
		if got.blocks != 1 || got.body != "" || got.fields["grpc-status"] != "8" || got.fields["grpc-retry-pushback-ms"] != "1500" || !strings.Contains(got.fields["ratelimit"], "burst") {
			t.Errorf("%s: %d blocks, %v", door, got.blocks, got.fields)
		}
	}
}

type answeredCall = func(context.Context, ...grpc.CallOption) (header, trailer metadata.MD, err error)

func unaryCall(do func(context.Context, ...grpc.CallOption) error) answeredCall {
	return func(ctx context.Context, _ ...grpc.CallOption) (header, trailer metadata.MD, err error) {
		err = do(ctx, grpc.Header(&header), grpc.Trailer(&trailer))
		return header, trailer, err
	}
}

func watchCall(c inventoryv1.InventoryServiceClient, n int32, refuse bool) answeredCall {
	return func(ctx context.Context, _ ...grpc.CallOption) (header, trailer metadata.MD, err error) {
		if refuse {
			ctx = metadata.AppendToOutgoingContext(ctx, "x-refuse", "1")
		}
		stream, err := c.WatchStock(ctx, &inventoryv1.WatchStockRequest{Name: "w", MaxMovements: n})
		for err == nil {
			_, err = stream.Recv()
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		header, _ = stream.Header()
		return header, stream.Trailer(), err
	}
}
