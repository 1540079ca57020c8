package openapi_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// run runs a program in dir and returns what it printed; its failure is the test's.
func run(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), program, args...)
	c.Dir = dir
	text, err := c.Output()
	if err != nil {
		failed, _ := errors.AsType[*exec.ExitError](err)
		if failed == nil {
			t.Fatalf("%s: %v", program, err)
		}
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, text, failed.Stderr)
	}
	return string(text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// nastyConfig serves the contract of internal/openapi/testdata. One of its bindings
// cannot be told from another in a path, and one variable binds what none can.
const nastyConfig = `
upstreams: [{name: nasty, target: "passthrough:///127.0.0.1:1", schema: {image: nasty.binpb.gz}}]
expose: [{select: "*", upstream: nasty, bad_rules: skip, policy: {auth: {public: true}}}]
errors: {format: problem}
`

// documents writes the documents into a folder and returns their names.
func documents(t *testing.T, dir string) []string {
	t.Helper()
	binary := filepath.Join(dir, "gatehouse")
	run(t, root, "go", "build", "-o", binary, "./cmd/gatehouse")
	shop := strings.ReplaceAll(read(t, root+"/examples/shop/demo/gatehouse.yaml"), "DIR/", "")
	shop = regexp.MustCompile(`passthrough:///[A-Z]+`).ReplaceAllString(shop, "passthrough:///127.0.0.1:1")
	for name, text := range map[string]string{
		"shop.yaml": shop, "shop.binpb.gz": read(t, root+"/examples/shop/demo/shop.binpb.gz"),
		"nasty.yaml": nastyConfig, "nasty.binpb.gz": read(t, root+"/internal/openapi/testdata/nasty.binpb.gz"),
		"keys.yaml": "- {id: staff, sha256: " + strings.Repeat("ab", 32) + ", scopes: [catalog.write]}\n",
		"jwks.json": `{"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
	} {
		write(t, filepath.Join(dir, name), text)
	}
	var names []string
	for _, doc := range [][]string{
		{"shop-all.json", "shop.yaml"}, {"shop-v1.json", "shop.yaml", "--version", "v1"}, {"shop-v2.json", "shop.yaml", "--version", "v2"},
		{"shop.yml", "shop.yaml", "--format", "yaml"}, {"nasty.json", "nasty.yaml"},
	} {
		args := append([]string{"openapi", "--config", filepath.Join(dir, doc[1])}, doc[2:]...)
		write(t, filepath.Join(dir, doc[0]), run(t, dir, binary, args...))
		names = append(names, doc[0])
	}
	return names
}

// TestValidators: no validator finds an error in any document. Their warnings are matters
// of taste: that a description is missing, or that a scope is listed nowhere.
func TestValidators(t *testing.T) {
	for _, program := range []string{"npm", "node", "python3"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing: apt-get install npm python3-venv, or brew install node python", program)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "requirements.txt", "spectral.yaml", "parse.js"} {
		write(t, filepath.Join(dir, name), read(t, name))
	}
	names := documents(t, dir)
	run(t, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	run(t, dir, "python3", "-m", "venv", "python")
	run(t, dir, "python/bin/pip", "install", "--quiet", "--requirement", "requirements.txt")
	broken := strings.Replace(read(t, filepath.Join(dir, names[0])), `"operationId"`, `"operationIdentifier"`, 1)
	write(t, filepath.Join(dir, "broken.json"), strings.Replace(broken, `"paths": {`, `"paths": {"no-slash": {"get": 1},`, 1))
	for _, validator := range [][]string{
		{"node_modules/.bin/redocly", "lint", "--extends=recommended"},
		{"node_modules/.bin/spectral", "lint", "--ruleset=spectral.yaml"},
		{"node", "parse.js"},
		{"python/bin/openapi-spec-validator"},
	} {
		t.Run(strings.Join(append([]string{filepath.Base(validator[0])}, validator[1:]...), "_"), func(t *testing.T) {
			program := validator[0]
			if strings.Contains(program, "/") {
				program = filepath.Join(dir, program)
			}
			run(t, dir, program, append(validator[1:], names...)...)
			c := exec.CommandContext(t.Context(), program, append(validator[1:], "broken.json")...)
			c.Dir = dir
			if text, err := c.CombinedOutput(); err == nil {
				t.Errorf("a path without its slash passes:\n%s", text)
			}
		})
	}
}
