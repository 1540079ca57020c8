package rest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

func TestAnswerHeaders(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(edgetest.Product(t, func(srv any, ss grpc.ServerStream) error {
		_ = ss.SetHeader(metadata.MD{
			"etag": {`"1"`}, "set-cookie": {"a=1", "b=2"}, "x-raw-bin": {"\x00\xff"}, "x-request-id": {"theirs"},
			"connection": {"close"}, "transfer-encoding": {"gzip"}, "content-length": {"3"}, "upgrade": {"h2c"}, "trailer": {"x"},
		})
		return edgetest.FourKinds[edgetest.GetProduct](srv, ss)
	})))
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		got := gatewaytest.Do(t, client, g.Request(t, "GET", edgetest.ProductPath, "", "X-Request-Id: mine-1"))
		for name, want := range map[string][]string{
			"Content-Type": {"application/json"}, "Etag": {`"1"`}, "Set-Cookie": {"a=1", "b=2"}, "X-Raw-Bin": {"AP8"}, "X-Request-Id": {"mine-1"},
			"Connection": nil, "Upgrade": nil, "Trailer": nil, "Grpc-Status": nil, "Grpc-Message": nil,
		} {
			if !slices.Equal(got.Header[name], want) {
				t.Errorf("%s: got %q, want %q", name, got.Header[name], want)
			}
		}
		if got.ContentLength != int64(len(got.Text)) || !strings.HasPrefix(got.Text, `{"name":"products/boots"`) {
			t.Errorf("Content-Length %d of %q", got.ContentLength, got.Text)
		}
	})
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	seen := make(chan metadata.MD, 1)
	g := gatewaytest.Start(t, gatewaytest.Config(edgetest.Product(t, func(srv any, ss grpc.ServerStream) error {
		in, _ := metadata.FromIncomingContext(ss.Context())
		seen <- in
		return edgetest.FourKinds[edgetest.GetProduct](srv, ss)
	})))
	for given, kept := range map[string]bool{"": false, "abc": true, strings.Repeat("x", 128): true, strings.Repeat("x", 129): false, "a b": false, "a,b": true} {
		got := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, "", "X-Request-Id: "+given)).Header.Get("X-Request-Id")
		if (got == given) != kept || got == "" {
			t.Errorf("given %q, got %q", given, got)
		}
		if backend := gatewaytest.Receive(t, seen, "the call")["x-request-id"]; !slices.Equal(backend, []string{got}) {
			t.Errorf("the backend has %q, the client %q", backend, got)
		}
		if !strings.Contains(g.Log.String(), got) {
			t.Errorf("the log has not %q", got)
		}
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, edgetest.FourKinds)))
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		get := gatewaytest.Do(t, client, g.Request(t, "GET", edgetest.ProductPath, ""))
		head := gatewaytest.Do(t, client, g.Request(t, "HEAD", edgetest.ProductPath, ""))
		if head.StatusCode != 200 || head.Text != "" || head.ContentLength != int64(len(get.Text)) || head.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %d, %d bytes, header %v", head.StatusCode, len(head.Text), head.Header)
		}
		if head = gatewaytest.Do(t, client, g.Request(t, "HEAD", "/v1/nothing", "")); head.StatusCode != 404 || head.Text != "" {
			t.Errorf("unknown path: got %d %q", head.StatusCode, head.Text)
		}
		if head = gatewaytest.Do(t, client, g.Request(t, "HEAD", edgetest.WatchPath, "")); head.StatusCode != 200 || head.Text != "" {
			t.Errorf("stream: got %d %q", head.StatusCode, head.Text)
		}
	})
}

func TestTrailers(t *testing.T) {
	t.Parallel()
	with := func(method string, err error) grpc.StreamHandler {
		return func(srv any, ss grpc.ServerStream) error {
			ss.SetTrailer(metadata.MD{"x-cost": {"7"}, "x-raw-bin": {"\xff"}})
			if err != nil {
				return err
			}
			return edgetest.FourKinds[method](srv, ss)
		}
	}
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, gatewaytest.Script{
		edgetest.GetProduct: with(edgetest.GetProduct, nil), edgetest.WatchStock: with(edgetest.WatchStock, nil),
		"/shop.catalog.v1.CatalogService/GetShelf": with("", status.Error(codes.NotFound, "no shelf")),
	})))
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		for _, path := range []string{edgetest.ProductPath, edgetest.WatchPath + "?maxMovements=3", "/v1/shelves/a"} {
			got := gatewaytest.Do(t, client, g.Request(t, "GET", path, "", "Te: trailers"))
			if got.Trailer.Get("X-Cost") != "7" || got.Trailer.Get("X-Raw-Bin") != "/w" {
				t.Errorf("%s: trailer %v", path, got.Trailer)
			}
			got = gatewaytest.Do(t, client, g.Request(t, "GET", path, ""))
			if len(got.Trailer) != 0 || got.Header.Get("X-Cost") != "" {
				t.Errorf("%s: not asked for, but trailer %v header %v", path, got.Trailer, got.Header)
			}
		}
	})
}

// TestErrorFormats reads one error with details in each format.
func TestErrorFormats(t *testing.T) {
	t.Parallel()
	full, _ := status.New(codes.ResourceExhausted, "slow \"down\"").WithDetails(
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)}, &catalogv1.Shelf{Name: "shelves/a"})
	backend := edgetest.Product(t, func(any, grpc.ServerStream) error { return full.Err() })
	details := `[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.500s"},{"@type":"type.googleapis.com/shop.catalog.v1.Shelf","name":"shelves/a"}]`
	for _, tc := range []struct {
		name   string
		format configv1.Errors_Format
		accept string
		typ    string
		want   string
	}{
		{name: "aip193", format: configv1.Errors_FORMAT_AIP193, typ: "application/json",
			want: `{"error":{"code":429,"message":"slow \"down\"","status":"RESOURCE_EXHAUSTED","details":` + details + `}}`},
		{name: "the default", typ: "application/json", accept: "application/json, */*;q=0.1",
			want: `{"error":{"code":429,"message":"slow \"down\"","status":"RESOURCE_EXHAUSTED","details":` + details + `}}`},
		{name: "status", format: configv1.Errors_FORMAT_STATUS, typ: "application/json", want: `{"code":8,"message":"slow \"down\"","details":` + details + `}`},
		{name: "problem", format: configv1.Errors_FORMAT_PROBLEM, typ: "application/problem+json",
			want: `{"type":"about:blank","title":"Too Many Requests","status":429,"detail":"slow \"down\"","code":"RESOURCE_EXHAUSTED","details":` + details + `}`},
		{name: "problem, as the client accepts", accept: "application/problem+json, application/json", typ: "application/problem+json",
			want: `{"type":"about:blank","title":"Too Many Requests","status":429,"detail":"slow \"down\"","code":"RESOURCE_EXHAUSTED","details":` + details + `}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			g := gatewaytest.Start(t, gatewaytest.Config(backend, edgetest.WithErrors(tc.format)))
			got := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, "", "Accept: "+tc.accept))
			if got.StatusCode != 429 || got.Header.Get("Content-Type") != tc.typ || !sameJSON(t, got.Text, tc.want) {
				t.Errorf("got %d %s %s\nwant %s %s", got.StatusCode, got.Header.Get("Content-Type"), got.Text, tc.typ, tc.want)
			}
			if got.Header.Get("Retry-After") != "2" {
				t.Errorf("Retry-After %q, want 2", got.Header.Get("Retry-After"))
			}
		})
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var out [2]string
	for i, text := range []string{a, b} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		canonical, _ := json.Marshal(v)
		out[i] = string(canonical)
	}
	return out[0] == out[1]
}

// TestCodes maps every status of gRPC.
func TestCodes(t *testing.T) {
	t.Parallel()
	want := [...]int{0, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401, 500}
	code := make(chan codes.Code, 1)
	g := gatewaytest.Start(t, gatewaytest.Config(edgetest.Product(t, func(any, grpc.ServerStream) error {
		return status.Error(<-code, "as the backend says")
	})))
	for c := 1; c < len(want); c++ {
		code <- codes.Code(c)
		got := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, ""))
		if got.StatusCode != want[c] || !strings.Contains(got.Text, "as the backend says") {
			t.Errorf("%v: got %d %s, want %d", codes.Code(c), got.StatusCode, got.Text, want[c])
		}
		if has := got.Header.Get("Www-Authenticate"); (has != "") != (want[c] == 401) {
			t.Errorf("%v: WWW-Authenticate %q", codes.Code(c), has)
		}
	}
}

// TestBackendsOwnChallenge: what a backend says of authentication and of when
// to come back stays.
func TestBackendsOwnChallenge(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(edgetest.Product(t, func(_ any, ss grpc.ServerStream) error {
		_ = ss.SetHeader(metadata.MD{"www-authenticate": {`Basic realm="shop"`}})
		return status.Error(codes.Unauthenticated, "who are you")
	})))
	got := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, ""))
	if v := got.Header["Www-Authenticate"]; !slices.Equal(v, []string{`Basic realm="shop"`}) {
		t.Errorf("WWW-Authenticate %q", v)
	}
}

// TestDeadlineHeaders: each spelling, and the smallest of several.
func TestDeadlineHeaders(t *testing.T) {
	t.Parallel()
	left := make(chan time.Duration, 1)
	g := gatewaytest.Start(t, gatewaytest.Config(edgetest.Product(t, func(srv any, ss grpc.ServerStream) error {
		deadline, _ := ss.Context().Deadline()
		left <- time.Until(deadline)
		return edgetest.FourKinds[edgetest.GetProduct](srv, ss)
	}), edgetest.WithTimeout(2*time.Hour)))
	for _, tc := range []struct {
		headers []string
		want    time.Duration
	}{
		{nil, 2 * time.Hour},
		{[]string{"Grpc-Timeout: 1H"}, time.Hour},
		{[]string{"Grpc-Timeout: 30M"}, 30 * time.Minute},
		{[]string{"Grpc-Timeout: 3600S"}, time.Hour},
		{[]string{"Grpc-Timeout: 99999999H"}, 2 * time.Hour},
		{[]string{"X-Server-Timeout: 1800.5"}, 30 * time.Minute},
		{[]string{"Connect-Timeout-Ms: 3600000"}, time.Hour},
		{[]string{"Grpc-Timeout: 1H", "X-Server-Timeout: 1800", "Connect-Timeout-Ms: 5400000"}, 30 * time.Minute},
	} {
		gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, "", tc.headers...))
		if got := gatewaytest.Receive(t, left, "the call"); got > tc.want+time.Second || got < tc.want-time.Minute {
			t.Errorf("%q: the backend had %v left, want %v", tc.headers, got, tc.want)
		}
	}
}

// TestRequestHeaders pins what of a request's headers reaches backends.
func TestRequestHeaders(t *testing.T) {
	t.Parallel()
	seen := make(chan metadata.MD, 1)
	g := gatewaytest.Start(t, gatewaytest.Config(edgetest.Product(t, func(srv any, ss grpc.ServerStream) error {
		in, _ := metadata.FromIncomingContext(ss.Context())
		seen <- in
		return edgetest.FourKinds[edgetest.GetProduct](srv, ss)
	})))
	gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, "",
		"Authorization: Bearer x", "Cookie: a=b", "Accept-Language: de", "X-Many: 1", "X-Many: 2", "X-Raw-Bin: AP8=",
		"Grpc-Metadata-Tenant: acme", "X-Hop: secret", "Connection: X-Hop, close",
		"X-Forwarded-For: 6.6.6.6", "X_Forwarded_For: 6.6.6.6", "X-Forwarded-Host: evil", "X_forwarded-proto: evil", "Forwarded: for=6.6.6.6", "X-Real-Ip: 6.6.6.6",
		"Grpc-Metadata-X-Forwarded-For: 6.6.6.6", "Grpc-Metadata-Grpc-Timeout: 1n", "Grpc-Metadata-X-Real-Ip: 6.6.6.6",
		"Grpc-Encoding: lzma", "Grpc-Accept-Encoding: lzma", "Grpc_timeout: 1n", "Te: trailers", "Proxy-Authorization: secret", "Keep-Alive: 1"))
	got := gatewaytest.Receive(t, seen, "the call")
	for key, want := range map[string][]string{
		"authorization": {"Bearer x"}, "cookie": {"a=b"}, "accept-language": {"de"}, "x-many": {"1", "2"}, "x-raw-bin": {"\x00\xff"},
		"tenant": {"acme"}, "x-hop": nil, "connection": nil,
		"x-forwarded-for": {"127.0.0.1"}, "x_forwarded_for": nil, "x-forwarded-host": {g.HTTP}, "x-forwarded-proto": {"http"}, "x_forwarded-proto": nil,
		"forwarded": nil, "x-real-ip": nil, "grpc_timeout": nil, "proxy-authorization": nil, "keep-alive": nil, "accept": nil,
		"grpc-metadata-tenant": nil, "content-type": {"application/grpc"},
	} {
		if !slices.Equal(got[key], want) {
			t.Errorf("%s: got %q, want %q", key, got[key], want)
		}
	}
	for key, values := range got {
		if strings.Contains(strings.Join(values, ""), "6.6.6.6") || strings.Contains(strings.Join(values, ""), "evil") || slices.Contains(values, "lzma") {
			t.Errorf("spoofed: %s: %q", key, values)
		}
	}
}

func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	seen := make(chan []string, 1)
	backend := edgetest.Product(t, func(srv any, ss grpc.ServerStream) error {
		in, _ := metadata.FromIncomingContext(ss.Context())
		seen <- in["x-forwarded-for"]
		return edgetest.FourKinds[edgetest.GetProduct](srv, ss)
	})
	for _, tc := range []struct {
		name     string
		proxies  []string
		sent     []string
		peer     string // in the log, "" for the connection's own
		backends string
	}{
		{name: "nobody is trusted", sent: []string{"6.6.6.6"}, backends: "127.0.0.1"},
		{name: "others are trusted", proxies: []string{"10.0.0.0/8"}, sent: []string{"6.6.6.6"}, backends: "127.0.0.1"},
		{name: "trusted", proxies: []string{"127.0.0.0/8"}, sent: []string{"192.0.2.1"}, peer: "192.0.2.1", backends: "192.0.2.1, 127.0.0.1"},
		{name: "the right-most that is not", proxies: []string{"127.0.0.1", "10.0.0.0/8"}, sent: []string{"6.6.6.6, 192.0.2.1", "10.1.2.3"}, peer: "192.0.2.1",
			backends: "6.6.6.6, 192.0.2.1, 10.1.2.3, 127.0.0.1"},
		{name: "only proxies", proxies: []string{"127.0.0.1", "10.0.0.0/8"}, sent: []string{"10.1.2.3"}, peer: "10.1.2.3", backends: "10.1.2.3, 127.0.0.1"},
		{name: "nothing sent", proxies: []string{"127.0.0.1"}, backends: "127.0.0.1"},
		{name: "no address", proxies: []string{"127.0.0.1"}, sent: []string{"garbage"}, backends: "garbage, 127.0.0.1"},
		{name: "no address in front of a proxy", proxies: []string{"127.0.0.1", "10.0.0.0/8"}, sent: []string{"192.0.2.1, unknown, 10.1.2.3"}, peer: "10.1.2.3",
			backends: "192.0.2.1, unknown, 10.1.2.3, 127.0.0.1"},
		{name: "with ports", proxies: []string{"127.0.0.1", "10.0.0.0/8"}, sent: []string{"192.0.2.1:5555, 10.1.2.3:80"}, peer: "192.0.2.1",
			backends: "192.0.2.1:5555, 10.1.2.3:80, 127.0.0.1"},
		{name: "IPv6 in brackets", proxies: []string{"127.0.0.1", "2001:db8:1::/48"}, sent: []string{"[2001:db8::7], [2001:db8:1::1]:80"}, peer: "2001:db8::7",
			backends: "[2001:db8::7], [2001:db8:1::1]:80, 127.0.0.1"},
		{name: "empty elements", proxies: []string{"127.0.0.1"}, sent: []string{"192.0.2.1, ,"}, peer: "192.0.2.1", backends: "192.0.2.1, ,, 127.0.0.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := gatewaytest.Start(t, gatewaytest.Config(backend, edgetest.WithProxies(tc.proxies...)))
			var headers []string
			ctx := edgetest.Soon(t)
			for _, v := range tc.sent {
				headers = append(headers, "X-Forwarded-For: "+v)
				ctx = metadata.AppendToOutgoingContext(ctx, "x-forwarded-for", v)
			}
			check := func(calls int) {
				t.Helper()
				if got := strings.Join(gatewaytest.Receive(t, seen, "the call"), "|"); got != tc.backends {
					t.Errorf("the backend has %q, want %q", got, tc.backends)
				}
				peer := "peer=" + tc.peer + " "
				if tc.peer == "" {
					peer = "peer=127.0.0.1:"
				}
				gatewaytest.Eventually(t, "the call in the log as of "+peer, func() bool { return strings.Count(g.Log.String(), peer) == calls })
			}
			gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, "", headers...))
			check(1)
			for i, address := range []string{g.GRPC, g.HTTP} {
				if _, err := catalogv1.NewCatalogServiceClient(gatewaytest.Dial(t, address, nil)).GetProduct(ctx, &catalogv1.GetProductRequest{}); err != nil {
					t.Fatal(err)
				}
				check(i + 2)
			}
		})
	}
}

// TestForwardedGarbage: a hop that is no address does not get a client past a
// list of denied networks.
func TestForwardedGarbage(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(edgetest.Product(t, edgetest.FourKinds[edgetest.GetProduct]), edgetest.WithProxies("127.0.0.1"), func(c *configv1.Config) {
		c.Expose[0].Policy.Ip = &policyv1.Ip{Deny: []string{"127.0.0.0/8"}}
	}))
	for _, sent := range []string{"garbage", "_hidden", "999.1.1.1", "unknown, unknown", "192.0.2.1, garbage"} {
		if a := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, "", "X-Forwarded-For: "+sent)); a.StatusCode != http.StatusForbidden {
			t.Errorf("X-Forwarded-For %q over REST: %d, want 403", sent, a.StatusCode)
		}
		ctx := metadata.AppendToOutgoingContext(edgetest.Soon(t), "x-forwarded-for", sent)
		for _, address := range []string{g.GRPC, g.HTTP} {
			_, err := catalogv1.NewCatalogServiceClient(gatewaytest.Dial(t, address, nil)).GetProduct(ctx, &catalogv1.GetProductRequest{})
			if status.Code(err) != codes.PermissionDenied {
				t.Errorf("x-forwarded-for %q over gRPC: %v, want PERMISSION_DENIED", sent, err)
			}
		}
	}
}

// TestHTTPBody goes through as it is, both ways.
func TestHTTPBody(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, gatewaytest.Script{
		"/shop.catalog.v1.CatalogService/GetMedia": gatewaytest.Unary(func(context.Context, *catalogv1.GetMediaRequest) (*httpbody.HttpBody, error) {
			return &httpbody.HttpBody{ContentType: "image/png", Data: []byte("\x89PNG")}, nil
		}),
		"/shop.catalog.v1.CatalogService/UploadMedia": gatewaytest.Unary(func(_ context.Context, in *catalogv1.UploadMediaRequest) (*catalogv1.Media, error) {
			return &catalogv1.Media{Name: in.GetName(), ContentType: in.GetContent().GetContentType(), SizeBytes: int64(len(in.GetContent().GetData()))}, nil
		}),
	})))
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		got := gatewaytest.Do(t, client, g.Request(t, "GET", "/v1/products/boots/media/a/b.png", ""))
		if got.Text != "\x89PNG" || got.Header.Get("Content-Type") != "image/png" || got.ContentLength != 4 {
			t.Errorf("got %q %v", got.Text, got.Header)
		}
		got = gatewaytest.Do(t, client, g.Request(t, "PUT", "/v1/products/boots/media/a/b.png", "\x89PNG!", "Content-Type: image/png"))
		if got.Text != `{"name":"products/boots/media/a/b.png","contentType":"image/png","sizeBytes":"5"}` {
			t.Errorf("got %s", got.Text)
		}
	})
}

// TestSentPath: an encoded slash stays one, whatever else is in the path.
func TestSentPath(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, gatewaytest.Script{
		edgetest.GetProduct: gatewaytest.Unary(func(_ context.Context, in *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
			got <- in.GetName()
			return new(catalogv1.Product), nil
		}),
	})))
	for _, name := range []string{"a%2Fb", "a%2Fb|c", "a%2Fb\"c", "a%2Fb^c", "a%2Fb\u00e9", "a%2Freviews%2Fb{c}"} {
		answer := gatewaytest.Raw(t, g.HTTP, "GET /v1/products/"+name+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true)
		if !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
			t.Errorf("%s: got %q", name, answer)
			continue
		}
		if bound := gatewaytest.Receive(t, got, "a call"); bound != "products/"+name {
			t.Errorf("%s: the backend got %q", name, bound)
		}
	}
	for _, path := range []string{`/v1\products`, `/v1/products#a`, "/v1/products/a%2F..%2Fb|"} {
		answer := gatewaytest.Raw(t, g.HTTP, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true)
		if !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
			t.Errorf("%s: got %q, want 400", path, answer)
		}
	}
}
