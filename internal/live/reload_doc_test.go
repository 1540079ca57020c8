package live_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
)

// TestDocumentedReloads builds a gateway of each example of docs/RELOAD.md, and
// looks for the metrics that it names.
func TestDocumentedReloads(t *testing.T) {
	page, err := os.ReadFile("../../docs/RELOAD.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllSubmatch(page, -1)
	if len(examples) < 2 {
		t.Fatalf("only %d examples were found", len(examples))
	}
	for _, m := range examples {
		text := strings.Replace(fmt.Sprintf(base, "shop.catalog.v1.CatalogService.GetShelf"), "upstream: shop}", "upstream: shop, policy: {auth: {public: true}}}", 1) + string(m[1])
		file, err := config.Parse("gatehouse.yaml", []byte(text))
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		g, err := live.New(t.Context(), live.Options{Config: file, LogTo: t.Output()})
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
	f := newFolder(t)
	f.serve(f.text("127.0.0.1:1"))
	served := f.admin("/metrics")
	for _, name := range regexp.MustCompile("`(gatehouse_reload[a-z_]*)").FindAllSubmatch(page, -1) {
		if !strings.Contains(served, "\n"+string(name[1])) {
			t.Errorf("there is no metric %s", name[1])
		}
	}
}

// TestDocumentedRestarts compares the parts of the configuration that docs/RELOAD.md
// lists with those whose change is refused.
func TestDocumentedRestarts(t *testing.T) {
	page, err := os.ReadFile("../../docs/RELOAD.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## What takes a restart\n\n")
	listed, _, _ := strings.Cut(section, "\n")
	fields := new(configv1.Config).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		name := string(fields.Get(i).Name())
		if restart := live.TakesRestart(name); restart != strings.Contains(listed, "`"+name+"`") {
			t.Errorf("that a change of %s takes a restart is %v; the page says otherwise", name, restart)
		}
	}
}
