package live_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// exposing is what an example of docs/UPSTREAMS.md stands beside.
const exposing = `
expose:
  - {select: shop.catalog.v1.CatalogService.GetShelf, upstream: catalog, policy: {auth: {public: true}}}
`

// TestDocumentedUpstreams builds a gateway of each example of docs/UPSTREAMS.md.
func TestDocumentedUpstreams(t *testing.T) {
	page, err := os.ReadFile("../../docs/UPSTREAMS.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	a := gatewaytest.NewAuthority(t)
	for name, from := range map[string]string{"ca.pem": a.CAFile, "client.pem": a.ClientCertFile, "client-key.pem": a.ClientKeyFile} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	examples := regexp.MustCompile("(?ms)^## ([^\n]*)\n(?:[^`]|`[^`])*?```yaml\n(.*?)^```").FindAllSubmatch(page, -1)
	if want := bytes.Count(page, []byte("```yaml")); len(examples) != want || want < 10 {
		t.Errorf("%d examples were found, of %d", len(examples), want)
	}
	for _, m := range examples {
		t.Run(string(m[1]), func(t *testing.T) { loadUpstreams(t, dir, string(m[2])) })
	}
}

func loadUpstreams(t *testing.T, dir, example string) {
	t.Helper()
	text := regexp.MustCompile(`(?m)^  - name: .*$`).ReplaceAllString(example, "$0\n    schema: {linked: true}") + exposing
	t.Chdir(dir)
	file, err := config.Parse(filepath.Join(dir, "gatehouse.yaml"), []byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	g, err := live.New(t.Context(), live.Options{Config: file, LogTo: new(bytes.Buffer)})
	if strings.Contains(text, "xds:///") { // nobody is there, and the text says that it is an error
		if err == nil || !strings.Contains(err.Error(), "GRPC_XDS_BOOTSTRAP") {
			t.Errorf("err = %v", err)
		}
		return
	}
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}
