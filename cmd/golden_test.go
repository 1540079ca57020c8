package cmd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// demoFile is the configuration of `gatehouse demo`, in which names stand for what
// the demo fills in when it starts.
const (
	demoFile  = "../examples/shop/demo/gatehouse.yaml"
	demoImage = "../examples/shop/demo/shop.binpb.gz"
)

// goldens is the folder of the golden files of this package, and of what they are
// made of.
const goldens = "testdata/golden"

// setting is a folder with a configuration and the files that it names.
type setting struct {
	name string // of its golden files
	dir  string
	file string // the configuration
}

// configName is the name of the configuration in the folder of a setting.
const configName = "gatehouse.yaml"

// newSetting writes a configuration and all files that any of them names.
func newSetting(t *testing.T, name, config string) *setting {
	t.Helper()
	dir := t.TempDir()
	s := &setting{name: name, dir: dir, file: filepath.Join(dir, configName)}
	next := shopImage(t)
	addField(message(next, "shop.catalog.v1.Product"), "color", 99)
	for _, file := range []struct {
		name string
		text []byte
	}{
		{configName, []byte(config)},
		{"shop.binpb", wire(t, shopImage(t))},
		{"next.binpb", wire(t, next)},
		{"prices.yaml", read(t, "prices.yaml")},
		{"reviews.yaml", read(t, "reviews.yaml")},
		{"keys.yaml", []byte("- {id: staff, sha256: " + strings.Repeat("ab", 32) + ", scopes: [catalog.write]}\n")},
		{"users.txt", []byte("script:$2a$04$" + strings.Repeat("a", 53) + "\n")},
		{"jwks.json", []byte(`{"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)},
		{"openapi.json", []byte(`{"openapi": "3.1.0"}` + "\n")},
	} {
		s.write(t, file.name, file.text)
	}
	return s
}

func (s *setting) write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// demo is the demo's configuration, as the demo would write it.
func demo(t *testing.T) *setting {
	t.Helper()
	text, err := os.ReadFile(demoFile)
	if err != nil {
		t.Fatal(err)
	}
	config := strings.ReplaceAll(string(text), "DIR/", "") // its files are beside it
	config = regexp.MustCompile(`passthrough:///[A-Z]+`).ReplaceAllString(config, "passthrough:///127.0.0.1:1")
	s := newSetting(t, "demo", regexp.MustCompile(`(address: "127.0.0.1:)\d+`).ReplaceAllString(config, "${1}0"))
	image, err := os.ReadFile(demoImage)
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "shop.binpb.gz", image)
	return s
}

// rich is a configuration that has something of everything.
func rich(t *testing.T) *setting {
	t.Helper()
	return newSetting(t, "rich", string(read(t, "rich.yaml")))
}

// run runs a command with the configuration and returns all that it prints, and how
// it ended.
func (s *setting) run(t *testing.T, command string, args ...string) string {
	t.Helper()
	code, stdout, stderr := run(t, append([]string{command, "--config", s.file}, args...)...)
	return s.normalized(fmt.Sprintf("%s%sexit code %d\n", stdout, stderr, code))
}

// moment is a point in time as the clock gives it, with its fraction of a second.
var moment = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)`)

// normalized replaces what changes from run to run. This is the one place that does.
func (s *setting) normalized(text string) string {
	text = strings.ReplaceAll(text, s.dir, "DIR")
	text = moment.ReplaceAllString(text, "TIME")
	return blanks.ReplaceAllString(text, "\n")
}

// golden compares output with a golden file and shows where they first differ.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join(goldens, name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with -update", err)
	}
	if want := string(text); got != want {
		t.Errorf("%s differs from the output (-update rewrites it), first at line %s", path, firstDifference(want, got))
	}
}

// firstDifference shows the first lines in which two texts differ.
func firstDifference(want, got string) string {
	const context = 6
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	from := func(lines []string) string {
		return strings.Join(lines[min(n, len(lines)):min(n+context, len(lines))], "\n")
	}
	return fmt.Sprintf("%d; want:\n%s\ngot:\n%s", n+1, from(a), from(b))
}

// read reads a file that golden files are made of.
func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(goldens, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// gaps are between the columns of a table, as wide as the longest line asks.
var gaps = regexp.MustCompile(` {2,}`)

// TestGoldenCheck: what check and routes print about whole configurations, with
// warnings.
func TestGoldenCheck(t *testing.T) {
	t.Parallel()
	for _, s := range []*setting{demo(t), rich(t)} {
		t.Run(s.name, func(t *testing.T) {
			golden(t, s.name+"-check.golden", s.run(t, "check"))
			golden(t, s.name+"-print.golden", s.run(t, "check", "--print"))
			golden(t, s.name+"-routes.golden", gaps.ReplaceAllString(s.run(t, "routes"), "  "))
		})
	}
}
