package live_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
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

// TestOpenAPIPathTaken: a document cannot have the path of an RPC.
func TestOpenAPIPathTaken(t *testing.T) {
	t.Parallel()
	file, err := config.New(gatewaytest.Config(gatewaytest.Unreachable(t), func(c *configv1.Config) {
		c.Openapi = &configv1.OpenApi{Path: "/v1/shelves"}
	}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := live.New(t.Context(), live.Options{Config: file, LogTo: io.Discard}); err == nil || !strings.Contains(err.Error(), "openapi.path") || !strings.Contains(err.Error(), "ListShelves") {
		t.Errorf("got the error %v", err)
	}
}
