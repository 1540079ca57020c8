package server_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// unreadableCount is how often requests of the HTTP listener could not be read.
func unreadableCount(t *testing.T, g *gatewaytest.Gateway, status string) bool {
	t.Helper()
	text := admin(t, gatewaytest.Client(t), g, "/metrics").Text
	return strings.Contains(text, fmt.Sprintf("gatehouse_unreadable_requests_total{listener=\"http\",status=%q} 1\n", status))
}

// TestUnreadableRequestsAreSeen: what net/http answers itself has a line in the log,
// and a count.
func TestUnreadableRequestsAreSeen(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ request, status, line string }{
		"no host":        {"GET /v1/products/boots HTTP/1.1\r\n\r\n", "400", `answer="400 Bad Request: missing required Host header"`},
		"a bad host":     {"GET /v1/products/boots HTTP/1.1\r\nHost: a b\r\n\r\n", "400", `answer="400 Bad Request: malformed Host header"`},
		"a bad header":   {"GET /v1/products/boots HTTP/1.1\r\nHost: a\r\nA B: c\r\n\r\n", "400", `answer="400 Bad Request`},
		"garbage":        {"hello there\r\n\r\n", "400", `answer="400 Bad Request`},
		"a version":      {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "505", `answer="505 HTTP Version Not Supported`},
		"a coding":       {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "501", `answer="501 Not Implemented"`},
		"a long header":  {"GET / HTTP/1.1\r\nHost: a\r\nA: " + strings.Repeat("b", 200_000) + "\r\n\r\n", "431", `answer="431 Request Header Fields Too Large"`},
		"expectations":   {"GET / HTTP/1.1\r\nHost: a\r\nExpect: much\r\n\r\n", "417", `answer="417 Expectation Failed"`},
		"half a request": {"GET / HTTP/1.1\r\nHos", "400", "peer=127.0.0.1:"},
		"after another":  {"GET /v1/products/boots HTTP/1.1\r\nHost: a\r\n\r\nGET /v1 HTTP/1.1\r\n\r\n", "400", `answer="400 Bad Request: missing`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, taking)))
			gatewaytest.Raw(t, g.HTTP, tc.request, false)
			gatewaytest.Eventually(t, "its count", func() bool { return unreadableCount(t, g, tc.status) })
			if got := g.Log.String(); strings.Count(got, `msg="a request could not be read" listener=http peer=127.0.0.1:`) != 1 || !strings.Contains(got, tc.line) {
				t.Errorf("no line with %s in %s", tc.line, got)
			}
		})
	}
}

// TestReadableRequestsAreNotCounted on any protocol.
func TestReadableRequestsAreNotCounted(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, taking)))
	gatewaytest.Raw(t, g.HTTP, "", false)
	for _, client := range []*http.Client{gatewaytest.Client(t), gatewaytest.Client(t, gatewaytest.H2C)} {
		for range 3 {
			gatewaytest.Do(t, client, g.Request(t, "GET", "/v1/products/boots", ""))
			gatewaytest.Do(t, client, g.Request(t, "GET", "/v1/nothing", ""))
		}
		client.CloseIdleConnections()
	}
	g.Stop()
	if err := g.Wait(t); err != nil {
		t.Fatal(err)
	}
	if got := g.Log.String(); strings.Contains(got, "could not be read") {
		t.Errorf("got %s", got)
	}
}

// TestUnreadableOverTLS: the status is hidden, the request is not.
func TestUnreadableOverTLS(t *testing.T) {
	t.Parallel()
	a := gatewaytest.NewAuthority(t)
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t), secured(a, "", 0), func(c *configv1.Config) { c.Listeners.Admin.Tls = nil }))
	c, err := tls.Dial("tcp", g.HTTP, &tls.Config{RootCAs: a.Pool, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 400 ") {
		t.Fatalf("got %q, %v", got, err)
	}
	gatewaytest.Eventually(t, "its count", func() bool { return unreadableCount(t, g, "") })
	gatewaytest.Raw(t, g.HTTP, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true) // in the clear
	gatewaytest.Eventually(t, "its count", func() bool { return unreadableCount(t, g, "400") })
}

// TestOptionsOfTheServer: `OPTIONS *` is answered and logged.
func TestOptionsOfTheServer(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t)))
	got := gatewaytest.Raw(t, g.HTTP, "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false)
	if !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.Contains(got, "\r\nContent-Length: 0\r\n") {
		t.Errorf("got %q", got)
	}
	gatewaytest.Eventually(t, "its line", func() bool {
		return strings.Contains(g.Log.String(), `binding="OPTIONS *"`)
	})
}
