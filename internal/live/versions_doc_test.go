package live_test

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
)

// versionsBase is what an example of docs/VERSIONS.md stands below.
const versionsBase = `
upstreams:
  - {name: shop, target: "dns:///localhost:9000", schema: {linked: true}}
expose:
  - {select: "shop.reviews.*", upstream: shop, policy: {auth: {public: true}}}
`

// TestDocumentedVersions builds a gateway of each example of docs/VERSIONS.md,
// and asks the first for each request of the table.
func TestDocumentedVersions(t *testing.T) {
	page, err := os.ReadFile("../../docs/VERSIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllSubmatch(page, -1)
	rows := regexp.MustCompile("(?m)^\\| `(\\S+) (\\S+)` \\| (?:`([^`]*)` )?\\| (\\S+) \\|$").FindAllStringSubmatch(string(page), -1)
	if len(examples) != 2 || len(rows) < 14 {
		t.Fatalf("found %d examples and %d requests", len(examples), len(rows))
	}
	for i, example := range examples {
		file, err := config.Parse("gatehouse.yaml", append([]byte(versionsBase), example[1]...))
		if err != nil {
			t.Fatal(err)
		}
		g, err := live.New(t.Context(), live.Options{Config: file, LogTo: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = g.Close() })
		if i > 0 {
			continue
		}
		for _, row := range rows {
			if got := versionOf(t, g, row[1], row[2], row[3]); got != row[4] {
				t.Errorf("%s %s with %q: the answer is %s, the page says %s", row[1], row[2], row[3], got, row[4])
			}
		}
	}
}

// versionOf is the version that a request gets, or the status of its refusal.
func versionOf(t *testing.T, g *live.Gateway, method, target, header string) string {
	t.Helper()
	headers := map[string][]string{}
	if name, value, ok := strings.Cut(header, ": "); ok {
		headers[name] = []string{value}
	}
	e, err := admin.Explain(t.Context(), g.Table(), method, target, headers)
	switch {
	case err != nil:
		return err.Error()
	case e.Refusal != nil:
		return fmt.Sprint(e.Refusal.HTTPStatus)
	default:
		return e.Version.Name
	}
}
