package cmd_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// explanations are command lines, by the golden file that has what they print.
var explanations = []struct {
	name string
	code int
	args []string
}{
	{"binding", 0, []string{"GET", "/v1/products/boots"}},
	{"url", 0, []string{"GET", "https://shop.example/v1/shelves?pageSize=2&utm_source=mail"}},
	{"body", 0, []string{"PATCH", "/v1/products/boots?updateMask=displayName"}},
	{"encoded", 0, []string{"GET", "/v1/%70roducts/%62oots%2fred"}},
	{"query", 1, []string{"GET", "/v1/shelves?pagesize=2&pageToken=a%20b&pageSize=many"}},
	{"version-path", 0, []string{"GET", "/v1/products/boots/reviews/7"}},
	{"version-header", 0, []string{"GET", "/products/boots/reviews/7", "-H", "X-API-Version: v1"}},
	{"version-accept", 0, []string{"GET", "/products/boots/reviews/7", "-H", "accept: application/json; version=v2"}},
	{"version-default", 0, []string{"GET", "/products/boots/reviews"}},
	{"version-twice", 1, []string{"GET", "/v2/products/boots/reviews", "-H", "x-api-version: v1"}},
	{"version-unknown", 1, []string{"GET", "/v9/products/boots/reviews"}},
	{"version-lacks", 1, []string{"GET", "/products/boots/ratingSummary"}},
	{"near-word", 1, []string{"GET", "/v1/product/boots"}},
	{"near-slash", 1, []string{"GET", "/v1/products/boots/"}},
	{"near-verb", 1, []string{"GET", "/v1/products:find?query=tent"}},
	{"near-version", 1, []string{"GET", "/shelves/tents"}},
	{"near-none", 1, []string{"GET", "/favicon.ico"}},
	{"method", 1, []string{"PUT", "/v1/products/boots"}},
	{"bad-path", 1, []string{"GET", "/v1/products/../boots"}},
	{"bad-timeout", 1, []string{"GET", "/v1/products/boots", "-H", "grpc-timeout: soon"}},
	{"rpc-path", 1, []string{"GET", "/shop.catalog.v1.CatalogService/GetProduct"}},
	{"rpc", 0, []string{"shop.reviews.v1.ReviewsService.GetReview"}},
	{"rpc-grpc", 0, []string{"grpc", "/shop.catalog.v1.CatalogService/GetShelf"}},
	{"rpc-near", 1, []string{"shop.catalog.v1.CatalogService/GetShelve"}},
	{"rpc-format", 1, []string{"shop.catalog.v1.CatalogService/GetShelf", "-H", "content-type: application/grpc+json"}},
	{"json", 0, []string{"GET", "/v1/products/boots/reviews/7", "--output", "json"}},
	{"json-near", 1, []string{"GET", "/v1/product/boots", "-o", "json"}},
}

func TestExplain(t *testing.T) {
	for _, e := range explanations {
		t.Run(e.name, func(t *testing.T) {
			args := append([]string{"explain", "--config", "testdata/explain.yaml"}, e.args...)
			code, stdout, stderr := run(t, args...)
			if wantErr := map[int]string{0: "", 1: "gatehouse: it would be refused\n"}[e.code]; code != e.code || stderr != wantErr {
				t.Errorf("got %d and %q, want %d and %q", code, stderr, e.code, wantErr)
			}
			path := filepath.Join("testdata", "explain", e.name+".golden")
			got := "$ gatehouse " + strings.Join(quoted(args), " ") + "\n" + blanks.ReplaceAllString(stdout, "\n")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; write it with -update", err)
			}
			if got != string(want) {
				t.Errorf("%s is not what comes now; -update writes it anew:\n%s", path, got)
			}
		})
	}
}

// blanks at the end of a line are nobody's business.
var blanks = regexp.MustCompile(` +\n`)

// quoted writes arguments as for a shell.
func quoted(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		if out[i] = a; strings.ContainsAny(a, " ?&;%") {
			out[i] = "'" + a + "'"
		}
	}
	return out
}

// TestExplainWrongUse: what is no request is wrong use, and says what is one.
func TestExplainWrongUse(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"explain", "GET", "/x"}, "--config FILE is missing"},
		{[]string{"explain", "-c", "testdata/explain.yaml"}, "want METHOD and URL, or an RPC, and got 0 arguments"},
		{[]string{"explain", "-c", "testdata/explain.yaml", "GET", "/a", "/b"}, "got 3 arguments"},
		{[]string{"explain", "-c", "testdata/explain.yaml", "GET", "v1/products"}, `"v1/products" is not a URL or a path`},
		{[]string{"explain", "-c", "testdata/explain.yaml", "GET it", "/v1"}, `"GET it" is not an HTTP method`},
		{[]string{"explain", "-c", "testdata/explain.yaml", "GET", "/v1", "-H", "version v1"}, `--header "version v1": want 'NAME: VALUE'`},
		{[]string{"explain", "-c", "testdata/explain.yaml", "GET", "/v1", "-H", "a b: c"}, `"a b" is not the name of a header`},
		{[]string{"explain", "-c", "testdata/explain.yaml", "GET", "/v1", "-o", "yaml"}, `unknown format "yaml": want text or json`},
	} {
		code, stdout, stderr := run(t, test.args...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, test.want) || !strings.Contains(stderr, "see `gatehouse explain --help`") {
			t.Errorf("%q: got %d %q %q, want 2 and %s", test.args, code, stdout, stderr, test.want)
		}
	}
}

// TestExplainJSON: it is what the text says, for programs.
func TestExplainJSON(t *testing.T) {
	_, stdout, _ := run(t, "explain", "-c", "testdata/explain.yaml", "-o", "json", "GET", "/products/boots/reviews/7", "-H", "accept: a/b; version=v1")
	var got struct {
		Served  bool
		RPC     string
		Version struct {
			Name, API   string
			NamedBy     string `json:"named_by"`
			Deprecation []string
		}
		Message map[string]string
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(got)
	const want = `{true shop.reviews.v1.ReviewsService/GetReview {v1 reviews accept [deprecation: @1767225600 sunset: Fri, 01 Jan 2027 00:00:00 GMT link: <https://shop.example/v1-goes>; rel="deprecation", </v2/products>; rel="successor-version"]} map[name:products/boots/reviews/7]}`
	if text != want {
		t.Errorf("got %s\nwant %s", text, want)
	}
}

// TestDocumentedExplanations: what docs/EXPLAIN.md shows is what is printed, up
// to a line of dots.
func TestDocumentedExplanations(t *testing.T) {
	page, err := os.ReadFile("../docs/EXPLAIN.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?ms)^```console\n(.*?)^```").FindAllSubmatch(page, -1)
	if len(shown) < 5 {
		t.Fatalf("only %d examples were found", len(shown))
	}
	printed := map[string]string{} // by command
	for _, e := range explanations {
		text, err := os.ReadFile(filepath.Join("testdata", "explain", e.name+".golden"))
		if err != nil {
			t.Fatal(err)
		}
		command, output, _ := strings.Cut(strings.ReplaceAll(string(text), "testdata/explain.yaml", "gatehouse.yaml"), "\n")
		printed[command] = output
	}
	for _, m := range shown {
		command, output, _ := strings.Cut(string(m[1]), "\n")
		begun, dots := strings.CutSuffix(output, "...\n")
		got := strings.TrimRight(printed[command], "\n") + "\n"
		if got != output && (!dots || !strings.HasPrefix(got, begun)) {
			t.Errorf("%s prints\n%s\nand the page says\n%s", command, got, output)
		}
	}
}
