package edge_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/edge/doors"
	edgegrpc "github.com/gatehouse-dev/gatehouse/internal/edge/grpc"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// plainDoors are edges without the rest of a gateway: what reaches the chain of
// the one method, GET or POST /v1/things, is given to seen.
func plainDoors(t *testing.T, reserved edge.Reserved, seen chan<- metadata.MD) (httpAddress, grpcAddress string) {
	t.Helper()
	m := &call.Method{Name: "/s.v1.S/M", Conn: calltest.Conn{OnInvoke: func(ctx context.Context, _ string, args, _ any, _ ...grpc.CallOption) error {
		if _, err := args.(*call.Pending).Message(); err != nil {
			return err
		}
		md, _ := metadata.FromOutgoingContext(ctx)
		seen <- md
		return nil
	}}}
	template, err := httprule.Parse("/v1/things")
	if err != nil {
		t.Fatal(err)
	}
	var routes httprule.Builder[*edge.Route]
	if err := routes.Add("POST", template, "here", &edge.Route{Method: m, Binding: &contract.Binding{Name: "POST /v1/things", Body: "*"}, View: edgetest.Plain{}}); err != nil {
		t.Fatal(err)
	}
	return serveTable(t, &edge.Table{
		Table:  call.NewTable([]*call.Method{m}, &call.Method{Conn: interceptors.Chain(call.Refuser{})}),
		Routes: routes.Build(), Errors: &edge.Errors{}, Reserved: reserved,
	})
}

// serveTable serves a table on both ports, without the rest of a gateway.
func serveTable(t *testing.T, table *edge.Table, around ...func(http.Handler) http.Handler) (httpAddress, grpcAddress string) {
	t.Helper()
	var current edge.Current
	current.Store(table)
	s := &edge.Settings{Table: &current, MaxBody: 100, MaxHeaders: 100, RequestID: func() string { return "ours" }}
	newServer := func() *grpc.Server {
		return grpc.NewServer(grpc.ForceServerCodecV2(call.Codec{}), grpc.UnknownServiceHandler(edgegrpc.Handler(s)))
	}
	handler := doors.Handler(s)(newServer())
	for _, wrap := range around {
		handler = wrap(handler)
	}
	web := httptest.NewUnstartedServer(handler)
	web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	web.Config.Protocols = new(http.Protocols)
	web.Config.Protocols.SetHTTP1(true)
	web.Config.Protocols.SetUnencryptedHTTP2(true)
	web.Start()
	t.Cleanup(web.Close)
	native, l := newServer(), gatewaytest.Listen(t)
	go func() { _ = native.Serve(l) }()
	t.Cleanup(native.Stop)
	return web.Listener.Addr().String(), l.Addr().String()
}

// TestIdentityHeaders: nothing by which a gateway tells backends who calls can
// come from a client, in whatever spelling.
func TestIdentityHeaders(t *testing.T) {
	t.Parallel()
	const evil = "evil"
	names := []string{
		"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-user", "x-forwarded-client-cert", "forwarded", "x-real-ip",
		"x-request-id", "x-user", "x-user-claims", "gatehouse.caller", "traceparent", "tracestate", "x-forwarded-user-agent", "grpcgateway-user-agent",
	}
	spell := []func(string) string{
		func(n string) string { return n },
		strings.ToUpper,
		http.CanonicalHeaderKey,
		func(n string) string { return strings.ReplaceAll(n, "-", "_") },
		func(n string) string { return strings.Replace(n, "-", "_", 1) },
		func(n string) string { return strings.ToUpper(strings.ReplaceAll(n, "-", "_")) },
		func(n string) string { return strings.ReplaceAll(n, "-", ".") },
		func(n string) string { return strings.ReplaceAll(n, ".", "-") },
		func(n string) string { return "Grpc-Metadata-" + n },
		func(n string) string { return "grpc-metadata-" + strings.ToUpper(n) },
		func(n string) string { return "Grpc_Metadata_" + n },
		func(n string) string { return "Grpc-Metadata-" + strings.ReplaceAll(n, "-", "_") },
		func(n string) string { return "Grpc-Metadata-Grpc-Metadata-" + n },
	}
	seen := make(chan metadata.MD, 1)
	web, native := plainDoors(t, edge.Reserve("x-user", "X-User-Claims", "gatehouse.caller"), seen)
	check := func(what string) {
		t.Helper()
		md := gatewaytest.Receive(t, seen, what)
		for key, values := range md {
			if strings.Contains(strings.Join(values, ","), evil) {
				t.Errorf("%s: the backend has %s: %q", what, key, values)
			}
		}
		for _, key := range []string{"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id", "traceparent"} {
			if len(md[key]) != 1 {
				t.Errorf("%s: %s: %q", what, key, md[key])
			}
		}
	}
	value := evil + " " + evil // no request id, for the space
	for _, name := range names {
		for _, s := range spell {
			spelled := s(name)
			for what, lines := range map[string]string{
				"once":               spelled + ": " + value + "\r\n",
				"repeated":           spelled + ": " + value + "\r\n" + spelled + ": " + value + "\r\n",
				"joined":             spelled + ": a, " + value + "\r\n",
				"named":              "Connection: " + spelled + ", close\r\n" + spelled + ": " + value + "\r\n",
				"named with others":  "Connection: x-forwarded-for,x-user,x-request-id,traceparent\r\n" + spelled + ": " + value + "\r\n",
				"with the good name": spelled + ": " + value + "\r\nx-user: " + value + "\r\n",
			} {
				got := gatewaytest.Raw(t, web, "POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"+lines+"\r\n", false)
				if !strings.HasPrefix(got, "HTTP/1.1 200 ") {
					t.Fatalf("%s %s: %s", spelled, what, got)
				}
				check("REST, " + what + ": " + spelled)
			}
			for door, address := range map[string]string{"native": native, "http": web} {
				h2 := newRawH2(t, address)
				lower := strings.ToLower(spelled)
				got := h2.do(edgetest.Frame(0, nil), ":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/s.v1.S/M",
					"content-type", "application/grpc", "te", "trailers", lower, value, lower, value)
				h2.close()
				if got.fields["grpc-status"] != "0" {
					t.Fatalf("%s %s: %v", door, lower, got.fields)
				}
				check("gRPC, " + door + ": " + lower)
			}
		}
	}
}

// TestPrefixedHeaders: "Grpc-Metadata-X" means X only where X itself does not
// come.
func TestPrefixedHeaders(t *testing.T) {
	t.Parallel()
	seen := make(chan metadata.MD, 1)
	web, _ := plainDoors(t, edge.Reserved{}, seen)
	for lines, want := range map[string]string{
		"Grpc-Metadata-Authorization: a\r\n":                     "a",
		"Grpc-Metadata-Authorization: a\r\nAuthorization: b\r\n": "b",
		"Authorization: b\r\nGrpc-Metadata-Authorization: a\r\n": "b",
	} {
		gatewaytest.Raw(t, web, "POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"+lines+"\r\n", false)
		if got := strings.Join(gatewaytest.Receive(t, seen, "the call")["authorization"], "|"); got != want {
			t.Errorf("%q: got %q, want %q", lines, got, want)
		}
	}
}

// TestFraming: what is decided does not depend on how the body comes, and what
// two parties may see the end of at two places is the last of its connection.
func TestFraming(t *testing.T) {
	t.Parallel()
	w, g := startWitness(t)
	const update, forbid = "PATCH /v1/products/boots", "POST /v1/products"
	large := `{"displayName": "` + strings.Repeat("x", 5<<20) + `"}`
	for _, tc := range []struct {
		name, request, body string
		want                string // what the backend is called with
	}{
		{"allowed", update, `{"displayName": "x"}`, "/shop.catalog.v1.CatalogService/UpdateProduct "},
		{"forbidden", forbid, `{"displayName": "x"}`, ""},
		{"too large", update, large, ""},
		{"too large and forbidden", forbid, large, ""},
		{"broken", update, `{"displayName": `, ""},
	} {
		method, target, _ := strings.Cut(tc.request, " ")
		chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(tc.body), tc.body)
		for framing, text := range map[string]string{
			"length":             fmt.Sprintf("Content-Length: %d\r\nConnection: close\r\n\r\n%s", len(tc.body), tc.body),
			"length twice":       fmt.Sprintf("Content-Length: %d\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(tc.body), len(tc.body), tc.body),
			"chunked":            "Transfer-Encoding: chunked\r\n\r\n" + chunked,
			"chunked and length": "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked,
		} {
			id := w.id()
			gatewaytest.Raw(t, g.HTTP, fmt.Sprintf("%s HTTP/1.1\r\nHost: a\r\nX-Request-Id: %s\r\n%s", tc.request, id, text), true)
			if called, _, _ := strings.Cut(w.judge(t, id, tc.name+" "+framing), "\n"); !strings.HasPrefix(called, tc.want) || (called == "") != (tc.want == "") {
				t.Errorf("%s, %s: called %q, want %q", tc.name, framing, called, tc.want)
			}
		}
		id := w.id()
		gatewaytest.Do(t, gatewaytest.Client(t, gatewaytest.H2C), g.Request(t, method, target, tc.body, "X-Request-Id: "+id))
		if called := w.judge(t, id, tc.name+" HTTP/2"); !strings.HasPrefix(called, tc.want) || (called == "") != (tc.want == "") {
			t.Errorf("%s, HTTP/2: called %q, want %q", tc.name, called, tc.want)
		}
	}
	smuggled := "GET /v1/products/boots HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, text := range map[string]string{
		"Content-Length and chunked": "POST /v1/products HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"chunked alone":              "POST /v1/products HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"HTTP/1.0":                   "GET /v1/products/boots HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggled,
	} {
		if got := gatewaytest.Raw(t, g.HTTP, text, true); strings.Count(got, "HTTP/1.") != 1 || !strings.Contains(got, "Connection: close\r\n") {
			t.Errorf("%s: got %q, want one answer and the end of the connection", name, got)
		}
	}
}
