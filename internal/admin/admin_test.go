package admin_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

const getProduct = "/shop.catalog.v1.CatalogService/GetProduct"

// get asks the admin listener.
func get(t *testing.T, client *http.Client, g *gatewaytest.Gateway, path string) gatewaytest.Answer {
	t.Helper()
	r := g.Request(t, "GET", path, "")
	r.URL.Host = g.Admin
	return gatewaytest.Do(t, client, r)
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	file, err := config.New(gatewaytest.Config(gatewaytest.Backend(t, gatewaytest.Script{
		getProduct: gatewaytest.Unary(func(context.Context, *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
			return new(catalogv1.Product), nil
		}),
	})))
	if err != nil {
		t.Fatal(err)
	}
	g := gatewaytest.StartOptions(t, live.Options{Config: file})
	client := gatewaytest.Client(t)
	gatewaytest.Do(t, client, g.Request(t, "GET", "/v1/products/boots", ""))
	gatewaytest.Do(t, client, g.Request(t, "GET", "/v1/nothing", ""))
	for _, tc := range []struct {
		path, typ string
		status    int
		want      []string
	}{
		{"/livez", "text/plain", 200, []string{"ok"}},
		{"/openapi.json", "application/json", 200, []string{`{"openapi":"3.1.1"`, `"/v1/products/{product}":{"get":`}},
		{"/openapi.yaml", "application/yaml", 200, []string{"openapi: \"3.1.1\"\n", "\n  /v1/products/{product}:\n    get:\n"}},
		{"/openapi.json?version=v9", "text/plain", 404, []string{`there is no version "v9": none is configured`}},
		{"/docs", "text/html", 200, []string{"<title>API</title>", "openapi.json", "hideTestRequestButton&#34;:true", `src="docs/scalar.js"`, "&#34;servers&#34;:[{&#34;url&#34;:&#34;http://" + g.HTTP}},
		{"/docs/console.js", "text/javascript", 200, []string{"Scalar.createApiReference"}},
		{"/docs/none.js", "text/plain", 404, nil},
		{"/routes", "application/json", 200, []string{`"path": "/v1/{name=products/*}"`, `"method": "/shop.catalog.v1.CatalogService/GetProduct"`}},
		{"/metrics", "text/plain", 200, []string{getProduct, `NOT_FOUND`, "go_goroutines", "_bucket{"}},
		{"/", "text/plain", 404, nil},
		{"/v1/products/boots", "text/plain", 404, nil},
	} {
		got := get(t, client, g, tc.path)
		if got.StatusCode != tc.status || !strings.HasPrefix(got.Header.Get("Content-Type"), tc.typ) {
			t.Errorf("%s: got %d %s", tc.path, got.StatusCode, got.Header.Get("Content-Type"))
		}
		for _, want := range tc.want {
			if !strings.Contains(got.Text, want) {
				t.Errorf("%s: has no %q: %.2000s", tc.path, want, got.Text)
			}
		}
	}
	var routes []map[string]any
	if err := json.Unmarshal([]byte(get(t, client, g, "/routes").Text), &routes); err != nil || len(routes) < 20 {
		t.Errorf("%d routes, %v", len(routes), err)
	}
	for _, path := range []string{"/livez", "/metrics", "/routes", "/readyz"} {
		if got := gatewaytest.Do(t, client, g.Request(t, "GET", path, "")); got.StatusCode != 404 {
			t.Errorf("%s is public: %d", path, got.StatusCode)
		}
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	client := gatewaytest.Client(t)
	down := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t)))
	gatewaytest.Eventually(t, "the upstream's failure", func() bool { return strings.Contains(get(t, client, down, "/readyz").Text, "TRANSIENT_FAILURE") })
	if got := get(t, client, down, "/readyz"); got.StatusCode != 503 || strings.Contains(got.Text, "draining") {
		t.Errorf("required and down: got %d %s", got.StatusCode, got.Text)
	}
	optional := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t), func(c *configv1.Config) { c.Upstreams[0].Optional = true }))
	if got := get(t, client, optional, "/readyz"); got.StatusCode != 200 {
		t.Errorf("optional and down: got %d %s", got.StatusCode, got.Text)
	}
}

// TestAdminIsAskedByItsOwnNames: a page that has its name point here (DNS rebinding)
// reads nothing.
func TestAdminIsAskedByItsOwnNames(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t), func(c *configv1.Config) {
		c.Listeners.Admin.Hosts = []string{"gatehouse-admin.ops.svc", "*.example.com"}
	}))
	client := gatewaytest.Client(t)
	for host, want := range map[string]int{
		g.Admin: 200, "127.0.0.1": 200, "10.1.2.3:9901": 200, "[::1]:9901": 200, "[2001:db8::1]": 200,
		"localhost": 200, "LocalHost:9901": 200, "a.localhost:1": 200,
		"gatehouse-admin.ops.svc:9901": 200, "admin.example.com": 200,
		"evil.example": 421, "evil.example:9901": 421, "example.com": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "notlocalhost": 421,
	} {
		for _, path := range []string{"/livez", "/config", "/metrics"} {
			r := g.Request(t, "GET", path, "")
			r.URL.Host, r.Host = g.Admin, host
			got := gatewaytest.Do(t, client, r)
			if got.StatusCode != want {
				t.Errorf("%s of %s: got %d, want %d", path, host, got.StatusCode, want)
			}
			if want == 421 && (!strings.Contains(got.Text, host) || !strings.Contains(got.Text, "listeners.admin.hosts") || len(got.Text) > 200) {
				t.Errorf("%s of %s: got %s", path, host, got.Text)
			}
		}
	}
	if got := gatewaytest.Raw(t, g.Admin, "GET /livez HTTP/1.0\r\n\r\n", true); !strings.Contains(got, " 200 ") {
		t.Errorf("without a host: %q", got)
	}
}
