package grpc_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, _ = w.Write(b)
	_ = w.Close()
	return buf.Bytes()
}

// rawGRPC sends a gRPC request byte by byte and tells how it ended.
func rawGRPC(t *testing.T, client *http.Client, address, path, body string, headers ...string) (httpStatus int, grpcStatus, message string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = -1
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Content-Type" {
			r.Header.Del(name)
		}
		r.Header.Add(name, value)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	from := resp.Trailer
	if from.Get("Grpc-Status") == "" {
		from = resp.Header
	}
	return resp.StatusCode, from.Get("Grpc-Status"), from.Get("Grpc-Message")
}

// TestBadRequestGRPC sends bad calls by both doors. None may reach the backend,
// whose script is empty.
func TestBadRequestGRPC(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, nil), edgetest.SmallLimits))
	good := edgetest.Wire(t, &catalogv1.GetProductRequest{Name: "products/boots"})
	large := bytes.Repeat([]byte{'x'}, 2*edgetest.SmallBody)
	for _, tc := range []struct {
		name, path, body string
		headers          []string
		wantStatus       string // of gRPC
		wantMessage      string
		// ownWords says that grpc-go's server sends this status itself, before
		// a handler could say it better; the code is that of gRPC's
		// specification, which has INTERNAL for broken messages.
		ownWords bool
		// native is what grpc-go answers to headers it cannot read, on a
		// listener of its own.
		native string
	}{
		{name: "unknown RPC", path: "/shop.catalog.v1.CatalogService/Nothing", body: edgetest.Frame(0, good), wantStatus: "12", wantMessage: "/shop.catalog.v1.CatalogService/Nothing"},
		{name: "unknown service", path: "/shop.nothing.v1.Nothing/Get", body: edgetest.Frame(0, good), wantStatus: "12", wantMessage: "/shop.nothing.v1.Nothing/Get"},
		{name: "RPC in another case", path: strings.ToLower(edgetest.GetProduct), body: edgetest.Frame(0, good), wantStatus: "12", wantMessage: "not served here"},
		{name: "path that is no RPC", path: "/nothing", body: edgetest.Frame(0, good), wantStatus: "12"},
		{name: "no message", path: edgetest.GetProduct, wantStatus: "12", wantMessage: "no message"},
		{name: "two messages", path: edgetest.GetProduct, body: edgetest.Frame(0, good) + edgetest.Frame(0, good), wantStatus: "12", wantMessage: "more than one message"},
		{name: "message too large", path: edgetest.GetProduct, body: edgetest.Frame(0, large), wantStatus: "8", wantMessage: "4096", ownWords: true},
		{name: "message announced too large", path: edgetest.GetProduct, body: "\x00\xff\xff\xff\xff", wantStatus: "8", wantMessage: "4096", ownWords: true},
		{name: "message that unpacks too large", path: edgetest.GetProduct, body: edgetest.Frame(1, gzipped(t, large)), headers: []string{"Grpc-Encoding: gzip"}, wantStatus: "8", wantMessage: "4096", ownWords: true},
		{name: "message cut off", path: edgetest.GetProduct, body: edgetest.Frame(0, good)[:8], wantStatus: "13", ownWords: true},
		{name: "compressed message that does not unpack", path: edgetest.GetProduct, body: edgetest.Frame(1, good), headers: []string{"Grpc-Encoding: gzip"}, wantStatus: "13", wantMessage: "gzip", ownWords: true},
		{name: "compressed message without encoding", path: edgetest.GetProduct, body: edgetest.Frame(1, good), wantStatus: "13", wantMessage: "compress", ownWords: true},
		{name: "flag that is none", path: edgetest.GetProduct, body: edgetest.Frame(7, good), wantStatus: "13", ownWords: true},
		{name: "encoding nobody knows", path: edgetest.GetProduct, body: edgetest.Frame(1, good), headers: []string{"Grpc-Encoding: lzma"}, wantStatus: "12", wantMessage: "lzma", ownWords: true},
		{name: "deadline that is none", path: edgetest.GetProduct, body: edgetest.Frame(0, good), headers: []string{"Grpc-Timeout: soon"}, wantStatus: "3", native: "13", wantMessage: "grpc-timeout"},
		{name: "deadline of nothing", path: edgetest.GetProduct, body: edgetest.Frame(0, good), headers: []string{"Grpc-Timeout: 0S"}, wantStatus: "4", ownWords: true},
		{name: "message format", path: edgetest.GetProduct, body: edgetest.Frame(0, []byte("{}")), headers: []string{"Content-Type: application/grpc+thrift"}, wantStatus: "12", wantMessage: "thrift"},
		{name: "too many metadata values", path: edgetest.GetProduct, body: edgetest.Frame(0, good), headers: edgetest.ManyHeaders(100), wantStatus: "8", wantMessage: "at most 100"},
		{name: "metadata that is not ASCII", path: edgetest.GetProduct, body: edgetest.Frame(0, good), headers: []string{"X-Name: Zo\u00eb"}, wantStatus: "3", wantMessage: "x-name"},
		{name: "metadata with a tab", path: edgetest.GetProduct, body: edgetest.Frame(0, good), headers: []string{"X-Name: a\tb"}, wantStatus: "3", wantMessage: "x-name"},
		{name: "key of metadata with a quote", path: edgetest.GetProduct, body: edgetest.Frame(0, good), headers: []string{"X'odd: 1"}, wantStatus: "3", wantMessage: "x'odd"},
		{name: "binary metadata that is not base64", path: edgetest.GetProduct, body: edgetest.Frame(0, good), headers: []string{"X-Token-Bin: !!"}, wantStatus: "3", native: "13", wantMessage: "x-token-bin"},
	} {
		for _, door := range []struct{ name, address string }{{"native", g.GRPC}, {"http", g.HTTP}} {
			t.Run(tc.name+"/"+door.name, func(t *testing.T) {
				httpStatus, got, message := rawGRPC(t, gatewaytest.Client(t, gatewaytest.H2C), door.address, tc.path, tc.body, tc.headers...)
				if door.name == "native" && tc.native != "" {
					if got != tc.native {
						t.Errorf("got HTTP %d, grpc-status %q %q; want %s", httpStatus, got, message, tc.native)
					}
					return
				}
				if httpStatus != http.StatusOK {
					t.Errorf("HTTP %d: want 200, whatever the call's own status", httpStatus)
				}
				if got != tc.wantStatus || !strings.Contains(message, tc.wantMessage) {
					t.Errorf("got HTTP %d, grpc-status %q %q; want %s with %q", httpStatus, got, message, tc.wantStatus, tc.wantMessage)
				}
				if !tc.ownWords {
					edgetest.CheckNoLeak(t, message)
				}
			})
		}
	}
}
