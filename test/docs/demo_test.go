package docs_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func startDemo(t *testing.T) *process {
	t.Helper()
	return start(t, t.TempDir(), bin+"/gatehouse", "Stop with Ctrl-C", "demo")
}

// offers are the commands that a demo says to try.
func (p *process) offers(t *testing.T) []string {
	t.Helper()
	var found []string
	for line := range strings.Lines(p.greeting) {
		if command, ok := strings.CutPrefix(line, "  "); ok && offered.MatchString(command) {
			found = append(found, strings.TrimSpace(command))
		}
	}
	if len(found) == 0 {
		t.Fatalf("the demo offers nothing:\n%s", p.greeting)
	}
	return found
}

var offered = regexp.MustCompile(`^(curl|grpcurl|for|sleep|\S*gatehouse) `)

func TestDemoOffersWhatTheReadmeShows(t *testing.T) {
	demo := startDemo(t)
	offers := demo.offers(t)
	for _, e := range examples(t, readme) {
		if command := demo.elsewhere(e.command); !slices.Contains(offers, command) {
			t.Errorf("README.md shows\n%s\nand the demo offers\n%s", command, strings.Join(offers, "\n"))
		}
	}
}

// TestDemoDoesWhatItSays tries all that the demo offers, in its order.
func TestDemoDoesWhatItSays(t *testing.T) {
	demo := startDemo(t)
	offers := demo.offers(t)
	outcomes := []struct {
		command string // a part that tells which it is
		want    string // what it prints, a regular expression
	}{
		{"/v1/shelves?pageSize=2", `^\{"shelves":\[.*\],"nextPageToken":".+"\}$`},
		{"/reviews/205", `^\{"name":"products/enamel-mug-blue/reviews/205","rating":5,`},
		{"/v1/shelves?pagesize=2", `^\{"error":\{"code":400,`},
		{":watch?", `^(\{"name":"warehouses/.*\}\n){3}$`},
		{"CatalogService/GetShelf", `"displayName": "Tents and shelters"`},
		{" list", `(?m)^shop\.orders\.v1\.OrdersService$`},
		{"-X DELETE", `^\{"error":\{"code":401,.*"UNAUTHENTICATED"`},
		{"-H 'x-api-key: demo-warehouse'", `^\{"error":\{"code":403,.*"PERMISSION_DENIED".*"scopes":"catalog\.write"`},
		{"-H 'x-api-key: demo-staff'", `^\{"name":"products/enamel-mug-blue/reviews/205","rating":4,`},
		{"authorization: Bearer ", `^\{"orders":\[\{"name":"orders/\d+","customer":"customers/bjorn-lund",`},
		{"for i in 1 2 3 4 5 6; do", `^(200 ){5}429 $`},
		{"products:search", `(?s)^HTTP/1.1 429 .*\nRatelimit: "search";r=0;t=\d+\r\nRatelimit-Policy: "search";q=5;w=30\r\n.*\nRetry-After: \d+\r\n.*"RESOURCE_EXHAUSTED"`},
		{"x-demo-fault: once", `(?s)^HTTP/1.1 200 OK\r\n.*"rating":4,`},
		{"for i in 1 2 3 4; do", `^\{"error":\{"code":503,"message":"out of order, as you wished","status":"UNAVAILABLE"\}\}\n(.*\n){2}` +
			`\{"error":\{"code":503,"message":"upstream \\"reviews\\" fails too often.*"UNAVAILABLE".*\n.*GetReview".*\n.*\n *"state": "open"`},
		{"sleep 4; for i in 1 2 3; do", `^(200\n){3}.*GetReview".*\n.*\n *"state": "closed"`},
		{"/ratingSummary", `^\{"name":"products/enamel-mug-blue/ratingSummary",`},
		{"/ratingSummary -H 'x-demo-fault: always'", `(?s)^HTTP/1.1 200 OK\r\nAge: \d\r\n.*\nGatehouse-Degraded: fallback; code=UNAVAILABLE\r\n.*"name":"products/enamel-mug-blue/ratingSummary"`},
		{"for v in ada bob", `(?s)^ada: X-Served-By: catalog\r\nbob: X-Served-By: catalog\r\neve: .*hal: X-Served-By: catalog-next\r\n.*GetShelf",status="OK",upstream="catalog"} 5\n.*upstream="catalog-next"} 1\n`},
		{"x-visitor: hal", `(?s)\nx-served-by: catalog-next\n.*"displayName": "Tents and shelters"`},

		{"/products/enamel-mug-blue/reviews/205", `^\{"name":"products/enamel-mug-blue/reviews/205","score":\{"stars":\d,"of":5\},.*"author":\{"displayName":`},
		{"-H 'x-api-version: v1'", `^\{"name":"products/enamel-mug-blue/reviews/205","rating":\d,`},
		{"-H 'accept: application/json; version=v1'", `^\{"name":"products/enamel-mug-blue/reviews/205","rating":\d,`},
		{"-i http", `(?s)^HTTP/1.1 200 OK\r\n.*\nDeprecation: @1767225600\r\nLink: <https://shop.example/reviews-v2>; rel="deprecation", ` +
			`</v2/products/-/reviews>; rel="successor-version"\r\n.*\nSunset: Fri, 31 Dec 2027 00:00:00 GMT\r\nX-Api-Version: v1\r\n.*"rating":\d,`},
		{"grpcurl -plaintext -v", `(?s)\ndeprecation: @1767225600\n.*\nsunset: Fri, 31 Dec 2027 00:00:00 GMT\n.*"rating": \d,`},
		{"-H 'x-api-version: v9'", `^\{"error":\{"code":400,"message":"header x-api-version names version \\"v9\\" of \\"reviews\\", which has v1, v2",.*"versions":"v1, v2"`},
		{"/v2/products", `^\{"error":\{"code":400,"message":"the path names version v2 of \\"reviews\\", and header x-api-version version v1: name one"`},
		{" explain ", `(?s)\npasses the door\n.*\nrpc +shop.reviews.v1.ReviewsService/GetReview\nversion +v1 of reviews, named by header x-api-version\n.*\nupstream +reviews\n`},
		{"/v1/pages/products/enamel-mug-blue", `^\{"product":\{"name":"products/enamel-mug-blue",.*"price":\{"name":"products/enamel-mug-blue/price",.*` +
			`"stock":\[\{"name":"warehouses/.*"reviews":\[\{"name":"products/enamel-mug-blue/reviews/205",.*"reviewers":\[\{"name":"customers/[^]]*\]\}$`},
		{"x-demo-fault: reviews=always", `(?s)^HTTP/1.1 200 OK\r\n.*\nGatehouse-Degraded: reviews; code=UNAVAILABLE, reviewers; code=UNAVAILABLE\r\n.*` +
			`"stock":\[.*\],"missing":\[\{"step":"reviews","code":"UNAVAILABLE"\},\{"step":"reviewers","code":"UNAVAILABLE"\}\]\}$`},
	}
	if len(offers) != len(outcomes) {
		t.Fatalf("the demo offers %d commands, and this test knows %d:\n%s", len(offers), len(outcomes), strings.Join(offers, "\n"))
	}
	for i, command := range offers {
		if !strings.Contains(command, outcomes[i].command) {
			t.Fatalf("the demo offers %s, want one with %s", command, outcomes[i].command)
		}
		got, err := shell(t, t.TempDir(), command)
		if err != nil || !regexp.MustCompile(outcomes[i].want).MatchString(got) {
			t.Errorf("%s: %v\n%s\nwant %s", command, err, got, outcomes[i].want)
		}
	}
}

// TestDemoLeavesNothingBehind: its credentials are gone when it has ended.
func TestDemoLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	left := func() []string {
		found, err := filepath.Glob(filepath.Join(dir, "gatehouse-demo-*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	t.Run("demo", func(t *testing.T) {
		startDemo(t) // until the end of this
		if len(left()) != 1 {
			t.Errorf("while it runs there are %q: the test looks at the wrong place", left())
		}
	})
	if found := left(); len(found) > 0 {
		t.Errorf("%q is left", found)
	}
}
