package live_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
)

// base is what an example of docs/POLICIES.md stands in.
const base = `
upstreams:
  - {name: shop, target: "dns:///localhost:9000", schema: {linked: true}}
expose:
  - {select: %q, upstream: shop}
`

// TestDocumentedPolicies builds a gateway of each example of docs/POLICIES.md.
func TestDocumentedPolicies(t *testing.T) {
	page, err := os.ReadFile("../../docs/POLICIES.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("REDIS_PASSWORD", "secret")
	examples := regexp.MustCompile("(?ms)^## (.*?)\n|^( *)```yaml\n(.*?)^ *```").FindAllSubmatch(page, -1)
	title, loaded := "", 0
	for _, m := range examples {
		if len(m[1]) > 0 {
			title = string(m[1])
			continue
		}
		if len(m[2]) > 0 { // a file of its own, which the example above it names
			continue
		}
		loaded++
		t.Run(title, func(t *testing.T) { loadExample(t, m[3]) })
	}
	if loaded < 10 {
		t.Errorf("only %d examples were found", loaded)
	}
}

func loadExample(t *testing.T, example []byte) {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, dir)
	var policy struct {
		Policy yaml.Node `yaml:"policy"`
	}
	if err := yaml.Unmarshal(example, &policy); err != nil {
		t.Fatal(err)
	}
	// One RPC without side effects, or one with, as the example needs.
	rpc := "shop.catalog.v1.CatalogService.GetShelf"
	if bytes.Contains(example, []byte("idempotency:")) {
		rpc = "shop.orders.v1.OrdersService.CreateOrder"
	}
	conf := map[string]any{}
	for _, text := range []string{fmt.Sprintf(base, rpc), string(example)} {
		if err := yaml.Unmarshal([]byte(text), &conf); err != nil {
			t.Fatal(err)
		}
	}
	expose := conf["expose"].([]any)[0].(map[string]any)
	expose["policy"] = conf["policy"]
	delete(conf, "policy")
	text, err := yaml.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	file, err := config.Parse(filepath.Join(dir, "gatehouse.yaml"), text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	var log bytes.Buffer
	g, err := live.New(t.Context(), live.Options{Config: file, LogTo: &log})
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// writeFiles writes the files that the examples name.
func writeFiles(t *testing.T, dir string) {
	t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	jwks := fmt.Sprintf(`{"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "1", "x": %q}]}`,
		base64.RawURLEncoding.EncodeToString(public))
	for name, text := range map[string]string{
		"jwks.json":      jwks,
		"keys.yaml":      "- {id: acme, sha256: " + strings.Repeat("ab", 32) + ", scopes: [orders.read]}\n",
		"users.htpasswd": "ada:$2y$05$abcdefghijklmnopqrstuuFCpTMzkpbWlfYdpyz0Wo/sP9kQwCbCG\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
