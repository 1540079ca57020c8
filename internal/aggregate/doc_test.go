package aggregate_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// around is what an example of docs/AGGREGATION.md stands in, unless it says it.
const around = `
upstreams:
  - {name: shop, target: "dns:///localhost:9000", schema: {linked: true}}
  - {name: pages, composed: true, schema: {linked: true}}
expose:
  - {select: "shop.*", upstream: shop, policy: {auth: {public: true}}}
  - {select: "shop.pages.v1.*", upstream: pages, policy: {auth: {public: true}}}
`

// TestDocumentedCompositions builds a gateway of each example of
// docs/AGGREGATION.md, and finds the part of the contract that it shows.
func TestDocumentedCompositions(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/AGGREGATION.md")
	if err != nil {
		t.Fatal(err)
	}
	contract, err := os.ReadFile("../../proto/shop/pages/v1/pages.proto")
	if err != nil {
		t.Fatal(err)
	}
	loaded := 0
	for _, m := range regexp.MustCompile("(?ms)^```(yaml|protobuf)\n(.*?)^```").FindAllStringSubmatch(string(page), -1) {
		if m[1] == "protobuf" {
			if !strings.Contains(string(contract), m[2]) {
				t.Errorf("this is not in proto/shop/pages/v1/pages.proto:\n%s", m[2])
			}
			continue
		}
		loaded++
		conf := map[string]any{}
		for _, text := range []string{around, m[2]} {
			if err := yaml.Unmarshal([]byte(text), &conf); err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
		}
		text, err := yaml.Marshal(conf)
		if err != nil {
			t.Fatal(err)
		}
		if err := built(t, string(text)); err != nil {
			t.Errorf("%v in\n%s", err, m[2])
		}
	}
	if loaded < 6 {
		t.Errorf("only %d examples were found", loaded)
	}
}
