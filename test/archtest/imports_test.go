// Package archtest_test holds the module to its import arrows: which package
// may know which. What the arrows keep apart can be read, tested and replaced
// on its own.
package archtest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/gatehouse-dev/gatehouse/"

// row says what the packages that match a pattern may import.
type row struct {
	pattern string   // as path.Match has it, relative to the module
	ours    []string // patterns of our own packages
	http    bool     // whether net/http is theirs to use
}

// arrows is the order of the house, bottom up. The first row that matches a
// package counts. Generated code is free to all but those at the bottom. What a
// package imports beyond its row stands in exceptions.
var arrows = []row{
	{pattern: "internal/nearest"},
	{pattern: "internal/httprule", ours: []string{"internal/nearest"}},
	{pattern: "internal/memory"}, // what the gateway holds for clients is counted at every layer
	{pattern: "internal/files"},
	{pattern: "internal/collect"},
	{pattern: "internal/call", ours: []string{"internal/memory"}},
	{pattern: "internal/contract", ours: []string{"gen", "internal/files", "internal/httprule"}},
	{pattern: "internal/transcode", ours: []string{"gen", "internal/call", "internal/contract", "internal/httprule", "internal/nearest"}},
	{
		pattern: "internal/edge",
		ours:    []string{"gen", "internal/call", "internal/contract", "internal/httprule", "internal/memory", "internal/transcode"},
		http:    true,
	},
	{pattern: "internal/edge/doors", ours: []string{"internal/edge", "internal/edge/*"}, http: true}, // the list
	// A door knows what all share, and neither a policy, an upstream nor another door.
	{pattern: "internal/edge/*", ours: []string{"internal/call", "internal/edge", "internal/memory", "internal/transcode"}, http: true},
	{pattern: "internal/openapi", ours: []string{"gen", "internal/call", "internal/contract", "internal/httprule", "internal/transcode"}},
	{pattern: "internal/openapi/compare", ours: []string{"internal/contract", "internal/httprule"}},
	{pattern: "internal/console", ours: []string{"internal/edge"}},
	{pattern: "internal/upstream", ours: []string{"gen", "internal/call", "internal/files", "internal/memory"}},
	{pattern: "internal/remember"},
	{pattern: "internal/certs", ours: []string{"internal/collect", "internal/files"}},
	{pattern: "internal/reflection", ours: []string{"internal/call"}},
	{pattern: "internal/logging", ours: []string{"gen", "internal/call", "internal/collect"}},
	{pattern: "internal/config", ours: []string{"gen", "internal/files", "internal/nearest", "internal/contract"}},
	{pattern: "interceptors", ours: []string{"gen", "internal/answers", "internal/call", "internal/expr"}},
	{pattern: "internal/view"},
	{pattern: "internal/expr", ours: []string{"internal/call", "internal/view"}},
	{pattern: "internal/routing", ours: []string{"gen", "internal/call", "internal/expr"}},
	{pattern: "internal/handover"},
	{pattern: "internal/aggregate", ours: []string{"gen", "internal/answers", "internal/call", "internal/expr", "internal/nearest", "internal/view"}},
	{pattern: "internal/redis", ours: []string{"gen", "internal/collect"}},
	{pattern: "internal/answers", ours: []string{"gen", "internal/call", "internal/collect"}},
	{pattern: "interceptors/auth", ours: []string{"gen", "interceptors", "internal/call", "internal/collect", "internal/nearest"}, http: true}, // fetches keys
	{pattern: "interceptors/*", ours: []string{"gen", "interceptors", "internal/call", "internal/collect"}},
	{pattern: "internal/server", ours: []string{"gen", "internal/memory"}, http: true},
	{pattern: "internal/compile", ours: []string{
		"gen", "interceptors", "interceptors/*", "internal/aggregate", "internal/answers", "internal/call", "internal/config", "internal/console", "internal/contract",
		"internal/edge", "internal/expr", "internal/files", "internal/httprule", "internal/nearest", "internal/openapi", "internal/openapi/compare", "internal/reflection",
		"internal/routing", "internal/transcode", "internal/upstream",
	}},
	{
		pattern: "internal/admin",
		ours: []string{
			"gen", "interceptors/breaker", "interceptors/deprecation", "internal/call", "internal/certs", "internal/compile", "internal/config", "internal/console",
			"internal/edge", "internal/edge/*", "internal/httprule", "internal/nearest", "internal/openapi", "internal/routing",
		},
		http: true,
	},
	{pattern: "internal/live", ours: []string{"gen", "interceptors", "interceptors/*", "internal/*", "internal/edge/*"}},
	{pattern: "examples/shop", ours: []string{"gen"}},
	{pattern: "examples/shop/demo", ours: []string{"gen", "examples/shop"}},
	{
		pattern: "cmd",
		ours:    []string{"gen", "internal/live", "internal/admin", "internal/config", "internal/openapi", "internal/openapi/compare", "interceptors"},
		http:    true,
	},
	{pattern: "cmd/*", ours: []string{"gen", "internal/live", "internal/config", "cmd", "examples/shop/demo"}},
	// What only tests use: no row lets the product import it.
	{pattern: "test/gatewaytest", ours: []string{"gen", "internal/config", "internal/live"}, http: true},
	{pattern: "test/edgetest", ours: []string{"gen", "internal/call", "test/gatewaytest"}, http: true},
	{pattern: "test/policytest", ours: []string{"gen", "interceptors", "internal/config"}},
	{pattern: "test/*", ours: []string{"internal/call"}},
	{pattern: "gen", ours: []string{"gen"}, http: true},
}

// exception is an import that arrows forbid and that is there today.
type exception struct{ pkg, imported, reason string }

// exceptions may only become fewer: TestExceptionsAreNeeded fails for one that
// nothing needs any more. A new one needs a better reason than a new package in
// a row of arrows.
var exceptions = []exception{
	{"interceptors/auth", "internal/files", "reads keys and users from files, within a bound"},
	{"interceptors/breaker", "internal/remember", "keeps breakers from table to table"},
	{"interceptors/cache", "internal/answers", "shares the store of answers with fallback"},
	{"interceptors/concurrency", "internal/remember", "keeps counts from table to table"},
	{"interceptors/fallback", "internal/answers", "shares the store of answers with cache"},
	{"interceptors/idempotency", "internal/answers", "tells callers apart as the store of answers does"},
	{"interceptors/idempotency", "internal/redis", "shares keys with other replicas"},
	{"interceptors/mirror", "internal/memory", "counts the memory of copies, for which no client waits"},
	{"interceptors/ratelimit", "internal/redis", "shares limits with other replicas"},
	{"interceptors/retry", "internal/remember", "keeps budgets and latencies from table to table"},
	{"interceptors/shed", "internal/remember", "keeps the load of methods from table to table"},
	{"cmd", "interceptors/auth", "hashes API keys as the policy does"},
	{"cmd", "internal/handover", "starts the process that takes over; the gateway does not know of processes"},
	{"cmd", "internal/server", "gives the sockets of the process before to the gateway"},
	{"cmd/gatehouse", "internal/server", "the demo prints the addresses of the server"},
	{"cmd", "internal/contract", "check --against compares two contracts without a gateway"},
	{"cmd", "internal/files", "check --against reads a file that is no configuration"},
}

func TestImportArrows(t *testing.T) {
	t.Parallel()
	for _, pkg := range listPackages(t) {
		for _, problem := range judge(pkg.ImportPath, pkg.Imports) {
			t.Error(problem)
		}
	}
}

// TestExceptionsAreNeeded fails for an exception whose import is gone, or is
// allowed by arrows.
func TestExceptionsAreNeeded(t *testing.T) {
	t.Parallel()
	imports := map[string][]string{}
	for _, pkg := range listPackages(t) {
		imports[strings.TrimPrefix(pkg.ImportPath, module)] = pkg.Imports
	}
	seen := map[exception]bool{}
	for _, e := range exceptions {
		if e.reason == "" {
			t.Errorf("%s may import %s without a reason", e.pkg, e.imported)
		}
		if !slices.Contains(imports[e.pkg], module+e.imported) {
			t.Errorf("%s imports %s no more: delete its exception", e.pkg, e.imported)
		}
		if row, ok := rowOf(e.pkg); ok && row.allows(module+e.imported) {
			t.Errorf("%s may import %s by its row in arrows: delete its exception", e.pkg, e.imported)
		}
		if e.reason = ""; seen[e] {
			t.Errorf("%s imports %s: the exception is there twice", e.pkg, e.imported)
		}
		seen[e] = true
	}
}

// TestRowsAreNeeded fails for what a row of arrows allows though no package that
// it is for imports it, generated code aside.
func TestRowsAreNeeded(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, pkg := range listPackages(t) {
		row, _ := rowOf(strings.TrimPrefix(pkg.ImportPath, module))
		for _, imported := range pkg.Imports {
			used[row.pattern+" net/http"] = used[row.pattern+" net/http"] || imported == "net/http"
			for _, pattern := range row.ours {
				if ours, ok := strings.CutPrefix(imported, module); ok && matches(pattern, ours) {
					used[row.pattern+" "+pattern] = true
				}
			}
		}
	}
	for _, row := range arrows {
		for _, pattern := range row.ours {
			if pattern != "gen" && !used[row.pattern+" "+pattern] {
				t.Errorf("%s: nothing of %s is imported: take it out of the row", row.pattern, pattern)
			}
		}
		if row.http && !used[row.pattern+" net/http"] {
			t.Errorf("%s: net/http is not imported: take it out of the row", row.pattern)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pkg, imported string
		wantProblem   bool
	}{
		{"internal/call", module + "internal/memory", false},
		{"internal/call", module + "internal/transcode", true},
		{"internal/call", "net/http", true},
		{"internal/httprule", module + "internal/call", true},
		{"internal/memory", module + "internal/call", true},
		{"internal/edge", module + "internal/transcode", false},
		{"internal/edge", module + "internal/upstream", true},
		{"internal/edge", module + "interceptors/timeout", true},
		{"internal/edge", module + "internal/live", true},
		{"internal/edge", "net/http", false},
		{"internal/edge", module + "internal/edge/rest", true},
		{"internal/edge/rest", "net/http", false},
		{"internal/edge/rest", module + "internal/edge", false},
		{"internal/edge/rest", module + "internal/edge/grpc", true},
		{"internal/edge/rest", module + "internal/edge/doors", true},
		{"internal/edge/rest", module + "internal/upstream", true},
		{"internal/edge/grpc", module + "interceptors/timeout", true},
		{"internal/edge/doors", module + "internal/edge/grpc", false},
		{"internal/live", "net/http", true},
		{"internal/admin", module + "internal/live", true},
		{"internal/compile", module + "internal/live", true},
		{"internal/compile", module + "internal/admin", true},
		{"internal/upstream", "net/http", true},
		{"internal/upstream", "net/http/httptrace", true},
		{"interceptors/retry", "net/http", true},
		{"interceptors/auth", "net/http", false},
		{"interceptors/timeout", module + "interceptors", false},
		{"interceptors/timeout", module + "interceptors/recovery", true},
		{"interceptors/timeout", module + "gen/gatehouse/policy/v1", false},
		{"interceptors/timeout", module + "internal/upstream", true},
		{"interceptors/timeout", module + "internal/redis", true},
		{"interceptors/ratelimit", module + "internal/redis", false},
		{"internal/live", module + "interceptors/timeout", false},
		{"internal/live", module + "cmd", true},
		{"internal/live", module + "test/gatewaytest", true},
		{"examples/shop", module + "internal/call", true},
		{"internal/unheard/of", "fmt", true},
		{"internal/config", "google.golang.org/grpc", false},
	}
	for _, test := range tests {
		problems := judge(module+test.pkg, []string{test.imported})
		if got := len(problems) > 0; got != test.wantProblem {
			t.Errorf("%s importing %s: got problems %v, want any: %v",
				test.pkg, test.imported, problems, test.wantProblem)
		}
	}
}

// judge returns what is wrong with the imports of a package.
func judge(importPath string, imports []string) []string {
	pkg := strings.TrimPrefix(importPath, module)
	row, ok := rowOf(pkg)
	if !ok {
		return []string{pkg + ": has no row in arrows; say there what it may import"}
	}
	var problems []string
	for _, imported := range imports {
		if !row.allows(imported) && !excepted(pkg, imported) {
			problems = append(problems, pkg+": must not import "+strings.TrimPrefix(imported, module))
		}
	}
	return problems
}

// rowOf returns the row of arrows that counts for a package.
func rowOf(pkg string) (row, bool) {
	i := slices.IndexFunc(arrows, func(r row) bool { return matches(r.pattern, pkg) })
	if i < 0 {
		return row{}, false
	}
	return arrows[i], true
}

// excepted reports whether exceptions let a package import what its row does not.
func excepted(pkg, imported string) bool {
	return slices.ContainsFunc(exceptions, func(e exception) bool { return e.pkg == pkg && module+e.imported == imported })
}

func (r row) allows(imported string) bool {
	if imported == "net/http" || strings.HasPrefix(imported, "net/http/") {
		return r.http
	}
	ours, ok := strings.CutPrefix(imported, module)
	if !ok {
		return true
	}
	return slices.ContainsFunc(r.ours, func(pattern string) bool { return matches(pattern, ours) })
}

// matches is path.Match, with all generated packages as one.
func matches(pattern, pkg string) bool {
	if pattern == "gen" {
		return strings.HasPrefix(pkg, "gen/")
	}
	ok, err := path.Match(pattern, pkg)
	return err == nil && ok
}

type goPackage struct {
	ImportPath string   `json:"ImportPath"`
	Dir        string   `json:"Dir"`
	GoFiles    []string `json:"GoFiles"`
	Imports    []string `json:"Imports"`
}

// touchTree reads the folders that hold our code, so that a cached result of
// this test is not taken for the result of today: the go command knows what a
// test has read itself, but not what its children have.
func touchTree(t *testing.T) {
	t.Helper()
	for _, top := range []string{"cmd", "examples", "interceptors", "internal", "test"} {
		err := filepath.WalkDir(filepath.Join("..", "..", top), func(_ string, _ fs.DirEntry, err error) error {
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// listPackages asks the go command for all packages of the module.
func listPackages(t *testing.T) []goPackage {
	t.Helper()
	touchTree(t)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var packages []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg goPackage
		err := dec.Decode(&pkg)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, pkg)
	}
	if len(packages) < len(arrows)/2 {
		t.Fatalf("go list found only %d packages", len(packages))
	}
	return packages
}
