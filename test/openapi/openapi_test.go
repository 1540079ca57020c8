package openapi_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

// annotatedConfig serves a contract with annotations of others.
const annotatedConfig = `
upstreams: [{name: books, target: "passthrough:///127.0.0.1:1", schema: {image: annotated.binpb.gz}}]
expose: [{select: "*", upstream: books, policy: {auth: {public: true}}}]
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
		"annotated.yaml": annotatedConfig, "annotated.binpb.gz": read(t, root+"/internal/openapi/testdata/annotated.binpb.gz"),
		"etcd.yaml": read(t, root+"/examples/etcd/gatehouse.yaml"),
		"keys.yaml": "- {id: staff, sha256: " + strings.Repeat("ab", 32) + ", scopes: [catalog.write]}\n",
		"jwks.json": `{"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
	} {
		write(t, filepath.Join(dir, name), text)
	}
	run(t, root+"/test/e2e", "go", "run", "./etcdimage", filepath.Join(dir, "etcd.binpb"))
	var names []string
	for _, doc := range [][]string{
		{"shop-all.json", "shop.yaml"}, {"shop-v1.json", "shop.yaml", "--version", "v1"}, {"shop-v2.json", "shop.yaml", "--version", "v2"},
		{"shop.yml", "shop.yaml", "--format", "yaml"}, {"nasty.json", "nasty.yaml"},
		{"annotated.json", "annotated.yaml"}, {"etcd.json", "etcd.yaml"},
	} {
		args := append([]string{"openapi", "--config", filepath.Join(dir, doc[1])}, doc[2:]...)
		write(t, filepath.Join(dir, doc[0]), run(t, dir, binary, args...))
		names = append(names, doc[0])
	}
	return names
}

// validators are the commands that read documents. Their warnings are matters of taste:
// that a description is missing, or that a scope is listed nowhere.
var validators = []struct {
	command []string
	// most is how many RPCs it reads in the time that the large document may take. For
	// 10,000 the first two need 14 s and 5 s of the processor; spectral has not ended
	// after 85 s, and openapi-spec-validator needs 22 ms for each.
	most string
	// brief has it not show the places of its warnings, which it takes minutes to find
	// in a large document.
	brief []string
}{
	{[]string{"node_modules/.bin/redocly", "lint", "--extends=recommended"}, "10000", []string{"--format=summary"}},
	{[]string{"node", "parse.js"}, "10000", nil},
	{[]string{"node_modules/.bin/spectral", "lint", "--ruleset=spectral.yaml"}, "1000", nil},
	{[]string{"python/bin/openapi-spec-validator"}, "250", nil},
}

// install installs the validators in a folder of their own.
func install(t *testing.T) (dir string) {
	t.Helper()
	for _, program := range []string{"npm", "node", "python3"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing: apt-get install npm python3-venv, or brew install node python", program)
		}
	}
	dir = t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "requirements.txt", "spectral.yaml", "parse.js"} {
		write(t, filepath.Join(dir, name), read(t, name))
	}
	run(t, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	run(t, dir, "python3", "-m", "venv", "python")
	run(t, dir, "python/bin/pip", "install", "--quiet", "--requirement", "requirements.txt")
	return dir
}

// TestValidators: no validator finds an error in any document.
func TestValidators(t *testing.T) {
	dir := install(t)
	names := documents(t, dir)
	broken := strings.Replace(read(t, filepath.Join(dir, names[0])), `"operationId"`, `"operationIdentifier"`, 1)
	write(t, filepath.Join(dir, "broken.json"), strings.Replace(broken, `"paths": {`, `"paths": {"no-slash": {"get": 1},`, 1))
	for _, most := range []string{"10000", "1000", "250"} {
		run(t, root, "go", "test", "./internal/openapi", "-run", "^TestLarge$", "-rpcs", most, "-large", filepath.Join(dir, "large-"+most+".json"))
	}
	for _, validator := range validators {
		name := strings.Join(append([]string{filepath.Base(validator.command[0])}, validator.command[1:]...), "_")
		program, args := validator.command[0], validator.command[1:]
		if strings.Contains(program, "/") {
			program = filepath.Join(dir, program)
		}
		t.Run(name, func(t *testing.T) {
			run(t, dir, program, slices.Concat(args, names)...)
			c := exec.CommandContext(t.Context(), program, slices.Concat(args, []string{"broken.json"})...)
			c.Dir = dir
			if text, err := c.CombinedOutput(); err == nil {
				t.Errorf("a path without its slash passes:\n%s", text)
			}
		})
		t.Run(name+"_large", func(t *testing.T) {
			run(t, dir, program, slices.Concat(args, validator.brief, []string{"large-" + validator.most + ".json"})...)
		})
	}
}
