package docs_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestOpenAPIPage runs the commands of docs/OPENAPI.md, beside the configuration that the
// page shows and against the demo.
func TestOpenAPIPage(t *testing.T) {
	page := filepath.Join(root, "docs", "OPENAPI.md")
	demo := startDemo(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "gatehouse.yaml"), blocks(t, page, "yaml")[0])
	write(t, filepath.Join(dir, "shop.binpb.gz"), read(t, filepath.Join(root, "examples", "shop", "demo", "shop.binpb.gz")))
	write(t, filepath.Join(dir, "keys.yaml"), "- {id: staff, sha256: "+strings.Repeat("ab", 32)+", scopes: [docs.read]}\n")
	for _, e := range examples(t, page) {
		got, err := shell(t, dir, demo.elsewhere(e.command))
		if err != nil {
			t.Errorf("%s: %v\n%s", e.command, err, got)
		} else if !matches(e.output, got) {
			t.Errorf("%s printed\n%s\nand %s says\n%s", e.command, got, page, e.output)
		}
	}
}
