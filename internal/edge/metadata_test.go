package edge_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// seeing is a gateway whose backend tells the metadata of each call of GetProduct.
func seeing(t *testing.T, changes ...gatewaytest.Change) (*gatewaytest.Gateway, <-chan metadata.MD) {
	t.Helper()
	seen := make(chan metadata.MD, 1)
	return gatewaytest.Start(t, gatewaytest.Config(edgetest.Product(t, func(srv any, ss grpc.ServerStream) error {
		in, _ := metadata.FromIncomingContext(ss.Context())
		seen <- in
		return edgetest.FourKinds[edgetest.GetProduct](srv, ss)
	}), changes...)), seen
}

// metric is one line of /metrics, or "".
func metric(t *testing.T, g *gatewaytest.Gateway, series string) string {
	t.Helper()
	for line := range strings.Lines(gatewaytest.Do(t, gatewaytest.Client(t), adminRequest(t, g, "/metrics")).Text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// TestHeadersThatCannotBeMetadata: they go no further, whole, and the request
// goes on.
func TestHeadersThatCannotBeMetadata(t *testing.T) {
	t.Parallel()
	g, seen := seeing(t)
	counted := map[string]int{"name": 0, "value": 0, "binary": 0}
	for _, tc := range []struct{ lines, key, reason string }{
		{"CF-IPCity: S\xc3\xa3o Paulo\r\n", "cf-ipcity", "value"},
		{"CF-IPCity: S\xe3o Paulo\r\n", "cf-ipcity", "value"},
		{"X-Tab: a\tb\r\n", "x-tab", "value"},
		{"X-Two: a\r\nX-Two: \xe3\r\n", "x-two", "value"},
		{"Grpc-Metadata-City: S\xe3o\r\n", "city", "value"},
		{"Authorization: Bearer a\r\nAuthorization: Bearer \xe3\r\n", "authorization", "value"},
		{"Foo+Bar: 1\r\n", "foo+bar", "name"},
		{"x'odd: 1\r\n", "x'odd", "name"},
		{"X-A-Bin: !!\r\n", "x-a-bin", "binary"},
		{"X-A-Bin: AQ==\r\nX-A-Bin: !!\r\n", "x-a-bin", "binary"},
		{"X-A-Bin: AQ==,!!\r\n", "x-a-bin", "binary"},
	} {
		got := gatewaytest.Raw(t, g.HTTP, "GET "+edgetest.ProductPath+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Good: 1\r\n"+tc.lines+"\r\n", true)
		if !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("%q: got %q", tc.lines, got)
			continue
		}
		md := gatewaytest.Receive(t, seen, "the call")
		if md[tc.key] != nil || !slices.Equal(md["x-good"], []string{"1"}) {
			t.Errorf("%q: the backend has %q", tc.lines, md)
		}
		counted[tc.reason]++
		for reason, n := range counted {
			if got := metric(t, g, fmt.Sprintf("gatehouse_dropped_headers_total{reason=%q}", reason)); got != fmt.Sprint(n) {
				t.Errorf("%q: %s for %s were counted, want %d", tc.lines, got, reason, n)
			}
		}
	}
}

// TestIdempotencyKeyThatCannotBeMetadata: it arrives empty, so that whoever knows keys
// refuses it. Without a word of it the call would be carried out without one.
func TestIdempotencyKeyThatCannotBeMetadata(t *testing.T) {
	t.Parallel()
	g, seen := seeing(t)
	gatewaytest.Raw(t, g.HTTP, "GET "+edgetest.ProductPath+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nIdempotency-Key: S\xe3o\r\n\r\n", true)
	if got := gatewaytest.Receive(t, seen, "the call")["idempotency-key"]; !slices.Equal(got, []string{""}) {
		t.Errorf("the backend has the key %q, want an empty one", got)
	}
}

// TestBinaryHeaders: values of a key that ends in "-bin" stand in one line or in
// several, padded or not.
func TestBinaryHeaders(t *testing.T) {
	t.Parallel()
	g, seen := seeing(t)
	good := string(edgetest.Wire(t, &catalogv1.GetProductRequest{Name: "products/boots"}))
	for _, tc := range []struct {
		lines []string
		want  []string
	}{
		{[]string{"AQ==,Ag=="}, []string{"\x01", "\x02"}},
		{[]string{"AQ,Ag"}, []string{"\x01", "\x02"}},
		{[]string{"AQ== , Ag"}, []string{"\x01", "\x02"}},
		{[]string{"AQ==", "Ag=="}, []string{"\x01", "\x02"}},
		{[]string{"AQ,Ag==", "Aw"}, []string{"\x01", "\x02", "\x03"}},
		{[]string{"AQID,AQI="}, []string{"\x01\x02\x03", "\x01\x02"}},
		{[]string{"AQI"}, []string{"\x01\x02"}},
		{[]string{"AQ,,Ag"}, []string{"\x01", "", "\x02"}},
		{[]string{""}, []string{""}},
	} {
		rest, call := "", []string{":method", "POST", ":scheme", "http", ":authority", "a", ":path", edgetest.GetProduct, "content-type", "application/grpc", "te", "trailers"}
		for _, line := range tc.lines {
			rest += "X-A-Bin: " + line + "\r\n"
			call = append(call, "x-a-bin", line)
		}
		got := gatewaytest.Raw(t, g.HTTP, "GET "+edgetest.ProductPath+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+rest+"\r\n", true)
		if !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("REST, %q: got %q", tc.lines, got)
			continue
		}
		if md := gatewaytest.Receive(t, seen, "the call"); !slices.Equal(md["x-a-bin"], tc.want) {
			t.Errorf("REST, %q: the backend has %q, want %q", tc.lines, md["x-a-bin"], tc.want)
		}
		h2 := newRawH2(t, g.HTTP)
		if got := h2.do(edgetest.Frame(0, []byte(good)), call...); got.fields["grpc-status"] != "0" {
			t.Errorf("gRPC, %q: got %v", tc.lines, got.fields)
			continue
		}
		if md := gatewaytest.Receive(t, seen, "the call"); !slices.Equal(md["x-a-bin"], tc.want) {
			t.Errorf("gRPC, %q: the backend has %q, want %q", tc.lines, md["x-a-bin"], tc.want)
		}
	}
}
