package console_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"html"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/console"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
)

func page(t *testing.T, c *console.Console, path string) *edge.Page {
	t.Helper()
	read := c.Pages()[path]
	if read == nil {
		t.Fatalf("there is no page at %s", path)
	}
	p, err := read("")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPinned: the script is the one that the Makefile names.
func TestPinned(t *testing.T) {
	t.Parallel()
	script := page(t, &console.Console{Path: "/docs"}, "/docs/scalar.js")
	unzip, err := gzip.NewReader(bytes.NewReader(script.Body))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, unzip); err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	pinned := regexp.MustCompile(`(?m)^SCALAR_SHA256 := (\w+)$`).FindSubmatch(makefile)
	if pinned == nil || hex.EncodeToString(hash.Sum(nil)) != string(pinned[1]) || script.Encoding != "gzip" {
		t.Errorf("the script has the checksum %x and the coding %q, and the Makefile has %q: run make console", hash.Sum(nil), script.Encoding, pinned)
	}
}

var (
	data  = regexp.MustCompile(`data-options="(.*)"`)
	links = regexp.MustCompile(`src="([^"]*)"`)
	nonce = regexp.MustCompile(`nonce="(\w+)"`)
)

// TestPage: what the page refers to is relative to it, so that it can be behind a proxy.
func TestPage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		console console.Console
		scripts string
		options string
	}{
		{"file", console.Console{Path: "/docs", Title: "A", Document: "/docs/openapi.json"}, "docs/console.js docs/scalar.js",
			`{"sources":[{"title":"A","slug":"all","url":"docs/openapi.json"}],"hideTestRequestButton":false}`},
		{"folder", console.Console{Path: "/a/docs/", Title: "A", Document: "/a/docs/openapi.json"}, "console.js scalar.js",
			`{"sources":[{"title":"A","slug":"all","url":"openapi.json"}],"hideTestRequestButton":false}`},
		{"versions", console.Console{Path: "/docs", Title: "A", Document: "/openapi.json", Versions: []string{"v1"}, Server: "http://a.example", ReadOnly: true}, "docs/console.js docs/scalar.js",
			`{"sources":[{"title":"A","slug":"all","url":"openapi.json"},{"title":"A v1","slug":"v1","url":"openapi.json?version=v1"}],"servers":[{"url":"http://a.example"}],"hideTestRequestButton":true}`},
		{"title", console.Console{Path: "/docs", Title: `"><script>alert(1)</script>`, Document: "/openapi.json"}, "docs/console.js docs/scalar.js",
			`{"sources":[{"title":"\"\u003e\u003cscript\u003ealert(1)\u003c/script\u003e","slug":"all","url":"openapi.json"}],"hideTestRequestButton":false}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			text := string(page(t, &tc.console, tc.console.Path).Body)
			var scripts []string
			for _, m := range links.FindAllStringSubmatch(text, -1) {
				scripts = append(scripts, m[1])
			}
			if got := strings.Join(scripts, " "); got != tc.scripts {
				t.Errorf("scripts: got %s, want %s", got, tc.scripts)
			}
			m := data.FindStringSubmatch(text)
			if m == nil || html.UnescapeString(m[1]) != tc.options || strings.Contains(text, "<script>") {
				t.Errorf("got\n%s\nwant\n%s", text, tc.options)
			}
		})
	}
}

// TestPolicy: each reader gets a nonce of his own, and servers may be called that are URLs.
func TestPolicy(t *testing.T) {
	t.Parallel()
	c := &console.Console{Path: "/docs", Document: "/openapi.json", Called: []string{"https://api.example.com/v1", "/", "http://[::1]:8080"}}
	seen := map[string]bool{}
	for range 2 {
		p := page(t, c, "/docs")
		of := nonce.FindStringSubmatch(string(p.Body))
		if of == nil {
			t.Fatalf("no nonce in\n%s", p.Body)
		}
		seen[of[1]] = true
		want := "default-src 'none'; script-src 'nonce-" + of[1] + "'; style-src 'nonce-" + of[1] + "'; style-src-attr 'unsafe-inline'; img-src 'self' data: blob:; media-src blob:; " +
			"connect-src 'self' https://api.example.com http://[::1]:8080; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
		if p.Policy != want || p.ETag != "" {
			t.Errorf("got the policy\n%s\nwant\n%s", p.Policy, want)
		}
	}
	if len(seen) != 2 {
		t.Error("two readers have the same nonce")
	}
}
