package published_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unlimited overrides the demo's only rate limit: a generator of requests sends more.
const unlimited = `  - {select: shop.catalog.v1.CatalogService.SearchProducts, upstream: catalog, policy: {rate_limit: [{name: search, requests: 1000000, per: 30s}]}}
`

// withoutLimits is the demo's configuration, with a limit that nobody reaches.
func withoutLimits(t *testing.T, d *demo) string {
	t.Helper()
	config := read(t, d.file)
	changed := strings.Replace(config, "expose:\n", "expose:\n"+unlimited, 1)
	if changed == config {
		t.Fatal("the demo's configuration has no line \"expose:\"")
	}
	return changed
}

// serveKept runs a gateway as in the demo, with services that keep the shop's contract,
// and beside it the contract of internal/openapi/testdata.
func serveKept(t *testing.T, d *demo) *process {
	t.Helper()
	image, err := filepath.Abs(nastyImage)
	if err != nil {
		t.Fatal(err)
	}
	config := regexp.MustCompile(`passthrough:///[^"]+`).ReplaceAllLiteralString(withoutLimits(t, d), "passthrough:///"+keep(t, shopImage))
	config = strings.Replace(config, "upstreams:\n", `upstreams:
  - {name: nasty, target: "passthrough:///`+keep(t, nastyImage)+`", schema: {image: `+image+`}}
`, 1)
	config = strings.Replace(config, "expose:\n", `expose:
  - {select: "nasty.*", upstream: nasty, bad_rules: skip, policy: {auth: {public: true}}}
`, 1)
	return serve(t, config)
}

// document fetches the document of a version, "" for all.
func (p *process) document(t *testing.T, version string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+p.admin+"/openapi.json?version="+version, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v\n%s", resp.Status, err, text)
	}
	return string(text)
}

// hashed is an API key as files of keys have it.
func hashed(key string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(key))) }
