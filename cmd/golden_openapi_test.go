package cmd_test

import (
	"os"
	"testing"
)

// TestGoldenOpenAPI: the documents that openapi writes, of all versions and of each.
func TestGoldenOpenAPI(t *testing.T) {
	t.Parallel()
	shop := demo(t)
	golden(t, "demo-openapi.golden", shop.run(t, "openapi", "--format", "yaml"))
	golden(t, "demo-openapi-v1.golden", shop.run(t, "openapi", "--format", "yaml", "--version", "v1"))
	golden(t, "demo-openapi-v2.golden", shop.run(t, "openapi", "--format", "json", "--version", "v2"))
	golden(t, "demo-openapi-select.golden", shop.run(t, "openapi", "--format", "yaml", "--select", "shop.pricing.v1.*", "--select", "shop.orders.v1.OrdersService.GetOrder"))
	golden(t, "rich-openapi.golden", rich(t).run(t, "openapi", "--format", "yaml"))
}

// TestOpenAPIMistakes: what openapi refuses, and what it says then.
func TestOpenAPIMistakes(t *testing.T) {
	t.Parallel()
	shop := demo(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--format", "toml"}, "gatehouse: --format: unknown format \"toml\": want json or yaml; see `gatehouse openapi --help`\nexit code 2\n"},
		{[]string{"--version", "v9"}, "gatehouse: --version: there is no version \"v9\": v1, v2; see `gatehouse openapi --help`\nexit code 2\n"},
		{[]string{"--select", "shop.nothing.v1.*"}, "gatehouse: --select: \"shop.nothing.v1.*\" names no RPC that is exposed; see `gatehouse openapi --help`\nexit code 2\n"},
	} {
		if got := shop.run(t, "openapi", test.args...); got != test.want {
			t.Errorf("%q: got\n%swant\n%s", test.args, got, test.want)
		}
	}
}

// annotated is a contract with annotations of other tools. Some of them contradict what the
// gateway does.
const annotated = `
upstreams: [{name: books, target: "passthrough:///127.0.0.1:1", schema: {image: annotated.binpb.gz}}]
expose: [{select: "*", upstream: books, policy: {auth: {public: true}}}]
`

// TestGoldenAnnotations: check warns of annotations that the document does not follow.
func TestGoldenAnnotations(t *testing.T) {
	t.Parallel()
	s := newSetting(t, "annotated", annotated)
	image, err := os.ReadFile("../internal/openapi/testdata/annotated.binpb.gz")
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "annotated.binpb.gz", image)
	golden(t, "annotated-check.golden", s.run(t, "check"))
}
