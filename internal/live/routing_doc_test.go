package live_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
)

// TestDocumentedRouting builds a gateway of each example of docs/ROUTING.md. The
// first has the upstreams of those that have none.
func TestDocumentedRouting(t *testing.T) {
	page, err := os.ReadFile("../../docs/ROUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFiles(t, dir)
	common := map[string]any{}
	loaded := 0
	for _, m := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllSubmatch(page, -1) {
		loaded++
		// The images of the examples are what is linked into this test, and nobody
		// asks for their hosts.
		text := bytes.ReplaceAll(m[1], []byte("{image: shop.binpb}"), []byte("{linked: true}"))
		text = bytes.ReplaceAll(text, []byte("dns:///"), []byte("passthrough:///"))
		conf := maps.Clone(common)
		if err := yaml.Unmarshal(text, &conf); err != nil {
			t.Fatal(err)
		}
		if loaded == 1 {
			common = maps.Clone(conf)
		}
		whole, err := yaml.Marshal(conf)
		if err != nil {
			t.Fatal(err)
		}
		file, err := config.Parse(filepath.Join(dir, "gatehouse.yaml"), whole)
		if err != nil {
			t.Errorf("%v in\n%s", err, whole)
			continue
		}
		var log bytes.Buffer
		g, err := live.New(t.Context(), live.Options{Config: file, LogTo: &log})
		if err != nil {
			t.Errorf("%v in\n%s", err, whole)
			continue
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
	if loaded < 9 {
		t.Errorf("only %d examples were found", loaded)
	}
}
