package edge_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestForwardedHostAndScheme: what a proxy says of the client's connection is
// believed of trusted ones only, through every door.
func TestForwardedHostAndScheme(t *testing.T) {
	t.Parallel()
	const trusted, other = "127.0.0.0/8", "10.0.0.0/8"
	for _, tc := range []struct {
		name, proxies string
		hosts, protos []string
		host, proto   string // "" for the connection's own
	}{
		{name: "nobody is trusted", hosts: []string{"evil"}, protos: []string{"https"}},
		{name: "others are trusted", proxies: other, hosts: []string{"evil"}, protos: []string{"https"}},
		{name: "trusted", proxies: trusted, hosts: []string{"shop.example:8443"}, protos: []string{"https"}, host: "shop.example:8443", proto: "https"},
		{name: "nothing sent", proxies: trusted},
		{name: "several values", proxies: trusted, hosts: []string{"evil, a.example", "b.example, shop.example"}, protos: []string{"https,http", "http, HTTPS"}, host: "shop.example", proto: "https"},
		{name: "several values, the last in the clear", proxies: trusted, protos: []string{"https, http"}},
		{name: "no host and no scheme", proxies: trusted, hosts: []string{"a b"}, protos: []string{"gopher"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			g, seen := seeing(t, edgetest.WithProxies(strings.Fields(tc.proxies)...), func(c *configv1.Config) {
				next := proto.CloneOf(c.GetUpstreams()[0])
				next.Name = "next"
				c.Upstreams = append(c.Upstreams, next)
				c.Expose[0].Routes = []*configv1.Route{{Hosts: []string{"shop.example"}, Upstream: "next"}}
			})
			var headers []string
			ctx := edgetest.Soon(t)
			for name, values := range map[string][]string{"X-Forwarded-Host": tc.hosts, "X-Forwarded-Proto": tc.protos} {
				for _, v := range values {
					headers = append(headers, name+": "+v)
					ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(name), v)
				}
			}
			calls := 0
			check := func(door, address string) {
				t.Helper()
				md := gatewaytest.Receive(t, seen, "the call")
				host, scheme := cmp.Or(tc.host, address), cmp.Or(tc.proto, "http")
				if !slices.Equal(md["x-forwarded-host"], []string{host}) || !slices.Equal(md["x-forwarded-proto"], []string{scheme}) {
					t.Errorf("%s: the backend has host %q and scheme %q, want %s and %s", door, md["x-forwarded-host"], md["x-forwarded-proto"], host, scheme)
				}
				if calls++; tc.host != "" { // routes go by the same host
					gatewaytest.Eventually(t, "the upstream in the log", func() bool { return strings.Count(g.Log.String(), "upstream=next") == calls })
				}
			}
			got := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, "", headers...))
			check("REST", g.HTTP)
			if has := got.Header.Get("Strict-Transport-Security") != ""; has != (tc.proto == "https") {
				t.Errorf("Strict-Transport-Security is there: %v", has)
			}
			for door, address := range map[string]string{"native": g.GRPC, "http": g.HTTP} {
				if _, err := catalogv1.NewCatalogServiceClient(gatewaytest.Dial(t, address, nil)).GetProduct(ctx, &catalogv1.GetProductRequest{}); err != nil {
					t.Fatal(err)
				}
				check(door, address)
			}
		})
	}
}

// TestUserAgent: backends and the log have the client's, and nobody else's word
// for it.
func TestUserAgent(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		key    string
		change gatewaytest.Change
	}{
		{"x-forwarded-user-agent", func(*configv1.Config) {}},
		{"grpcgateway-user-agent", func(c *configv1.Config) { c.Json = &configv1.Json{Profile: configv1.Json_PROFILE_GRPC_GATEWAY} }},
	} {
		t.Run(tc.key, func(t *testing.T) {
			t.Parallel()
			g, seen := seeing(t, tc.change, edgetest.WithProxies("127.0.0.0/8"))
			check := func(door, want string) {
				t.Helper()
				md := gatewaytest.Receive(t, seen, "the call")
				for key, values := range md {
					if strings.Contains(strings.Join(values, ""), "evil") {
						t.Errorf("%s: the backend has %s: %q", door, key, values)
					}
				}
				if got := strings.Join(md[tc.key], "|"); !strings.HasPrefix(got, want) || (got == "") != (want == "") {
					t.Errorf("%s: the backend has %q, want %q", door, got, want)
				}
			}
			evil := []string{
				"X-Forwarded-User-Agent: evil", "X_Forwarded_User_Agent: evil", "X.Forwarded.User.Agent: evil", "Grpcgateway-User-Agent: evil",
				"Grpcgateway_User.Agent: evil", "Grpc-Metadata-User-Agent: evil", "Grpc-Metadata-X-Forwarded-User-Agent: evil",
			}
			gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, "", append(evil, "User-Agent: Mozilla/5.0 (X11)")...))
			check("REST", "Mozilla/5.0 (X11)")
			gatewaytest.Eventually(t, "the user agent in the log", func() bool { return strings.Contains(g.Log.String(), `user_agent="Mozilla/5.0 (X11)"`) })
			gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, "", append(evil, "User-Agent: caf\u00e9")...))
			check("REST, not ASCII", "")
			gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, "", append(evil, "User-Agent: "+strings.Repeat("a", 1000))...))
			check("REST, long", strings.Repeat("a", 1000))
			gatewaytest.Eventually(t, "a part of the long one in the log", func() bool {
				return strings.Contains(g.Log.String(), "user_agent="+strings.Repeat("a", 256)+"... ")
			})
			ctx := metadata.AppendToOutgoingContext(edgetest.Soon(t), "x-forwarded-user-agent", "evil", "x_forwarded.user-agent", "evil", "grpcgateway-user-agent", "evil")
			for door, address := range map[string]string{"native": g.GRPC, "http": g.HTTP} {
				cc := gatewaytest.Dial(t, address, nil, grpc.WithUserAgent("app/1 "+door))
				if _, err := catalogv1.NewCatalogServiceClient(cc).GetProduct(ctx, &catalogv1.GetProductRequest{}); err != nil {
					t.Fatal(err)
				}
				check(door, "app/1 "+door+" grpc-go/")
				gatewaytest.Eventually(t, "the user agent in the log", func() bool { return strings.Contains(g.Log.String(), `user_agent="app/1 `+door) })
			}
		})
	}
}

// TestForwardedThatCannotBeMetadata: what a proxy passes on of a client's does not make a bad
// call of a good one.
func TestForwardedThatCannotBeMetadata(t *testing.T) {
	t.Parallel()
	g, seen := seeing(t, edgetest.WithProxies("127.0.0.0/8"))
	gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, "", "X-Forwarded-For: caf\u00e9, 192.0.2.1", "X-Forwarded-Host: caf\u00e9"))
	md := gatewaytest.Receive(t, seen, "the call")
	if !slices.Equal(md["x-forwarded-for"], []string{"127.0.0.1"}) || !slices.Equal(md["x-forwarded-host"], []string{g.HTTP}) {
		t.Errorf("the backend has %q", md)
	}
	if got := metric(t, g, `gatehouse_dropped_headers_total{reason="value"}`); got != "1" {
		t.Errorf("%s were counted, want 1", got)
	}
}
