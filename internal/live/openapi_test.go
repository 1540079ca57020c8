package live_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestOpenAPIPath: the document on the HTTP listener, where the configuration gives it a
// path, for pages of other origins and for clients that have it already.
func TestOpenAPIPath(t *testing.T) {
	t.Parallel()
	client := gatewaytest.Client(t)
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t), func(c *configv1.Config) {
		c.Openapi = &configv1.OpenApi{Path: "/contract/openapi.json", Title: "Things"}
		c.Cors = &configv1.Cors{AllowOrigins: []string{"https://docs.example.com"}}
	}))
	get := func(path string, header http.Header) gatewaytest.Answer {
		r := g.Request(t, "GET", path, "")
		r.Header = header
		return gatewaytest.Do(t, client, r)
	}
	first := get("/contract/openapi.json", http.Header{"Origin": {"https://docs.example.com"}})
	if first.StatusCode != 200 || first.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(first.Text, `{"openapi":"3.1.1","info":{"title":"Things"`) {
		t.Errorf("got %d %s %.80s", first.StatusCode, first.Header.Get("Content-Type"), first.Text)
	}
	if got := first.Header.Get("Access-Control-Allow-Origin"); got != "https://docs.example.com" {
		t.Errorf("allowed origin: got %q", got)
	}
	etag := first.Header.Get("ETag")
	if again := get("/contract/openapi.json", http.Header{"If-None-Match": {etag}}); again.StatusCode != 304 || again.Text != "" {
		t.Errorf("with the ETag %q: got %d and %d bytes", etag, again.StatusCode, len(again.Text))
	}
	if got := get("/contract/openapi.json?version=v9", nil); got.StatusCode != 404 || !strings.Contains(got.Text, `"status":"NOT_FOUND"`) {
		t.Errorf("an unknown version: got %d %s", got.StatusCode, got.Text)
	}
	if got := get("/contract/openapi.json?version=%zz", nil); got.StatusCode != 400 || strings.Contains(got.Text, "escape") {
		t.Errorf("a query that cannot be read: got %d %s", got.StatusCode, got.Text)
	}
	if got := get("/contract/openapi.json?version="+strings.Repeat("x", 1000), nil); got.StatusCode != 404 || len(got.Text) > 500 {
		t.Errorf("a long version: got %d and %d bytes", got.StatusCode, len(got.Text))
	}
	if got := first.Header.Get("X-Request-Id"); got == "" {
		t.Error("the answer has no request id")
	}
	head := g.Request(t, "HEAD", "/contract/openapi.json", "")
	if got := gatewaytest.Do(t, client, head); got.StatusCode != 200 || got.Header.Get("Content-Length") != first.Header.Get("Content-Length") || got.Text != "" {
		t.Errorf("HEAD: got %d, length %q and %d bytes", got.StatusCode, got.Header.Get("Content-Length"), len(got.Text))
	}
	if got := gatewaytest.Do(t, client, g.Request(t, "POST", "/contract/openapi.json", "{}")); got.StatusCode != 404 {
		t.Errorf("POST: got %d %s", got.StatusCode, got.Text)
	}
}

// TestConsole: the console on the HTTP listener, with documents of its own.
func TestConsole(t *testing.T) {
	t.Parallel()
	client := gatewaytest.Client(t)
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t), func(c *configv1.Config) {
		c.Openapi = &configv1.OpenApi{Console: "/docs", Path: "/docs/openapi.json", Title: "Things", Servers: []*configv1.OpenApi_Server{{Url: "https://api.example.com/things"}}}
	}))
	get := func(verb, path string, header ...string) gatewaytest.Answer {
		return gatewaytest.Do(t, client, g.Request(t, verb, path, "", header...))
	}
	page := get("GET", "/docs")
	policy := page.Header["Content-Security-Policy"]
	if page.StatusCode != 200 || page.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(page.Text, "<title>Things</title>") {
		t.Errorf("the page: got %d %s\n%s", page.StatusCode, page.Header.Get("Content-Type"), page.Text)
	}
	if len(policy) != 1 || !strings.HasPrefix(policy[0], "default-src 'none'; script-src 'nonce-") || !strings.Contains(policy[0], "; connect-src 'self' https://api.example.com;") {
		t.Errorf("the page has the policy %q", policy)
	}
	if got := page.Header.Get("Cache-Control"); got != "no-store" || page.Header.Get("ETag") != "" || page.Header.Get("X-Request-Id") == "" {
		t.Errorf("the page may be kept, or has no request id: %v", page.Header)
	}
	for path, want := range map[string]string{
		"/docs/scalar.js": "text/javascript; charset=utf-8", "/docs/console.js": "text/javascript; charset=utf-8", "/docs/openapi.json": "application/json",
	} {
		file := get("GET", path, "Accept-Encoding: gzip")
		tag := file.Header.Get("ETag")
		if file.StatusCode != 200 || file.Header.Get("Content-Type") != want || file.Header.Get("Cache-Control") != "no-cache" || file.Text == "" {
			t.Errorf("%s: got %d and %v", path, file.StatusCode, file.Header)
		}
		if again := get("GET", path, "If-None-Match: "+tag); again.StatusCode != 304 || again.Text != "" {
			t.Errorf("%s with the ETag %q: got %d", path, tag, again.StatusCode)
		}
		if head := get("HEAD", path, "Accept-Encoding: gzip"); head.StatusCode != 200 || head.Header.Get("Content-Length") != strconv.Itoa(len(file.Text)) || head.Text != "" {
			t.Errorf("HEAD %s: got %d and %v", path, head.StatusCode, head.Header)
		}
	}
	if got := get("GET", "/docs%2fscalar.js"); got.StatusCode != 404 {
		t.Errorf("another spelling of a page's path: got %d", got.StatusCode)
	}
	if got := get("GET", "/docs/scalar.js", "Accept-Encoding: gzip"); got.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("the script: got %v", got.Header)
	}
	if got := get("GET", "/docs/openapi.yaml"); got.StatusCode != 404 {
		t.Errorf("a file that is not there: got %d", got.StatusCode)
	}
}

// TestOpenAPIPathOfHosts: the document passes the checks that every request passes.
func TestOpenAPIPathOfHosts(t *testing.T) {
	t.Parallel()
	client := gatewaytest.Client(t)
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t), func(c *configv1.Config) {
		c.Openapi = &configv1.OpenApi{Path: "/openapi.json"}
		c.Listeners.Http.Hosts = []string{"api.example.com"}
	}))
	for host, want := range map[string]int{"api.example.com": 200, "evil.example": 421} {
		r := g.Request(t, "GET", "/openapi.json", "")
		r.Host = host
		if got := gatewaytest.Do(t, client, r); got.StatusCode != want {
			t.Errorf("host %s: got %d, want %d", host, got.StatusCode, want)
		}
	}
}

// TestOpenAPIPathTaken: a document and the console cannot have the path of an RPC, nor of
// each other.
func TestOpenAPIPathTaken(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		openapi *configv1.OpenApi
		want    string
	}{
		{&configv1.OpenApi{Path: "/v1/shelves"}, "openapi.path: /v1/shelves is the path of GET /v1/shelves of shop.catalog.v1.CatalogService.ListShelves"},
		{&configv1.OpenApi{Console: "/v1/shelves"}, "openapi.console: /v1/shelves is the path of GET /v1/shelves of shop.catalog.v1.CatalogService.ListShelves"},
		{&configv1.OpenApi{Path: "/docs", Console: "/docs"}, "openapi.console: /docs is the path of the OpenAPI document"},
		{&configv1.OpenApi{Path: "/docs/scalar.js", Console: "/docs"}, "openapi.console: /docs/scalar.js is the path of the OpenAPI document"},
	} {
		file, err := config.New(gatewaytest.Config(gatewaytest.Unreachable(t), func(c *configv1.Config) { c.Openapi = tc.openapi }))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := live.New(t.Context(), live.Options{Config: file, LogTo: io.Discard}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got the error %v, want %s", err, tc.want)
		}
	}
}

// TestOpenAPIPathOfCallers: the document is for those whom openapi.auth names. All others
// are refused as callers of an RPC are.
func TestOpenAPIPathOfCallers(t *testing.T) {
	t.Parallel()
	keys := filepath.Join(t.TempDir(), "keys.yaml")
	reader, other := sha256.Sum256([]byte("reader")), sha256.Sum256([]byte("other"))
	if err := os.WriteFile(keys, fmt.Appendf(nil, "- {id: reader, sha256: %x, scopes: [docs.read]}\n- {id: other, sha256: %x}\n", reader, other), 0o600); err != nil {
		t.Fatal(err)
	}
	client := gatewaytest.Client(t)
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t), func(c *configv1.Config) {
		c.Authenticators = []*policyv1.Authenticator{{
			Name: "keys", Kind: &policyv1.Authenticator_ApiKeys{ApiKeys: &policyv1.ApiKeys{File: keys}},
		}}
		c.Openapi = &configv1.OpenApi{Path: "/openapi.json", Auth: &policyv1.Auth{Accept: []string{"keys"}, Scopes: []string{"docs.read"}}}
		c.Cors = &configv1.Cors{AllowOrigins: []string{"https://docs.example.com"}}
	}))
	for _, test := range []struct {
		name    string
		headers []string
		status  int
		want    http.Header
		text    string
	}{
		{"a reader", []string{"X-Api-Key: reader"}, 200, http.Header{"Cache-Control": {"private, no-cache"}}, `{"openapi":"3.1.1"`},
		{"nobody", nil, 401, http.Header{"Www-Authenticate": {`ApiKey realm="gatehouse", header="x-api-key"`}, "Cache-Control": {"no-store"}}, `"status":"UNAUTHENTICATED"`},
		{"a wrong key", []string{"X-Api-Key: guess"}, 401, http.Header{"Www-Authenticate": {`ApiKey realm="gatehouse", header="x-api-key"`}}, `"status":"UNAUTHENTICATED"`},
		{"a caller without the scope", []string{"X-Api-Key: other"}, 403, http.Header{"Cache-Control": {"no-store"}}, `"reason":"SCOPE_MISSING"`},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			got := gatewaytest.Do(t, client, g.Request(t, method, "/openapi.json", "", test.headers...))
			if got.StatusCode != test.status || method == "GET" && !strings.Contains(got.Text, test.text) {
				t.Errorf("%s, %s: got %d %.120s, want %d with %s", test.name, method, got.StatusCode, got.Text, test.status, test.text)
			}
			for name, want := range test.want {
				if values := got.Header.Values(name); !slices.Equal(values, want) {
					t.Errorf("%s, %s: header %s is %q, want %q", test.name, method, name, values, want)
				}
			}
		}
	}
	for method, want := range map[string]int{"GET": 204, "POST": 404} {
		got := gatewaytest.Do(t, client, g.Request(t, "OPTIONS", "/openapi.json", "",
			"Origin: https://docs.example.com", "Access-Control-Request-Method: "+method, "Access-Control-Request-Headers: x-api-key"))
		if got.StatusCode != want {
			t.Errorf("a preflight for %s: got %d %s, want %d", method, got.StatusCode, got.Text, want)
		}
	}
}

// TestOpenAPIAuthMistakes: rules that could let in nobody, or that mean nothing here.
func TestOpenAPIAuthMistakes(t *testing.T) {
	t.Parallel()
	for name, auth := range map[string]*policyv1.Auth{
		"openapi.auth.accept[0]: there is no authenticator": {Accept: []string{"nobody"}},
		"openapi.auth: the OpenAPI document has no rule":    {},
		"openapi.auth.public: anybody":                      {Public: new(true), Scopes: []string{"docs.read"}},
		"openapi.auth.forward: no backend":                  {Public: new(true), Forward: map[string]string{"x-user": "sub"}},
	} {
		file, err := config.New(gatewaytest.Config(gatewaytest.Unreachable(t), func(c *configv1.Config) {
			c.Openapi = &configv1.OpenApi{Path: "/openapi.json", Auth: auth}
		}))
		if err == nil {
			_, err = live.New(t.Context(), live.Options{Config: file, LogTo: io.Discard})
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want an error with %q, got %v", name, err)
		}
	}
}
