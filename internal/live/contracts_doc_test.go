package live_test

import (
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestDocumentedContracts serves each example of docs/CONTRACTS.md and looks for
// the metric that it names. The first has the upstream of all.
func TestDocumentedContracts(t *testing.T) {
	page, err := os.ReadFile("../../docs/CONTRACTS.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllSubmatch(page, -1)
	if len(examples) < 4 {
		t.Fatalf("only %d examples were found", len(examples))
	}
	address := map[string]any{"address": "127.0.0.1:0"}
	common := map[string]any{"listeners": map[string]any{"http": address, "grpc": address, "admin": address}}
	for i, m := range examples {
		conf := maps.Clone(common)
		if err := yaml.Unmarshal([]byte(strings.Replace(string(m[1]), "dns:///", "passthrough:///", 1)), &conf); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			common = maps.Clone(conf)
		}
		text, err := yaml.Marshal(conf)
		if err != nil {
			t.Fatal(err)
		}
		f := newOthers(t)
		f.put("service.yaml", []byte(serviceConfig))
		f.serve(string(text))
		for _, name := range regexp.MustCompile("`(gatehouse_[a-z_]*)").FindAllSubmatch(page, -1) {
			if !strings.Contains(f.admin("/metrics"), "\n"+string(name[1])) {
				t.Errorf("there is no metric %s", name[1])
			}
		}
	}
}
