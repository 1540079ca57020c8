package edge_test

import (
	"crypto/tls"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

func TestNewCORS(t *testing.T) {
	t.Parallel()
	if o, err := edge.NewCORS(nil); o != nil || err != nil {
		t.Errorf("without a configuration: got %v, %v", o, err)
	}
	for _, tc := range []struct {
		name  string
		conf  *configv1.Cors
		wrong string // "" is right
	}{
		{"all", &configv1.Cors{AllowOrigins: []string{"*"}}, ""},
		{"null", &configv1.Cors{AllowOrigins: []string{"null"}}, ""},
		{"many", &configv1.Cors{AllowOrigins: []string{"http://localhost:3000", "https://*.example.com:8443", "https://[::1]:80", "capacitor://localhost"}}, ""},
		{"headers", &configv1.Cors{AllowOrigins: []string{"*"}, AllowHeaders: []string{"*"}, ExposeHeaders: []string{"*"}}, ""},
		{"no origin", &configv1.Cors{}, "allow_origins"},
		{"all with credentials", &configv1.Cors{AllowOrigins: []string{"https://a", "*"}, AllowCredentials: true}, "allow_origins[1]"},
		{"path", &configv1.Cors{AllowOrigins: []string{"https://a/"}}, "allow_origins[0]"},
		{"no scheme", &configv1.Cors{AllowOrigins: []string{"shop.example.com"}}, "allow_origins[0]"},
		{"no host", &configv1.Cors{AllowOrigins: []string{"https://"}}, "allow_origins[0]"},
		{"upper case", &configv1.Cors{AllowOrigins: []string{"https://Shop"}}, "allow_origins[0]"},
		{"upper case scheme", &configv1.Cors{AllowOrigins: []string{"HTTPS://shop"}}, "allow_origins[0]"},
		{"default port", &configv1.Cors{AllowOrigins: []string{"https://shop:443"}}, "allow_origins[0]"},
		{"user", &configv1.Cors{AllowOrigins: []string{"https://me@shop"}}, "allow_origins[0]"},
		{"wildcard within", &configv1.Cors{AllowOrigins: []string{"https://shop.*.com"}}, "allow_origins[0]"},
		{"wildcard in a label", &configv1.Cors{AllowOrigins: []string{"https://*shop.com"}}, "allow_origins[0]"},
		{"wildcard alone", &configv1.Cors{AllowOrigins: []string{"https://*"}}, "allow_origins[0]"},
		{"wildcard twice", &configv1.Cors{AllowOrigins: []string{"https://*.*.com"}}, "allow_origins[0]"},
		{"not ASCII", &configv1.Cors{AllowOrigins: []string{"https://b\u00fccher.example"}}, "allow_origins[0]"},
		{"header that is none", &configv1.Cors{AllowOrigins: []string{"*"}, AllowHeaders: []string{"x", "a b"}}, "allow_headers[1]"},
		{"exposed header that is none", &configv1.Cors{AllowOrigins: []string{"*"}, ExposeHeaders: []string{""}}, "expose_headers[0]"},
		{"exposing all with credentials", &configv1.Cors{AllowOrigins: []string{"https://a"}, ExposeHeaders: []string{"*"}, AllowCredentials: true}, "expose_headers"},
	} {
		_, err := edge.NewCORS(tc.conf)
		if (err == nil) != (tc.wrong == "") || err != nil && !strings.HasPrefix(err.Error(), tc.wrong+": ") {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.wrong)
		}
	}
}

func withCORS(conf *configv1.Cors) gatewaytest.Change {
	return func(c *configv1.Config) { c.Cors = conf }
}

// originCases are origins against a list.
var originCases = []struct {
	list, origin string
	want         bool
}{
	{"https://shop.example.com", "https://shop.example.com", true},
	{"https://shop.example.com", "http://shop.example.com", false},
	{"https://shop.example.com", "https://shop.example.com:8443", false},
	{"https://shop.example.com", "https://shop.example.com.evil.org", false},
	{"https://shop.example.com", "https://shop.example.com/", false},
	{"https://shop.example.com", "null", false},
	{"null", "null", true},
	{"*", "https://anyone", true},
	{"*", "null", true},
	{"https://*.example.com", "https://a.example.com", true},
	{"https://*.example.com", "https://a.b.example.com", true},
	{"https://*.example.com", "https://example.com", false},
	{"https://*.example.com", "https://.example.com", false},
	{"https://*.example.com", "https://evil-example.com", false},
	{"https://*.example.com", "https://evilexample.com", false},
	{"https://*.example.com", "http://a.example.com", false},
	{"https://*.example.com", "https://a.example.com:8443", false},
	{"https://*.example.com", "https://a.example.com.evil.org", false},
	{"https://*.example.com", "https://evil.org/.example.com", false},
	{"https://*.example.com", "https://evil.org:1.example.com", false},
	{"https://*.example.com", "https://evil.org#.example.com", false},
	{"https://*.example.com", "https://me@a.example.com", false},
	{"https://*.example.com", "https://A.example.com", false},
	{"https://*.example.com:8443", "https://a.example.com:8443", true},
	{"https://*.example.com:8443", "https://a.example.com", false},
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	backend := gatewaytest.Backend(t, edgetest.FourKinds)
	gateways := map[string]*gatewaytest.Gateway{}
	for _, tc := range originCases {
		g := gateways[tc.list]
		if g == nil {
			g = gatewaytest.Start(t, gatewaytest.Config(backend, withCORS(&configv1.Cors{AllowOrigins: []string{tc.list}})))
			gateways[tc.list] = g
		}
		want, vary := tc.origin, "Origin"
		if tc.list == "*" {
			want, vary = "*", ""
		}
		if !tc.want {
			want = ""
		}
		for _, r := range []*http.Request{
			g.Request(t, "GET", edgetest.ProductPath, "", "Origin: "+tc.origin),
			g.Request(t, "OPTIONS", edgetest.ProductPath, "", "Origin: "+tc.origin, "Access-Control-Request-Method: GET"),
		} {
			got := gatewaytest.Do(t, gatewaytest.Client(t), r)
			if got.Header.Get("Access-Control-Allow-Origin") != want || got.Header.Get("Vary") != vary {
				t.Errorf("%s of %q, list %q: allowed %q, vary %q", r.Method, tc.origin, tc.list, got.Header.Get("Access-Control-Allow-Origin"), got.Header.Get("Vary"))
			}
			if r.Method == "OPTIONS" && (got.StatusCode == 204) != tc.want {
				t.Errorf("preflight of %q, list %q: got %d", tc.origin, tc.list, got.StatusCode)
			}
		}
	}
}

const page = "https://shop.example.com"

func TestPreflight(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, nil), withCORS(&configv1.Cors{AllowOrigins: []string{page}})))
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		for _, tc := range []struct {
			name, target, method, origin string
			want                         int
		}{
			{"known", edgetest.ProductPath, "DELETE", page, 204},
			{"HEAD stands in for GET", edgetest.ProductPath, "HEAD", page, 204},
			{"with a query", edgetest.ProductPath + "?x=y", "GET", page, 204},
			{"RPC's own path", edgetest.GetProduct, "POST", page, 204},
			{"RPC's own path, spelled otherwise", strings.Replace(edgetest.GetProduct, "Get", "%47et", 1), "POST", page, 404},
			{"RPC's own path, another method", edgetest.GetProduct, "PUT", page, 415},
			{"unknown path", "/v1/nothing", "GET", page, 404},
			{"unknown method", edgetest.ProductPath, "PUT", page, 405},
			{"bad path", "/v1//products", "GET", page, 400},
			{"no method", edgetest.ProductPath, "G T", page, 400},
			{"another origin", edgetest.ProductPath, "GET", "https://evil.example", 403},
		} {
			got := gatewaytest.Do(t, client, g.Request(t, "OPTIONS", tc.target, "", "Origin: "+tc.origin, "Access-Control-Request-Method: "+tc.method,
				"Access-Control-Request-Headers: authorization,content-type"))
			if got.StatusCode != tc.want {
				t.Errorf("%s: got %d %s, want %d", tc.name, got.StatusCode, got.Text, tc.want)
			}
			if allowed := got.Header.Get("Access-Control-Allow-Origin"); (allowed == page) != (tc.want != 403) {
				t.Errorf("%s: allowed %q", tc.name, allowed)
			}
			if tc.want == 405 && !strings.Contains(got.Header.Get("Allow"), "DELETE") {
				t.Errorf("%s: allow %q", tc.name, got.Header.Get("Allow"))
			}
			if tc.want != 204 {
				if got.Header.Get("Access-Control-Allow-Methods") != "" {
					t.Errorf("%s: refused, with methods", tc.name)
				}
				continue
			}
			for name, want := range map[string]string{
				"Access-Control-Allow-Methods": tc.method, "Access-Control-Allow-Headers": "*, authorization", "Access-Control-Max-Age": "600",
				"Access-Control-Allow-Credentials": "", "Vary": "Origin", "X-Content-Type-Options": "nosniff", "Content-Type": "",
			} {
				if got.Header.Get(name) != want {
					t.Errorf("%s: %s: got %q, want %q", tc.name, name, got.Header.Get(name), want)
				}
			}
			if got.Text != "" || got.Header.Get("X-Request-Id") == "" {
				t.Errorf("%s: body %q, header %v", tc.name, got.Text, got.Header)
			}
		}
	})
	// The log has preflights as what reached no RPC, and the metrics too.
	gatewaytest.Eventually(t, "the preflight in the log", func() bool {
		return strings.Contains(g.Log.String(), `method="" protocol=rest status=OK`) && strings.Contains(g.Log.String(), `binding="OPTIONS /v1/{name=products/*}"`)
	})
	got := gatewaytest.Do(t, gatewaytest.Client(t), adminRequest(t, g, "/metrics"))
	for _, line := range []string{`gatehouse_calls_total{fault="",method="",protocol="rest",status="OK"}`, `gatehouse_refusals_total{method="",policy="cors",status="PERMISSION_DENIED"} 2`} {
		if !strings.Contains(got.Text, line) {
			t.Errorf("no %s", line)
		}
	}
}

func adminRequest(t *testing.T, g *gatewaytest.Gateway, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+g.Admin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPreflightWithCredentials(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, edgetest.FourKinds), withCORS(&configv1.Cors{
		AllowOrigins: []string{page}, AllowCredentials: true, MaxAge: durationpb.New(0), ExposeHeaders: []string{"etag", "x-cost"},
	})))
	for asked, want := range map[string]string{"authorization,x-a": "authorization,x-a", "": "", "a b": "", "x\"y": ""} {
		headers := []string{"Origin: " + page, "Access-Control-Request-Method: GET"}
		if asked != "" {
			headers = append(headers, "Access-Control-Request-Headers: "+asked)
		}
		got := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "OPTIONS", edgetest.ProductPath, "", headers...))
		if got.StatusCode != 204 || got.Header.Get("Access-Control-Allow-Headers") != want || got.Header.Get("Access-Control-Allow-Credentials") != "true" ||
			got.Header.Get("Access-Control-Max-Age") != "0" || strings.Join(got.Header["Vary"], ",") != "Origin,Access-Control-Request-Headers" {
			t.Errorf("asked for %q: got %d %v", asked, got.StatusCode, got.Header)
		}
	}
	got := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, "", "Origin: "+page))
	if got.Header.Get("Access-Control-Allow-Credentials") != "true" || got.Header.Get("Access-Control-Expose-Headers") != "etag, x-cost" {
		t.Errorf("the call itself: %v", got.Header)
	}
	got = gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, "", "Origin: https://evil.example"))
	if got.StatusCode != 200 || got.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("another origin's call: %d %v", got.StatusCode, got.Header)
	}
}

// TestAnswersToPages: success, errors and streams say alike who may read them,
// and what a backend says of it does not count.
func TestAnswersToPages(t *testing.T) {
	t.Parallel()
	script := gatewaytest.Script{edgetest.WatchStock: edgetest.FourKinds[edgetest.WatchStock], edgetest.GetProduct: func(srv any, ss grpc.ServerStream) error {
		_ = ss.SetHeader(metadata.MD{"access-control-allow-origin": {"*"}, "access-control-allow-credentials": {"true"}, "vary": {"accept-language"}})
		return edgetest.FourKinds[edgetest.GetProduct](srv, ss)
	}}
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, script), withCORS(&configv1.Cors{AllowOrigins: []string{page}})))
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		for _, origin := range []string{page, "https://evil.example", ""} {
			for target, status := range map[string]int{
				edgetest.ProductPath: 200, edgetest.WatchPath + "?maxMovements=2": 200, "/v1/nothing": 404, edgetest.ProductPath + "?unknown=1": 400, edgetest.GetProduct: 404,
			} {
				var headers []string
				allowed := ""
				if origin != "" {
					headers = []string{"Origin: " + origin}
				}
				if origin == page {
					allowed = page
				}
				got := gatewaytest.Do(t, client, g.Request(t, "GET", target, "", headers...))
				if target == edgetest.GetProduct {
					status = got.StatusCode // an RPC's own path is refused, whatever the status
				}
				if got.StatusCode != status || strings.Join(got.Header["Access-Control-Allow-Origin"], "|") != allowed || got.Header.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("%s from %q: got %d %v", target, origin, got.StatusCode, got.Header)
				}
				if exposed := got.Header.Get("Access-Control-Expose-Headers"); (exposed != "") != (allowed != "") || allowed != "" && !strings.Contains(exposed, "ratelimit-policy") {
					t.Errorf("%s from %q: exposed %q", target, origin, exposed)
				}
				want := []string{"Origin"}
				if target == edgetest.ProductPath {
					want = []string{"Origin", "accept-language"}
				}
				if !slices.Equal(got.Header["Vary"], want) {
					t.Errorf("%s from %q: vary %q, want %q", target, origin, got.Header["Vary"], want)
				}
			}
		}
	})
}

// TestNoCORS: without it, a page is told nothing, and a backend may speak for itself.
func TestNoCORS(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(edgetest.Product(t, func(srv any, ss grpc.ServerStream) error {
		_ = ss.SetHeader(metadata.MD{"access-control-allow-origin": {"https://own.example"}})
		return edgetest.FourKinds[edgetest.GetProduct](srv, ss)
	})))
	got := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, "", "Origin: "+page))
	if got.Header.Get("Access-Control-Allow-Origin") != "https://own.example" || got.Header.Get("Vary") != "" {
		t.Errorf("got %v", got.Header)
	}
	got = gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "OPTIONS", edgetest.ProductPath, "", "Origin: "+page, "Access-Control-Request-Method: GET"))
	if got.StatusCode != 405 || got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight: got %d %v", got.StatusCode, got.Header)
	}
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	backend := gatewaytest.Backend(t, gatewaytest.Script{edgetest.WatchStock: edgetest.FourKinds[edgetest.WatchStock], edgetest.GetProduct: func(srv any, ss grpc.ServerStream) error {
		_ = ss.SetHeader(metadata.MD{"referrer-policy": {"origin"}})
		return edgetest.FourKinds[edgetest.GetProduct](srv, ss)
	}})
	on := map[string]string{
		"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		"Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin", "Strict-Transport-Security": "",
	}
	check := func(name string, client *http.Client, g *gatewaytest.Gateway, scheme string, want map[string]string) {
		for _, target := range []string{"/v1/nothing", edgetest.WatchPath + "?maxMovements=1", edgetest.ProductPath} {
			r := g.Request(t, "GET", target, "")
			r.URL.Scheme = scheme
			got := gatewaytest.Do(t, client, r)
			for header, value := range want {
				if target == edgetest.ProductPath && header == "Referrer-Policy" {
					value = "origin" // the backend's own
				}
				if strings.Join(got.Header[header], "|") != value {
					t.Errorf("%s: %s: %s: got %q, want %q", name, target, header, got.Header[header], value)
				}
			}
			if got.Header.Get("Cache-Control") != map[bool]string{true: "no-store"}[got.StatusCode >= 400] {
				t.Errorf("%s: %s: cache-control %q", name, target, got.Header.Get("Cache-Control"))
			}
		}
	}
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		check("by default", client, gatewaytest.Start(t, gatewaytest.Config(backend)), "http", on)
	})
	off := gatewaytest.Start(t, gatewaytest.Config(backend, func(c *configv1.Config) { c.SecurityHeaders = &configv1.SecurityHeaders{Disabled: true} }))
	got := gatewaytest.Do(t, gatewaytest.Client(t), off.Request(t, "GET", "/v1/nothing", ""))
	for header := range on {
		if got.Header.Get(header) != "" {
			t.Errorf("disabled: %s %q", header, got.Header.Get(header))
		}
	}
	authority := gatewaytest.NewAuthority(t)
	for _, tc := range []struct {
		hsts *durationpb.Duration
		want string
	}{{nil, "max-age=31536000"}, {durationpb.New(time.Hour), "max-age=3600"}, {durationpb.New(0), ""}} {
		g := gatewaytest.Start(t, gatewaytest.Config(backend, func(c *configv1.Config) {
			c.Listeners.Http.Tls = &configv1.ServerTls{CertFile: authority.CertFile, KeyFile: authority.KeyFile}
			c.SecurityHeaders = &configv1.SecurityHeaders{Hsts: tc.hsts}
		}))
		client := gatewaytest.Client(t, func(tr *http.Transport) { tr.TLSClientConfig = trusting(authority) })
		check("TLS", client, g, "https", map[string]string{"Strict-Transport-Security": tc.want, "X-Content-Type-Options": "nosniff"})
	}
}

func trusting(a *gatewaytest.Authority) *tls.Config { return &tls.Config{RootCAs: a.Pool} }
