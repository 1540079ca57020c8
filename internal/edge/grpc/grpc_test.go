package grpc_test

import (
	"context"
	"crypto/tls"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// connectEach starts a gateway and connects to it by every way that gRPC has in.
func connectEach(t *testing.T, script gatewaytest.Script, changes ...gatewaytest.Change) map[string]*grpc.ClientConn {
	t.Helper()
	authority := gatewaytest.NewAuthority(t)
	trust := &tls.Config{RootCAs: authority.Pool}
	backend := gatewaytest.Backend(t, script)
	plain := gatewaytest.Start(t, gatewaytest.Config(backend, changes...))
	secure := gatewaytest.Start(t, gatewaytest.Config(backend, append(changes, func(c *configv1.Config) {
		files := &configv1.ServerTls{CertFile: authority.CertFile, KeyFile: authority.KeyFile}
		c.Listeners.Http.Tls, c.Listeners.Grpc.Tls = files, files
	})...))
	return map[string]*grpc.ClientConn{
		"native":      gatewaytest.Dial(t, plain.GRPC, nil),
		"native, TLS": gatewaytest.Dial(t, secure.GRPC, trust),
		"http":        gatewaytest.Dial(t, plain.HTTP, nil),
		"http, TLS":   gatewaytest.Dial(t, secure.HTTP, trust),
	}
}

// eachDoor runs a test by every way in.
func eachDoor(t *testing.T, script gatewaytest.Script, test func(*testing.T, *grpc.ClientConn), changes ...gatewaytest.Change) {
	t.Helper()
	for name, cc := range connectEach(t, script, changes...) {
		t.Run(name, func(t *testing.T) { test(t, cc) })
	}
}

func TestFourKinds(t *testing.T) {
	t.Parallel()
	eachDoor(t, edgetest.FourKinds, func(t *testing.T, cc *grpc.ClientConn) {
		for _, opts := range [][]grpc.CallOption{nil, {grpc.UseCompressor(gzip.Name)}} {
			checkUnary(t, cc, opts)
			checkServerStream(t, cc, opts)
			checkClientStream(t, cc, opts)
			checkBidi(t, cc, opts)
		}
	})
}

func checkUnary(t *testing.T, cc *grpc.ClientConn, opts []grpc.CallOption) {
	t.Helper()
	got, err := catalogv1.NewCatalogServiceClient(cc).GetProduct(edgetest.Soon(t), &catalogv1.GetProductRequest{Name: "products/boots"}, opts...)
	if err != nil || got.GetName() != "products/boots" {
		t.Errorf("unary: got %v, %v", got, err)
	}
}

func checkServerStream(t *testing.T, cc *grpc.ClientConn, opts []grpc.CallOption) {
	t.Helper()
	watch, err := inventoryv1.NewInventoryServiceClient(cc).WatchStock(edgetest.Soon(t), &inventoryv1.WatchStockRequest{Name: "w", MaxMovements: 500}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	for i := int64(0); ; i++ {
		m, err := watch.Recv()
		if err == io.EOF && i == 500 {
			return
		}
		if err != nil || m.GetMovement().GetOnHand() != i {
			t.Fatalf("server stream: message %d is %v, %v", i, m, err)
		}
	}
}

func checkClientStream(t *testing.T, cc *grpc.ClientConn, opts []grpc.CallOption) {
	t.Helper()
	upload, err := inventoryv1.NewInventoryServiceClient(cc).ImportCounts(edgetest.Soon(t), opts...)
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if err := upload.Send(&inventoryv1.ImportCountsRequest{Counted: 2}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := upload.CloseAndRecv(); err != nil || got.GetImported() != 500 || got.GetDifference() != 1000 {
		t.Errorf("client stream: got %v, %v", got, err)
	}
}

func checkBidi(t *testing.T, cc *grpc.ClientConn, opts []grpc.CallOption) {
	t.Helper()
	talk, err := reviewsv1.NewReviewsServiceClient(cc).ModerateReviews(edgetest.Soon(t), opts...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(100) {
		if err := talk.Send(&reviewsv1.ModerateReviewsRequest{DraftId: i}); err != nil {
			t.Fatal(err)
		}
		if got, err := talk.Recv(); err != nil || got.GetDraftId() != i {
			t.Fatalf("bidirectional: got %v, %v; want %d", got, err, i)
		}
	}
	_ = talk.CloseSend()
	if _, err := talk.Recv(); err != io.EOF {
		t.Errorf("bidirectional: the end is %v", err)
	}
}

// TestMetadataPasses sends metadata both ways, for calls that go well and calls
// that fail, unary and streams.
func TestMetadataPasses(t *testing.T) {
	t.Parallel()
	binary := string([]byte{0, 1, 0xff})
	answer := func(ss grpc.ServerStream) {
		in, _ := metadata.FromIncomingContext(ss.Context())
		_ = ss.SendHeader(metadata.MD{"x-got": in["x-word"], "x-got-bin": in["x-word-bin"]})
		ss.SetTrailer(metadata.MD{"x-end": {"1", "2"}, "x-end-bin": {binary}})
	}
	failed, _ := status.New(codes.FailedPrecondition, "the shelf is 100 % full: naïve").WithDetails(
		&errdetails.ErrorInfo{Reason: "FULL", Domain: "shop"}, &catalogv1.Shelf{Name: "shelves/a"})
	script := gatewaytest.Script{
		edgetest.GetProduct: func(srv any, ss grpc.ServerStream) error {
			answer(ss)
			return edgetest.FourKinds[edgetest.GetProduct](srv, ss)
		},
		edgetest.WatchStock: func(srv any, ss grpc.ServerStream) error {
			answer(ss)
			return edgetest.FourKinds[edgetest.WatchStock](srv, ss)
		},
		"/shop.catalog.v1.CatalogService/GetShelf": func(_ any, ss grpc.ServerStream) error {
			answer(ss)
			return failed.Err()
		},
		edgetest.ImportCounts: func(_ any, ss grpc.ServerStream) error {
			answer(ss)
			return failed.Err()
		},
	}
	eachDoor(t, script, func(t *testing.T, cc *grpc.ClientConn) {
		ctx := metadata.AppendToOutgoingContext(edgetest.Soon(t), "x-word", "a", "x-word", "b, c", "x-word-bin", binary)
		check := func(name string, header, trailer metadata.MD) {
			t.Helper()
			if !slices.Equal(header["x-got"], []string{"a", "b, c"}) || !slices.Equal(header["x-got-bin"], []string{binary}) {
				t.Errorf("%s: header %v", name, header)
			}
			if !slices.Equal(trailer["x-end"], []string{"1", "2"}) || !slices.Equal(trailer["x-end-bin"], []string{binary}) {
				t.Errorf("%s: trailer %v", name, trailer)
			}
			if len(trailer["x-request-id"]) != 1 {
				t.Errorf("%s: no x-request-id in trailer %v", name, trailer)
			}
		}
		var header, trailer metadata.MD
		shop := catalogv1.NewCatalogServiceClient(cc)
		if _, err := shop.GetProduct(ctx, &catalogv1.GetProductRequest{}, grpc.Header(&header), grpc.Trailer(&trailer)); err != nil {
			t.Error(err)
		}
		check("unary", header, trailer)
		_, err := shop.GetShelf(ctx, &catalogv1.GetShelfRequest{}, grpc.Header(&header), grpc.Trailer(&trailer))
		check("unary that fails", header, trailer)
		checkSameStatus(t, err, failed)
		watch, err := inventoryv1.NewInventoryServiceClient(cc).WatchStock(ctx, &inventoryv1.WatchStockRequest{})
		if err != nil {
			t.Fatal(err)
		}
		header, _ = watch.Header()
		_, _ = watch.Recv()
		check("stream", header, watch.Trailer())
		upload, err := inventoryv1.NewInventoryServiceClient(cc).ImportCounts(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_, err = upload.CloseAndRecv()
		header, _ = upload.Header()
		check("stream that fails", header, upload.Trailer())
		checkSameStatus(t, err, failed)
	})
}

func checkSameStatus(t *testing.T, err error, want *status.Status) {
	t.Helper()
	got := status.Convert(err)
	if got.Code() != want.Code() || got.Message() != want.Message() || len(got.Details()) != len(want.Details()) {
		t.Errorf("got %v %v, want %v", got, got.Details(), want)
	}
}

// TestEveryCodePasses has the backend fail in every way that gRPC knows.
func TestEveryCodePasses(t *testing.T) {
	t.Parallel()
	script := gatewaytest.Script{edgetest.GetProduct: func(_ any, ss grpc.ServerStream) error {
		in := new(catalogv1.GetProductRequest)
		if err := ss.RecvMsg(in); err != nil {
			return err
		}
		return status.Error(codes.Code(len(in.GetName())), "as the backend says")
	}}
	eachDoor(t, script, func(t *testing.T, cc *grpc.ClientConn) {
		for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
			_, err := catalogv1.NewCatalogServiceClient(cc).GetProduct(edgetest.Soon(t), &catalogv1.GetProductRequest{Name: strings.Repeat("x", int(code))})
			if status.Code(err) != code || status.Convert(err).Message() != "as the backend says" {
				t.Errorf("got %v, want %v", err, code)
			}
		}
	})
}

// TestBackendSees pins what of the client's metadata reaches backends, and what
// the gateway says itself.
func TestBackendSees(t *testing.T) {
	t.Parallel()
	seen := make(chan metadata.MD, 1)
	script := gatewaytest.Script{edgetest.GetProduct: func(srv any, ss grpc.ServerStream) error {
		in, _ := metadata.FromIncomingContext(ss.Context())
		seen <- in
		return edgetest.FourKinds[edgetest.GetProduct](srv, ss)
	}}
	eachDoor(t, script, func(t *testing.T, cc *grpc.ClientConn) {
		ctx := metadata.AppendToOutgoingContext(edgetest.Soon(t), "authorization", "Bearer x", "x-request-id", "abc-1", "cookie", "a=b",
			"x-forwarded-for", "6.6.6.6", "x_forwarded_for", "6.6.6.6", "forwarded", "for=6.6.6.6", "x-real-ip", "6.6.6.6",
			"x-forwarded-host", "evil", "x-forwarded-proto", "evil", "x-forwarded-port", "1", "grpc-previous-rpc-attempts", "9", "grpc_status", "0",
			"proxy-authorization", "secret")
		if _, err := catalogv1.NewCatalogServiceClient(cc).GetProduct(ctx, &catalogv1.GetProductRequest{}); err != nil {
			t.Fatal(err)
		}
		got := gatewaytest.Receive(t, seen, "the call")
		for key, want := range map[string][]string{
			"authorization": {"Bearer x"}, "x-request-id": {"abc-1"}, "cookie": {"a=b"},
			"x-forwarded-for": {"127.0.0.1"}, "x-forwarded-host": {cc.CanonicalTarget()[len("passthrough:///"):]},
			"x_forwarded_for": nil, "forwarded": nil, "x-real-ip": nil, "x-forwarded-port": nil,
			"grpc-previous-rpc-attempts": nil, "grpc_status": nil, "proxy-authorization": nil,
		} {
			if !slices.Equal(got[key], want) {
				t.Errorf("%s: got %q, want %q", key, got[key], want)
			}
		}
		want := "http"
		if strings.HasSuffix(t.Name(), "TLS") {
			want = "https"
		}
		if !slices.Equal(got["x-forwarded-proto"], []string{want}) {
			t.Errorf("x-forwarded-proto: got %q, want %q", got["x-forwarded-proto"], want)
		}
		if agent := strings.Join(got["user-agent"], ""); !strings.HasPrefix(agent, "gatehouse/") {
			t.Errorf("user-agent %q", agent)
		}
	})
}

// TestDeadlineIsSentOn: what is left of the client's time reaches the backend,
// and the smaller of client's and policy's counts.
func TestDeadlineIsSentOn(t *testing.T) {
	t.Parallel()
	left := make(chan time.Duration, 1)
	script := gatewaytest.Script{edgetest.GetProduct: func(srv any, ss grpc.ServerStream) error {
		deadline, ok := ss.Context().Deadline()
		if !ok {
			left <- 0
		} else {
			left <- time.Until(deadline)
		}
		return edgetest.FourKinds[edgetest.GetProduct](srv, ss)
	}}
	for _, tc := range []struct {
		name           string
		client, policy time.Duration
		atMost         time.Duration
	}{
		{name: "none"},
		{name: "client's", client: time.Hour, atMost: time.Hour},
		{name: "policy's", policy: 2 * time.Hour, atMost: 2 * time.Hour},
		{name: "client's is smaller", client: time.Hour, policy: 2 * time.Hour, atMost: time.Hour},
		{name: "policy's is smaller", client: 3 * time.Hour, policy: 2 * time.Hour, atMost: 2 * time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			eachDoor(t, script, func(t *testing.T, cc *grpc.ClientConn) {
				ctx := t.Context()
				if tc.client > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.client)
					defer cancel()
				}
				if _, err := catalogv1.NewCatalogServiceClient(cc).GetProduct(ctx, &catalogv1.GetProductRequest{}); err != nil {
					t.Fatal(err)
				}
				got := gatewaytest.Receive(t, left, "the call")
				if got > tc.atMost || got < tc.atMost-time.Minute {
					t.Errorf("the backend had %v left, want a little less than %v", got, tc.atMost)
				}
			}, edgetest.WithTimeout(tc.policy))
		})
	}
}

// TestCancellationReachesTheBackend for all four kinds.
func TestCancellationReachesTheBackend(t *testing.T) {
	t.Parallel()
	began, ended := make(chan string, 1), make(chan error, 1)
	wait := func(_ any, ss grpc.ServerStream) error {
		name, _ := grpc.MethodFromServerStream(ss)
		began <- name
		<-ss.Context().Done()
		ended <- ss.Context().Err()
		return ss.Context().Err()
	}
	script := gatewaytest.Script{edgetest.GetProduct: wait, edgetest.WatchStock: wait, edgetest.ImportCounts: wait, edgetest.ModerateReviews: wait}
	eachDoor(t, script, func(t *testing.T, cc *grpc.ClientConn) {
		for name, call := range map[string]func(context.Context) error{
			edgetest.GetProduct: func(ctx context.Context) error {
				_, err := catalogv1.NewCatalogServiceClient(cc).GetProduct(ctx, &catalogv1.GetProductRequest{})
				return err
			},
			edgetest.WatchStock: func(ctx context.Context) error {
				s, err := inventoryv1.NewInventoryServiceClient(cc).WatchStock(ctx, &inventoryv1.WatchStockRequest{})
				if err == nil {
					_, err = s.Recv()
				}
				return err
			},
			edgetest.ImportCounts: func(ctx context.Context) error {
				s, err := inventoryv1.NewInventoryServiceClient(cc).ImportCounts(ctx)
				if err == nil {
					err = s.RecvMsg(new(inventoryv1.ImportCountsResponse))
				}
				return err
			},
			edgetest.ModerateReviews: func(ctx context.Context) error {
				s, err := reviewsv1.NewReviewsServiceClient(cc).ModerateReviews(ctx)
				if err == nil {
					_, err = s.Recv()
				}
				return err
			},
		} {
			ctx, cancel := context.WithCancel(edgetest.Soon(t))
			result := make(chan error, 1)
			go func() { result <- call(ctx) }()
			if got := gatewaytest.Receive(t, began, name); got != name {
				t.Errorf("called %s, want %s", got, name)
			}
			cancel()
			if err := gatewaytest.Receive(t, ended, "the end of "+name); err != context.Canceled {
				t.Errorf("%s: the backend ended with %v", name, err)
			}
			if err := gatewaytest.Receive(t, result, "the result of "+name); status.Code(err) != codes.Canceled {
				t.Errorf("%s: the client got %v", name, err)
			}
		}
	})
}
