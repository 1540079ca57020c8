package edge_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// impatient ends what stalls soon.
func impatient(c *configv1.Config) {
	c.Limits = &configv1.Limits{StreamIdleTimeout: durationpb.New(100 * time.Millisecond), WriteTimeout: durationpb.New(100 * time.Millisecond)}
}

// TestStalledRequest announces a body and keeps it back.
func TestStalledRequest(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, gatewaytest.Script{edgetest.ImportCounts: edgetest.BeginsStream}), impatient))
	for _, tc := range []struct{ name, request, want string }{
		{"half a body", "POST /v1/products HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{", "HTTP/1.1 408 "},
		{"no body", "POST /v1/products HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 408 "},
		{"half a chunk", "POST /v1/products HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{", "HTTP/1.1 408 "},
		{"a body where none belongs", "GET /v1/products HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 408 "},
		{"a stream of requests", "POST /v1/stock:importCounts HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 504 "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := gatewaytest.Raw(t, g.HTTP, tc.request, true); !strings.HasPrefix(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestStalledRefusal keeps back the body of a request that is refused unread.
func TestStalledRefusal(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, nil), func(c *configv1.Config) {
		c.Limits = &configv1.Limits{WriteTimeout: durationpb.New(2 * time.Second)} // half of it is for the answer, on a busy machine too
	}))
	for _, tc := range []struct{ name, request, want string }{
		{"unknown path", "POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 404 "},
		{"unknown path, chunked", "POST /nothing HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 404 "},
		{"wrong method", "PUT /v1/products HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{", "HTTP/1.1 405 "},
		{"compressed", "POST /v1/products HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 415 "},
		{"deadline that is none", "POST /v1/products HTTP/1.1\r\nHost: a\r\nGrpc-Timeout: x\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 400 "},
		{"gRPC", "POST /a/b HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 505 "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := gatewaytest.Raw(t, g.HTTP, tc.request, true); !strings.HasPrefix(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestIdleStream: a stream on which nothing moves is ended, at both its ends.
func TestIdleStream(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	wait := func(_ any, ss grpc.ServerStream) error {
		<-ss.Context().Done()
		ended <- ss.Context().Err()
		return ss.Context().Err()
	}
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, gatewaytest.Script{edgetest.WatchStock: wait, edgetest.ModerateReviews: wait}), impatient))
	got := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.WatchPath, ""))
	if got.StatusCode != 504 || !strings.Contains(got.Text, "idle for 100ms") {
		t.Errorf("REST: got %d %s", got.StatusCode, got.Text)
	}
	gatewaytest.Receive(t, ended, "the end at the backend")
	for _, address := range []string{g.GRPC, g.HTTP} {
		talk, err := reviewsv1.NewReviewsServiceClient(gatewaytest.Dial(t, address, nil)).ModerateReviews(edgetest.Soon(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = talk.Recv(); status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "idle for 100ms") {
			t.Errorf("gRPC: got %v", err)
		}
		gatewaytest.Receive(t, ended, "the end at the backend")
	}
}

// TestBusyStream outlasts the idle limit: each message starts it again.
func TestBusyStream(t *testing.T) {
	t.Parallel()
	const idle = 400 * time.Millisecond // longer than a busy machine looks away
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, edgetest.FourKinds), func(c *configv1.Config) {
		c.Limits = &configv1.Limits{StreamIdleTimeout: durationpb.New(idle)}
	}))
	talk, err := reviewsv1.NewReviewsServiceClient(gatewaytest.Dial(t, g.GRPC, nil)).ModerateReviews(edgetest.Soon(t))
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < 2*idle; {
		if err := talk.Send(&reviewsv1.ModerateReviewsRequest{DraftId: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := talk.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	_ = talk.CloseSend()
	if _, err := talk.Recv(); err != io.EOF {
		t.Errorf("the end is %v", err)
	}
}
