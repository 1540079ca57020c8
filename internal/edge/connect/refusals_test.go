package connect_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// Headers of requests.
const (
	asJSON    = "Content-Type: application/json"
	asProto   = "Content-Type: application/proto"
	asWeb     = "Content-Type: application/grpc-web+proto"
	asStreams = "Content-Type: application/connect+json"
)

func zipped(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestRefusals: what cannot be served is refused in the client's own protocol.
func TestRefusals(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, edgetest.FourKinds), edgetest.SmallLimits))
	large := `{"name":"` + strings.Repeat("x", 2*edgetest.SmallBody) + `"}`
	query := "?connect=v1&encoding=json&message="
	tests := []struct {
		name, method, target, body string
		headers                    []string
		status                     int
		text                       string // in the answer
	}{
		{"curl", "POST", edgetest.GetProduct, `{"name":"products/a"}`, []string{asJSON}, 200, `"name":"products/a"`},
		{"charset", "POST", edgetest.GetProduct, `{"name":"products/a"}`, []string{asJSON + "; charset=UTF-8"}, 200, `"name":"products/a"`},
		{"GET", "GET", edgetest.GetProduct + query + url.QueryEscape(`{"name":"products/a"}`), "", nil, 200, `"name":"products/a"`},
		{"GET, base64", "GET", edgetest.GetProduct + query + base64.URLEncoding.EncodeToString([]byte(`{"name":"products/ab"}`)) + "&base64=1", "", nil, 200, `"name":"products/ab"`},
		{"GET, not base64", "GET", edgetest.GetProduct + query + "!!&base64=1", "", nil, 400, "query parameter message is not base64"},
		{"GET, other version", "GET", edgetest.GetProduct + "?connect=v2&encoding=json&message={}", "", nil, 400, `\"v2\" is not supported`},
		{"GET, no message", "GET", edgetest.GetProduct + "?encoding=json", "", nil, 400, "query parameter message is missing"},
		{"GET, side effects", "GET", "/shop.catalog.v1.CatalogService/CreateProduct" + query + "{}", "", nil, 405, "use POST"},
		{"not JSON", "POST", edgetest.GetProduct, `{"name":`, []string{asJSON}, 400, `"code":"invalid_argument"`},
		{"unknown field", "POST", edgetest.GetProduct, `{"nam":"a"}`, []string{asJSON}, 400, "nam"},
		{"too large", "POST", edgetest.GetProduct, large, []string{asJSON}, 413, `"code":"resource_exhausted"`},
		{"bomb", "POST", edgetest.GetProduct, zipped(t, large), []string{asJSON, "Content-Encoding: gzip"}, 429, `"code":"resource_exhausted"`},
		{"not gzip", "POST", edgetest.GetProduct, "abc", []string{asJSON, "Content-Encoding: gzip"}, 400, `"code":"invalid_argument"`},
		{"unknown compression", "POST", edgetest.GetProduct, "abc", []string{asJSON, "Content-Encoding: lzma"}, 501, `use one of gzip`},
		{"other version", "POST", edgetest.GetProduct, "{}", []string{asJSON, "Connect-Protocol-Version: 2"}, 400, "connect-protocol-version"},
		{"bad timeout", "POST", edgetest.GetProduct, "{}", []string{asJSON, "Connect-Timeout-Ms: soon"}, 400, "is not a timeout"},
		{"stream's type", "POST", edgetest.GetProduct, "", []string{asStreams}, 415, "use application/proto"},
		{"unary's type", "POST", edgetest.WatchStock, "{}", []string{asJSON}, 415, "use application/connect+proto"},
		{"unknown codec", "POST", edgetest.WatchStock, "", []string{"Content-Type: application/connect+xml"}, 415, "use application/connect+proto"},
		{"unknown RPC", "POST", "/shop.v1.Nothing/Is", "", []string{asStreams}, 200, `"code":"unimplemented"`},
		{"path spelled otherwise", "POST", strings.Replace(edgetest.WatchStock, "Watch", "%57atch", 1), "", []string{asStreams}, 200, `"code":"unimplemented"`},
		{"lying envelope", "POST", edgetest.WatchStock, "\x00\xff\xff\xff\xff{}", []string{asStreams}, 200, `"code":"`},
		{"web, unknown RPC", "POST", "/shop.v1.Nothing/Is", "", []string{asWeb}, 200, ""},
		{"web, bad timeout", "POST", edgetest.GetProduct, "", []string{asWeb, "Grpc-Timeout: soon"}, 200, ""},
	}
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		for _, tt := range tests {
			got := gatewaytest.Do(t, client, g.Request(t, tt.method, tt.target, tt.body, tt.headers...))
			if got.StatusCode != tt.status || !strings.Contains(got.Text, tt.text) {
				t.Errorf("%s: got %d %s, want %d with %s", tt.name, got.StatusCode, got.Text, tt.status, tt.text)
			}
			if strings.HasPrefix(tt.name, "web") && (got.Header.Get("Grpc-Status") == "" || got.Header.Get("Grpc-Status") == "0") {
				t.Errorf("%s: got %v, want an error in the header", tt.name, got.Header)
			}
			if got.Header.Get("X-Request-Id") == "" {
				t.Errorf("%s: got no request id", tt.name)
			}
		}
	})
}

// TestRefusedUnread: a policy refuses before the body has come.
func TestRefusedUnread(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t), func(c *configv1.Config) {
		c.Expose[0].Policy.Ip = &policyv1.Ip{Deny: []string{"127.0.0.0/8"}}
	}))
	for _, header := range []string{asJSON, asProto, asWeb} {
		request := "POST " + edgetest.GetProduct + " HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nConnection: close\r\n" + header + "\r\n\r\n"
		if got := gatewaytest.Raw(t, g.HTTP, request, true); !strings.Contains(got, "permission_denied") && !strings.Contains(got, "Grpc-Status: 7") {
			t.Errorf("%s: got %q", header, got)
		}
	}
}

// TestLyingEnvelope: a message that is announced too large is refused before it comes, in
// a stream that stays open.
func TestLyingEnvelope(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, edgetest.FourKinds)))
	body, send := io.Pipe()
	defer send.Close()
	r, err := http.NewRequestWithContext(edgetest.Soon(t), http.MethodPost, "http://"+g.HTTP+edgetest.ImportCounts, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/connect+proto")
	go func() { _, _ = io.WriteString(send, "\x00\xff\xff\xff\xff") }()
	got := gatewaytest.Do(t, gatewaytest.Client(t, gatewaytest.H2C), r)
	if !strings.Contains(got.Text, "resource_exhausted") {
		t.Errorf("got %d %q", got.StatusCode, got.Text)
	}
}

// TestIdleStreams: a thousand streams that send nothing keep no other call waiting, and
// end with their clients.
func TestIdleStreams(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, edgetest.FourKinds)))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 10 {
		c := client(t, g, true)
		for range 100 {
			stream, err := c.CallClientStream(ctx, importCounts)
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.SendHeaders(); err != nil {
				t.Fatal(err)
			}
		}
	}
	checkUnary(t, client(t, g, true))
}

// TestUntakenStream: a stream of which a client takes nothing is ended.
func TestUntakenStream(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1 << 10, 300 << 10} {
		ended := make(chan struct{})
		backend := edgetest.Watching(t, func(_ context.Context, send edgetest.SendStock) error {
			defer close(ended)
			for {
				if err := send(&inventoryv1.WatchStockResponse{Name: strings.Repeat("x", size)}); err != nil {
					return err
				}
			}
		})
		g := gatewaytest.Start(t, gatewaytest.Config(backend, func(c *configv1.Config) {
			c.Limits = &configv1.Limits{WriteTimeout: durationpb.New(100 * time.Millisecond)}
		}))
		_, err := client(t, g, true, connecthttp.WithCompressors()).CallServerStream(t.Context(), watchStock, &inventoryv1.WatchStockRequest{Name: "w"})
		if err != nil {
			t.Fatal(err)
		}
		gatewaytest.Receive(t, ended, "the end of the stream")
	}
}

// TestDeadline: the client's timeout reaches the backend, and ends the call.
func TestDeadline(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(edgetest.Product(t, gatewaytest.Unary(func(ctx context.Context, _ *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}))))
	eachDialect(t, g, func(t *testing.T, c *connect.Client, _ bool) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := c.CallUnary(ctx, getProduct, &catalogv1.GetProductRequest{Name: "products/a"}, new(catalogv1.Product)); connect.CodeOf(err) != connect.CodeDeadlineExceeded {
			t.Errorf("got %v", err)
		}
	})
}
