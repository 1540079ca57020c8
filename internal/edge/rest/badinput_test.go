package rest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// aip193 reads an error body.
func aip193(t *testing.T, text string) (code int, status, message string) {
	t.Helper()
	var body struct {
		Error struct {
			Code            int
			Status, Message string
		}
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Fatalf("not an error body: %v: %q", err, text)
	}
	return body.Error.Code, body.Error.Status, body.Error.Message
}

// badRequest is a request that never reaches a backend.
type badRequest struct {
	name, method, target string
	body                 string
	chunked              bool
	headers              []string
	wantHTTP             int
	wantStatus           string
	wantMessage          string // a part of it
	wantHeader           string // "Name: value"
}

var badRequests = []badRequest{
	{name: "JSON cut off", method: "POST", target: "/v1/products", body: `{"displayName": `, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "line 1"},
	{name: "not JSON", method: "POST", target: "/v1/products", body: `displayName=boots`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "invalid JSON"},
	{name: "JSON of the wrong kind", method: "POST", target: "/v1/products", body: `[1]`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "expected an object"},
	{name: "data after the JSON", method: "POST", target: "/v1/products", body: `{} {}`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "line 1, column 4"},
	{name: "key given twice", method: "POST", target: "/v1/products", body: `{"shelf": "a", "shelf": "b"}`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "shelf"},
	{name: "two of a oneof", method: "POST", target: "/v1/products", body: `{"parcel": {}, "download": {}}`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "download"},
	{name: "wrong type", method: "POST", target: "/v1/products", body: `{"weightGrams": "heavy"}`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: `weightGrams: `},
	{name: "wrong type in a list", method: "POST", target: "/v1/products", body: `{"images": [{"altText": "x"}, {"altText": 7}]}`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: `images[1].altText: `},
	{name: "wrong enum", method: "POST", target: "/v1/products", body: `{"state": "STATE_LOST"}`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: `state: `},
	{name: "wrong time", method: "POST", target: "/v1/products", body: `{"createTime": "yesterday"}`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: `createTime: `},
	{name: "number out of range", method: "POST", target: "/v1/products", body: `{"warrantyMonths": 3000000000}`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: `warrantyMonths: `},
	{name: "unknown field", method: "POST", target: "/v1/products", body: `{"displayNam": "x"}`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: `displayName`},
	{name: "field of the path in the body", method: "PATCH", target: "/v1/products/boots", body: `{"name": "products/other"}`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: `name`},
	{name: "field of the path in the query", method: "GET", target: "/v1/products/boots?name=products/other", wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: `name`},
	{name: "unknown parameter", method: "GET", target: "/v1/products?pagesize=2", wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: `pageSize`},
	{name: "wrong type in a parameter", method: "GET", target: "/v1/products?pageSize=many", wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: `pageSize: `},
	{name: "parameter given twice", method: "GET", target: "/v1/products?pageSize=1&pageSize=2", wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: `pageSize`},
	{name: "bad percent-encoding in a parameter", method: "GET", target: "/v1/products?pageToken=%25zz&currency=%zz", wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "currency"},
	{name: "too many parameters", method: "GET", target: "/v1/products:search?" + strings.Repeat("tags=a&", 1001), wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "1000"},
	{name: "query where the body is all", method: "POST", target: "/v1/prices:quote?currency=EUR", body: `{}`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "currency"},
	{name: "body of a GET", method: "GET", target: "/v1/products", body: `{}`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "GET /v1/products takes no body"},
	{name: "chunked body of a GET", method: "GET", target: "/v1/products", body: `{}`, chunked: true, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "takes no body"},
	{name: "body of a DELETE", method: "DELETE", target: "/v1/products/boots", body: `{"etag": "x"}`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "takes no body"},
	{name: "body of a server stream", method: "GET", target: "/v1/warehouses/w/stock/s:watch", body: `{}`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "takes no body"},
	{name: "too large", method: "POST", target: "/v1/products", body: `{"description": "` + strings.Repeat("x", edgetest.SmallBody) + `"}`, wantHTTP: 413, wantStatus: "RESOURCE_EXHAUSTED", wantMessage: "at most 4096 bytes"},
	{name: "too large and chunked", method: "POST", target: "/v1/products", body: `{"description": "` + strings.Repeat("x", edgetest.SmallBody) + `"}`, chunked: true, wantHTTP: 413, wantStatus: "RESOURCE_EXHAUSTED", wantMessage: "at most 4096 bytes"},
	{name: "too large in a stream", method: "POST", target: "/v1/stock:importCounts", body: `{"name": "` + strings.Repeat("x", 2*edgetest.SmallBody) + `"}`, chunked: true, wantHTTP: 413, wantStatus: "RESOURCE_EXHAUSTED", wantMessage: "at most 4096 bytes"},
	{name: "too deep", method: "POST", target: "/v1/customers/c/orders", body: `{"metadata": ` + strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat(`}`, 101), wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "100"},
	{name: "too deep in a list", method: "POST", target: "/v1/customers/c/orders", body: `{"metadata": {"a": ` + strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100) + `}}`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "100"},
	{name: "invalid UTF-8 in the body", method: "POST", target: "/v1/products", body: "{\"displayName\": \"\xff\"}", wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "UTF-8"},
	{name: "lone surrogate in the body", method: "POST", target: "/v1/products", body: `{"displayName": "\ud800"}`, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "displayName"},
	{name: "invalid UTF-8 in the path", method: "GET", target: "/v1/products/%ff", wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "UTF-8"},
	{name: "NUL in the path", method: "GET", target: "/v1/products/a%00b", wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "path"},
	{name: "invalid UTF-8 in a parameter", method: "GET", target: "/v1/products?pageToken=%ff", wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "pageToken"},
	{name: "doubled slash", method: "GET", target: "/v1//products", wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "path"},
	{name: "dot segment", method: "GET", target: "/v1/products/../orders", wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "path"},
	{name: "dot segment encoded", method: "GET", target: "/v1/products/%2e%2E", wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "path"},
	{name: "unknown path", method: "GET", target: "/v2/products", wantHTTP: 404, wantStatus: "NOT_FOUND", wantMessage: "/v2/products"},
	{name: "slash at the end", method: "GET", target: "/v1/products/", wantHTTP: 404, wantStatus: "NOT_FOUND", wantMessage: "/v1/products/"},
	{name: "unknown RPC by its gRPC path", method: "POST", target: "/shop.catalog.v1.CatalogService/Nothing", body: "{}", wantHTTP: 404, wantStatus: "NOT_FOUND", wantMessage: "POST /shop.catalog"},
	{name: "wrong method", method: "PUT", target: "/v1/products", body: "{}", wantHTTP: 405, wantStatus: "UNIMPLEMENTED", wantMessage: "PUT is not allowed", wantHeader: "Allow: GET, HEAD, POST"},
	{name: "method nobody knows", method: "BREW", target: "/v1/products:search", wantHTTP: 405, wantStatus: "UNIMPLEMENTED", wantMessage: "BREW", wantHeader: "Allow: GET, HEAD, POST"},
	{name: "method override", method: "POST", target: "/v1/products/boots", headers: []string{"X-HTTP-Method-Override: DELETE"}, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "X-Http-Method-Override"},
	{name: "method override where POST is served", method: "POST", target: "/v1/products", body: "{}", headers: []string{"X-HTTP-Method-Override: GET"}, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "X-Http-Method-Override"},
	{name: "another method override", method: "POST", target: "/v1/products", body: "{}", headers: []string{"X-HTTP-Method: PATCH"}, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "X-Http-Method"},
	{name: "form standing for a GET", method: "POST", target: "/v1/products", body: "pageSize=1", headers: []string{"Content-Type: application/x-www-form-urlencoded"}, wantHTTP: 415, wantStatus: "INVALID_ARGUMENT", wantMessage: "application/x-www-form-urlencoded"},
	{name: "another media type", method: "POST", target: "/v1/products", body: "<a/>", headers: []string{"Content-Type: text/xml"}, wantHTTP: 415, wantStatus: "INVALID_ARGUMENT", wantMessage: "text/xml"},
	{name: "another charset", method: "POST", target: "/v1/products", body: `{}`, headers: []string{"Content-Type: application/json; charset=latin1"}, wantHTTP: 415, wantStatus: "INVALID_ARGUMENT", wantMessage: "latin1"},
	{name: "compressed", method: "POST", target: "/v1/products", body: "\x1f\x8b", headers: []string{"Content-Encoding: gzip"}, wantHTTP: 415, wantStatus: "INVALID_ARGUMENT", wantMessage: "gzip"},
	{name: "deadline that is none", method: "GET", target: "/v1/products", headers: []string{"Grpc-Timeout: soon"}, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "Grpc-Timeout"},
	{name: "deadline of nothing", method: "GET", target: "/v1/products", headers: []string{"Grpc-Timeout: 0S"}, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "Grpc-Timeout"},
	{name: "deadline too long to write", method: "GET", target: "/v1/products", headers: []string{"Grpc-Timeout: 123456789m"}, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "1 to 8 digits"},
	{name: "negative deadline", method: "GET", target: "/v1/products", headers: []string{"X-Server-Timeout: -1"}, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "X-Server-Timeout"},
	{name: "Connect's deadline of nothing", method: "GET", target: "/v1/products", headers: []string{"Connect-Timeout-Ms: 0"}, wantHTTP: 400, wantStatus: "INVALID_ARGUMENT", wantMessage: "Connect-Timeout-Ms"},
	{name: "too many values in a binary header", method: "GET", target: "/v1/products", headers: []string{"X-Token-Bin: " + strings.Repeat(",", 101)}, wantHTTP: 431, wantStatus: "INVALID_ARGUMENT", wantMessage: "at most 100"},
	{name: "too many headers", method: "GET", target: "/v1/products", headers: edgetest.ManyHeaders(101), wantHTTP: 431, wantStatus: "INVALID_ARGUMENT", wantMessage: "at most 100"},
}

// TestBadRequestREST sends every bad request over HTTP/1.1 and HTTP/2. No unary one
// may reach the backend, which has no script for it.
func TestBadRequestREST(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, gatewaytest.Script{
		"/shop.inventory.v1.InventoryService/WatchStock":   edgetest.BeginsStream,
		"/shop.inventory.v1.InventoryService/ImportCounts": edgetest.BeginsStream,
	}), edgetest.SmallLimits))
	for _, proto := range []struct {
		name   string
		client *http.Client
	}{{"HTTP/1.1", gatewaytest.Client(t)}, {"HTTP/2.0", gatewaytest.Client(t, gatewaytest.H2C)}} {
		for _, tc := range badRequests {
			t.Run(proto.name+"/"+tc.name, func(t *testing.T) {
				r := g.Request(t, tc.method, tc.target, tc.body, tc.headers...)
				if tc.chunked {
					r.Body, r.ContentLength = io.NopCloser(strings.NewReader(tc.body)), -1
				}
				tc.check(t, gatewaytest.Do(t, proto.client, r))
			})
		}
	}
}

func (tc *badRequest) check(t *testing.T, got gatewaytest.Answer) {
	t.Helper()
	edgetest.CheckNoLeak(t, got.Text)
	code, status, message := aip193(t, got.Text)
	if got.StatusCode != tc.wantHTTP || code != tc.wantHTTP || status != tc.wantStatus || !strings.Contains(message, tc.wantMessage) {
		t.Errorf("got HTTP %d, body %d %s %q; want %d %s with %q", got.StatusCode, code, status, message, tc.wantHTTP, tc.wantStatus, tc.wantMessage)
	}
	if ct := got.Header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("content type %q", ct)
	}
	if got.Header.Get("X-Request-Id") == "" {
		t.Error("no X-Request-Id")
	}
	if name, value, ok := strings.Cut(tc.wantHeader, ": "); ok && got.Header.Get(name) != value {
		t.Errorf("header %s: got %q, want %q", name, got.Header.Get(name), value)
	}
}

// TestRPCPath: the path of an RPC is for the protocols that call it there. Clients of
// others would misread a JSON body.
func TestRPCPath(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, nil)))
	for _, contentType := range []string{"text/plain", "application/xml", "application/x-www-form-urlencoded"} {
		got := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "POST", edgetest.GetProduct, "{}", "Content-Type: "+contentType))
		if got.StatusCode != 415 || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/plain") || !strings.Contains(got.Text, "application/grpc") {
			t.Errorf("%s: got %d %s", contentType, got.StatusCode, got.Text)
		}
	}
}

// TestBadFraming sends what no client library would.
func TestBadFraming(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, nil), edgetest.SmallLimits))
	for _, tc := range []struct{ name, request, want string }{
		{"bad percent-encoding", "GET /v1/products/%zz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 "},
		{"no HTTP", "hello\r\n\r\n", "HTTP/1.1 400 "},
		{"space in the path", "GET /v1/products/a b HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 "},
		{"no host", "GET /v1/products HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
		{"two lengths", "POST /v1/products HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "HTTP/1.1 400 "},
		{"length that is none", "POST /v1/products HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}", "HTTP/1.1 400 "},
		{"chunk that is none", "POST /v1/products HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400 "},
		{"body cut off", "POST /v1/products HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n{}", "HTTP/1.1 400 "},
		{"chunks cut off", "POST /v1/products HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "HTTP/1.1 400 "},
		{"encoding nobody knows", "POST /v1/products HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501 "},
		{"upgrade with a body", "POST /v1/products HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 400 "},
		{"header too large", "GET /v1/products HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n", "HTTP/1.1 431 "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := gatewaytest.Raw(t, g.HTTP, tc.request, false)
			if !strings.HasPrefix(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			edgetest.CheckNoLeak(t, got)
		})
	}
}
