package connect_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// RPCs of the shop, one of each kind.
var (
	getProduct      = connect.Spec{Procedure: edgetest.GetProduct, StreamType: connect.StreamTypeUnary, IdempotencyLevel: connect.IdempotencyNoSideEffects}
	watchStock      = connect.Spec{Procedure: edgetest.WatchStock, StreamType: connect.StreamTypeServer}
	importCounts    = connect.Spec{Procedure: edgetest.ImportCounts, StreamType: connect.StreamTypeClient}
	moderateReviews = connect.Spec{Procedure: edgetest.ModerateReviews, StreamType: connect.StreamTypeBidi}
)

// dialects are the ways in which connect-go's client speaks to the door.
var dialects = map[string][]connecthttp.Option{
	"connect, proto":        nil,
	"connect, json":         {connecthttp.WithProtoJSON()},
	"connect, GET":          {connecthttp.WithHTTPGet()},
	"connect, json, GET":    {connecthttp.WithHTTPGet(), connecthttp.WithProtoJSON()},
	"connect, proto, gzip":  {connecthttp.WithSendGzip()},
	"connect, GET, gzip":    {connecthttp.WithHTTPGet(), connecthttp.WithSendGzip()},
	"grpc-web, proto":       {connecthttp.WithGRPCWeb()},
	"grpc-web, json":        {connecthttp.WithGRPCWeb(), connecthttp.WithProtoJSON()},
	"grpc-web, proto, gzip": {connecthttp.WithGRPCWeb(), connecthttp.WithSendGzip()},
	"no compression":        {connecthttp.WithCompressors()},
}

// eachDialect runs a test in each dialect, over HTTP/1.1 and HTTP/2.
func eachDialect(t *testing.T, g *gatewaytest.Gateway, test func(t *testing.T, c *connect.Client, http2 bool)) {
	t.Helper()
	for name, options := range dialects {
		for _, version := range []string{"HTTP/1.1", "HTTP/2"} {
			t.Run(name+", "+version, func(t *testing.T) {
				test(t, client(t, g, version == "HTTP/2", options...), version == "HTTP/2")
			})
		}
	}
}

func client(t *testing.T, g *gatewaytest.Gateway, http2 bool, options ...connecthttp.Option) *connect.Client {
	t.Helper()
	var change []func(*http.Transport)
	if http2 {
		change = append(change, gatewaytest.H2C)
	}
	return connect.NewClient(connecthttp.NewTransport(gatewaytest.Client(t, change...), "http://"+g.HTTP, options...))
}

func TestFourKinds(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, edgetest.FourKinds)))
	eachDialect(t, g, func(t *testing.T, c *connect.Client, http2 bool) {
		checkUnary(t, c)
		checkServerStream(t, c)
		checkClientStream(t, c)
		if http2 {
			checkBidi(t, c)
		}
	})
}

func checkUnary(t *testing.T, c *connect.Client) {
	t.Helper()
	got := new(catalogv1.Product)
	if err := c.CallUnary(edgetest.Soon(t), getProduct, &catalogv1.GetProductRequest{Name: "products/boots"}, got); err != nil || got.GetName() != "products/boots" {
		t.Errorf("unary: got %v, %v", got, err)
	}
}

func checkServerStream(t *testing.T, c *connect.Client) {
	t.Helper()
	watch, err := c.CallServerStream(edgetest.Soon(t), watchStock, &inventoryv1.WatchStockRequest{Name: "w", MaxMovements: 100})
	if err != nil {
		t.Fatal(err)
	}
	for i := int64(0); ; i++ {
		m := new(inventoryv1.WatchStockResponse)
		err := watch.Receive(m)
		if errors.Is(err, io.EOF) && i == 100 {
			return
		}
		if err != nil || m.GetMovement().GetOnHand() != i {
			t.Fatalf("server stream: message %d is %v, %v", i, m, err)
		}
	}
}

func checkClientStream(t *testing.T, c *connect.Client) {
	t.Helper()
	upload, err := c.CallClientStream(edgetest.Soon(t), importCounts)
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if err := upload.Send(&inventoryv1.ImportCountsRequest{Counted: 2}); err != nil {
			t.Fatal(err)
		}
	}
	if err := upload.CloseSend(); err != nil {
		t.Fatal(err)
	}
	got := new(inventoryv1.ImportCountsResponse)
	if err := upload.Receive(got); err != nil || got.GetImported() != 500 || got.GetDifference() != 1000 {
		t.Errorf("client stream: got %v, %v", got, err)
	}
	if err := upload.Receive(got); !errors.Is(err, io.EOF) {
		t.Errorf("client stream: ends with %v", err)
	}
}

// checkBidi has each answer come before the next request goes.
func checkBidi(t *testing.T, c *connect.Client) {
	t.Helper()
	talk, err := c.CallClientStream(edgetest.Soon(t), moderateReviews)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(20) {
		got := new(reviewsv1.ModerateReviewsResponse)
		if err := talk.Send(&reviewsv1.ModerateReviewsRequest{DraftId: i}); err != nil {
			t.Fatal(err)
		}
		if err := talk.Receive(got); err != nil || got.GetDraftId() != i {
			t.Fatalf("bidi: answer %d: %v, %v", i, got, err)
		}
	}
	if err := talk.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := talk.Receive(new(reviewsv1.ModerateReviewsResponse)); !errors.Is(err, io.EOF) {
		t.Errorf("bidi: ends with %v", err)
	}
}

// TestMetadataAndErrors: headers, trailers and error details arrive at both ends, before
// and after the first message.
func TestMetadataAndErrors(t *testing.T) {
	t.Parallel()
	refusal, err := status.New(codes.FailedPrecondition, "sold out: 100 %, für immer").WithDetails(&errdetails.ErrorInfo{Reason: "SOLD_OUT"})
	if err != nil {
		t.Fatal(err)
	}
	reply := func(ctx context.Context) {
		sent, _ := metadata.FromIncomingContext(ctx)
		_ = grpc.SetHeader(ctx, metadata.Pairs("colour", "blue", "raw-bin", "\x00\xff"))
		_ = grpc.SetTrailer(ctx, metadata.Pairs("echo-bin", strings.Join(sent["mark-bin"], ","), "echo", strings.Join(sent["mark"], ",")))
	}
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, gatewaytest.Script{
		edgetest.GetProduct: gatewaytest.Unary(func(ctx context.Context, in *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
			reply(ctx)
			if in.GetName() == "products/gone" {
				return nil, refusal.Err()
			}
			return &catalogv1.Product{Name: in.GetName()}, nil
		}),
		edgetest.WatchStock: gatewaytest.ServerStreaming(func(ctx context.Context, in *inventoryv1.WatchStockRequest, send func(*inventoryv1.WatchStockResponse) error) error {
			reply(ctx)
			for range in.GetMaxMovements() {
				if err := send(&inventoryv1.WatchStockResponse{Name: in.GetName()}); err != nil {
					return err
				}
			}
			return refusal.Err()
		}),
	})))
	eachDialect(t, g, func(t *testing.T, c *connect.Client, _ bool) {
		ctx, info := call(t)
		if err := c.CallUnary(ctx, getProduct, &catalogv1.GetProductRequest{Name: "products/boots"}, new(catalogv1.Product)); err != nil {
			t.Fatal(err)
		}
		checkMetadata(t, "unary", info)
		ctx, info = call(t)
		err := c.CallUnary(ctx, getProduct, &catalogv1.GetProductRequest{Name: "products/gone"}, new(catalogv1.Product))
		checkError(t, "unary", err)
		checkMetadata(t, "unary error", info)
		for _, messages := range []int32{0, 3} {
			ctx, info = call(t)
			watch, err := c.CallServerStream(ctx, watchStock, &inventoryv1.WatchStockRequest{Name: "w", MaxMovements: messages})
			if err != nil {
				t.Fatal(err)
			}
			for range messages {
				if err := watch.Receive(new(inventoryv1.WatchStockResponse)); err != nil {
					t.Fatal(err)
				}
			}
			checkError(t, "stream", watch.Receive(new(inventoryv1.WatchStockResponse)))
			checkMetadata(t, "stream error", info)
		}
	})
}

// call is a context for a call that sends metadata.
func call(t *testing.T) (context.Context, *connect.CallInfo) {
	t.Helper()
	ctx, info := connect.NewClientContext(edgetest.Soon(t))
	info.RequestHeader().Set("mark", "7")
	info.RequestHeader().Set("mark-bin", connect.EncodeBinaryHeader([]byte("\x01\xfe")))
	info.RequestHeader().Set("x-request-id", "id-of-the-client")
	return ctx, info
}

func checkMetadata(t *testing.T, what string, info *connect.CallInfo) {
	t.Helper()
	bytesOf := func(h *connect.Header, key string) string {
		b, err := connect.DecodeBinaryHeader(h.Get(key))
		return string(b) + errText(err)
	}
	header, trailer := info.ResponseHeader(), info.ResponseTrailer()
	if header.Get("colour") != "blue" || bytesOf(header, "raw-bin") != "\x00\xff" || header.Get("x-request-id") != "id-of-the-client" {
		t.Errorf("%s: header %q %q %q", what, header.Get("colour"), header.Get("raw-bin"), header.Get("x-request-id"))
	}
	if trailer.Get("echo") != "7" || bytesOf(trailer, "echo-bin") != "\x01\xfe" || header.Has("echo") {
		t.Errorf("%s: trailer %q %q, in the header %v", what, trailer.Get("echo"), trailer.Get("echo-bin"), header.Has("echo"))
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func checkError(t *testing.T, what string, err error) {
	t.Helper()
	e, ok := errors.AsType[*connect.Error](err)
	if !ok || e.Code() != connect.CodeFailedPrecondition || e.Message() != "sold out: 100 %, für immer" || len(e.Details()) != 1 {
		t.Fatalf("%s: got %v", what, err)
	}
	detail, err := connectproto.UnmarshalErrorDetail(e.Details()[0])
	if info, ok := detail.(*errdetails.ErrorInfo); err != nil || !ok || info.GetReason() != "SOLD_OUT" {
		t.Errorf("%s: detail %v, %v", what, detail, err)
	}
}
