package httprule_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/httprule"
)

// build makes a router of routes written "METHOD template"; each route's value
// is how it was written.
func build(tb testing.TB, d httprule.Decoding, routes ...string) *httprule.Router[string] {
	tb.Helper()
	b := &httprule.Builder[string]{Decoding: d}
	for i, r := range routes {
		method, tmpl, _ := strings.Cut(r, " ")
		if err := b.Add(method, mustParse(tb, tmpl), fmt.Sprintf("line %d", i+1), r); err != nil {
			tb.Fatal(err)
		}
	}
	return b.Build()
}

// lookup writes an outcome on one line: the route and its variables, or the
// kind of error and Allow.
func lookup(tb testing.TB, r *httprule.Router[string], m *httprule.Match[string], method, path string) string {
	tb.Helper()
	err := r.Match(method, path, m)
	if m.Steps() > r.MaxSteps() {
		tb.Errorf("%s %s took %d steps, more than MaxSteps = %d", method, path, m.Steps(), r.MaxSteps())
	}
	if err == nil {
		return m.Value + format(m.Vars)
	}
	if m.Value != "" || m.Route != nil || len(m.Vars) != 0 {
		tb.Errorf("%s %s failed, but the match holds %q %q", method, path, m.Value, m.Vars)
	}
	var e *httprule.Error
	if !errors.As(err, &e) {
		tb.Fatalf("%s %s: %T, want *httprule.Error", method, path, err)
	}
	return kinds[e.Kind] + format(e.Allow)
}

var kinds = map[httprule.Kind]string{httprule.NotFound: "404", httprule.MethodNotAllowed: "405", httprule.BadPath: "400"}

func format(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf(" %q", list)
}

var shop = []string{
	"GET /v1/products",
	"POST /v1/products",
	"GET /v1/products:search",
	"GET /v1/{name=products/*}",
	"PATCH /v1/{product.name=products/*}",
	"POST /v1/products/special",
	"POST /v1/products/{id}:archive",
	"GET /v1/products/{id}/reviews/{review}",
	"GET /v1/products/top/reviews/{review}",
	"GET /v1/files/{path=**}",
	"GET /v1/files/{path=**}/versions",
	"GET /v1/files/{path=**}/old/versions",
	"POST /v1/files/{path=**}:stat",
	"GET /v1/orders/{id}",
	"GET /v1/orders/a%3Ab",
	"* /v1/anything/{id}",
	"GET /v1/anything/{id}",
	"HEAD /v1/heads/{id}",
	"GET /v1/heads/{id}",
	"OPTIONS /v1/options",
	"GET /v1/caf%C3%A9/{x}",
	"GET /v1/{a}/deep/*/{b}",
}

func TestMatch(t *testing.T) {
	r := build(t, httprule.KeepReserved, shop...)
	m := &httprule.Match[string]{}
	for _, tt := range []struct{ request, want string }{
		{"GET /v1/products", "GET /v1/products"},
		{"POST /v1/products", "POST /v1/products"},
		{"GET /v1/products/42", `GET /v1/{name=products/*} ["products/42"]`},
		{"PATCH /v1/products/42", `PATCH /v1/{product.name=products/*} ["products/42"]`},
		// Literals in their canonical encoding.
		{"GET /v1/%70roducts", "GET /v1/products"},
		{"GET /v1/%70roducts/42", `GET /v1/{name=products/*} ["products/42"]`},
		{"GET /v1/caf%c3%a9/1", `GET /v1/caf%C3%A9/{x} ["1"]`},
		{"GET /v1/caf\u00e9/1", `GET /v1/caf%C3%A9/{x} ["1"]`},
		{"GET /V1/products", "404"},
		// A literal that lacks the method is given up for "*".
		{"POST /v1/products/special", "POST /v1/products/special"},
		{"GET /v1/products/special", `GET /v1/{name=products/*} ["products/special"]`},
		{"DELETE /v1/products/special", `405 ["GET" "HEAD" "PATCH" "POST"]`},
		// Backtracking into a sibling.
		{"GET /v1/products/top/reviews/7", `GET /v1/products/top/reviews/{review} ["7"]`},
		{"GET /v1/products/9/reviews/7", `GET /v1/products/{id}/reviews/{review} ["9" "7"]`},
		{"GET /v1/products/deep/x/y", `GET /v1/{a}/deep/*/{b} ["products" "y"]`},
		{"GET /v1/products/nope/x/y", "404"},
		// Verbs.
		{"GET /v1/products:search", "GET /v1/products:search"},
		{"POST /v1/products:search", `405 ["GET" "HEAD"]`},
		{"GET /v1/products%3Asearch", "404"},
		{"POST /v1/products/42:archive", `POST /v1/products/{id}:archive ["42"]`},
		{"POST /v1/products/a:b:archive", `POST /v1/products/{id}:archive ["a:b"]`},
		{"POST /v1/products/4%32%3A:%61rchive", `POST /v1/products/{id}:archive ["42:"]`},
		{"GET /v1/products/42:archive", `GET /v1/{name=products/*} ["products/42:archive"]`},
		{"GET /v1/products/42:other", `GET /v1/{name=products/*} ["products/42:other"]`},
		{"GET /v1/products/42:", `GET /v1/{name=products/*} ["products/42:"]`},
		{"GET /v1/orders/42:archive", `GET /v1/orders/{id} ["42:archive"]`},
		{"POST /v1/products/:archive", `405 ["GET" "HEAD" "PATCH"]`},
		{"GET /v1/orders/a:b", "GET /v1/orders/a%3Ab"},
		{"GET /v1/orders/a%3ab", "GET /v1/orders/a%3Ab"},
		{"GET /v1/products:search/x", "404"},
		// "**" matches nothing, one, many; an empty last segment is one.
		{"GET /v1/files", `GET /v1/files/{path=**} [""]`},
		{"GET /v1/files/", `GET /v1/files/{path=**} [""]`},
		{"GET /v1/files/a", `GET /v1/files/{path=**} ["a"]`},
		{"GET /v1/files/a/b/c", `GET /v1/files/{path=**} ["a/b/c"]`},
		{"GET /v1/files/a/b/", `GET /v1/files/{path=**} ["a/b/"]`},
		{"GET /v1/files/versions", `GET /v1/files/{path=**}/versions [""]`},
		{"GET /v1/files/a/versions", `GET /v1/files/{path=**}/versions ["a"]`},
		{"GET /v1/files/a/old/versions", `GET /v1/files/{path=**}/old/versions ["a"]`},
		{"GET /v1/files/a/versions/", `GET /v1/files/{path=**} ["a/versions/"]`},
		{"GET /v1/files/a/versions/b", `GET /v1/files/{path=**} ["a/versions/b"]`},
		{"POST /v1/files/a/b:stat", `POST /v1/files/{path=**}:stat ["a/b"]`},
		{"POST /v1/files:stat", `POST /v1/files/{path=**}:stat [""]`},
		{"GET /v1/files/a/b:stat", `GET /v1/files/{path=**} ["a/b:stat"]`},
		{"DELETE /v1/files/a:stat", `405 ["GET" "HEAD" "POST"]`},
		// Trailing slash.
		{"GET /v1/products/", "404"},
		{"GET /v1/products/42/", "404"},
		{"GET /", "404"},
		{"GET /v1", "404"},
		// Methods.
		{"HEAD /v1/products/42", `GET /v1/{name=products/*} ["products/42"]`},
		{"HEAD /v1/heads/1", `HEAD /v1/heads/{id} ["1"]`},
		{"HEAD /v1/anything/1", `GET /v1/anything/{id} ["1"]`},
		{"GET /v1/anything/1", `GET /v1/anything/{id} ["1"]`},
		{"BREW /v1/anything/1", `* /v1/anything/{id} ["1"]`},
		{"OPTIONS /v1/options", "OPTIONS /v1/options"},
		{"GET /v1/options", `405 ["OPTIONS"]`},
		{"get /v1/products", `405 ["GET" "HEAD" "POST"]`},
		{"* /v1/products", `405 ["GET" "HEAD" "POST"]`},
	} {
		method, path, _ := strings.Cut(tt.request, " ")
		if got := lookup(t, r, m, method, path); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.request, got, tt.want)
		}
	}
}

// TestVerbWins: a template whose verb ends the path wins over one that would
// swallow it, whatever its literals.
func TestVerbWins(t *testing.T) {
	r := build(t, 0,
		"GET /v1/{id=topics/*}", "GET /v1/{id=**}:getIamPolicy", "GET /v1/topics/{id}/subs/{sub}", "POST /v1/{id=**}:setIamPolicy",
		"GET /person", "GET /person/{id}", "GET /{x=**}:verb",
	)
	m := &httprule.Match[string]{}
	for _, tt := range []struct{ path, want string }{
		{"/v1/topics/t:getIamPolicy", `GET /v1/{id=**}:getIamPolicy ["topics/t"]`},
		{"/v1/topics/a:b:getIamPolicy", `GET /v1/{id=**}:getIamPolicy ["topics/a:b"]`},
		{"/v1/topics/t/subs/s:%67etIamPolicy", `GET /v1/{id=**}:getIamPolicy ["topics/t/subs/s"]`},
		{"/v1/topics/t%3AgetIamPolicy", `GET /v1/{id=topics/*} ["topics/t:getIamPolicy"]`},
		{"/v1/topics/t:getIamPolicy/subs/s", `GET /v1/topics/{id}/subs/{sub} ["t:getIamPolicy" "s"]`},
		{"/v1/topics/t:setIamPolicy", `GET /v1/{id=topics/*} ["topics/t:setIamPolicy"]`}, // no GET has it
		{"/v1/topics/t:other", `GET /v1/{id=topics/*} ["topics/t:other"]`},
		{"/person:verb", `GET /{x=**}:verb ["person"]`},
		{"/person/jason:verb", `GET /{x=**}:verb ["person/jason"]`},
		{"/person/jason:other", `GET /person/{id} ["jason:other"]`},
		{"/animal:other", "404"},
	} {
		if got := lookup(t, r, m, "GET", tt.path); got != tt.want {
			t.Errorf("GET %s\n got %s\nwant %s", tt.path, got, tt.want)
		}
	}
}

// TestSegmentsBehindDeepWildcard: they are matched from the end, as the bindings
// of Firestore need it.
func TestSegmentsBehindDeepWildcard(t *testing.T) {
	const documents = "projects/*/databases/*/documents"
	r := build(t, 0,
		"POST /v1/{parent="+documents+"/*/**}/{collection_id}",
		"POST /v1/{parent="+documents+"}/{collection_id}",
		"POST /v1/{parent="+documents+"/*/**}:listCollectionIds",
		"GET /v1/{name="+documents+"/*/**}",
		"GET /v1/{parent="+documents+"/*/**}/{collection_id}:list",
		"GET /x/{a=**}/{b}/end", "GET /x/{a=**}/{b}/{c}", "GET /x/{a=**/*/tail}",
	)
	const at = "/v1/projects/p/databases/d/documents"
	m := &httprule.Match[string]{}
	for _, tt := range []struct{ request, want string }{
		{"POST " + at + "/rooms/a/messages", `POST /v1/{parent=` + documents + `/*/**}/{collection_id} ["projects/p/databases/d/documents/rooms/a" "messages"]`},
		{"POST " + at + "/rooms/a%2Fb/m%2Fn", `POST /v1/{parent=` + documents + `/*/**}/{collection_id} ["projects/p/databases/d/documents/rooms/a%2Fb" "m/n"]`},
		{"POST " + at + "/rooms/messages", `POST /v1/{parent=` + documents + `/*/**}/{collection_id} ["projects/p/databases/d/documents/rooms" "messages"]`},
		{"POST " + at + "/rooms", `POST /v1/{parent=` + documents + `}/{collection_id} ["projects/p/databases/d/documents" "rooms"]`},
		{"POST " + at + "/rooms/a:listCollectionIds", `POST /v1/{parent=` + documents + `/*/**}:listCollectionIds ["projects/p/databases/d/documents/rooms/a"]`},
		{"GET " + at + "/rooms/a/messages:list", `GET /v1/{parent=` + documents + `/*/**}/{collection_id}:list ["projects/p/databases/d/documents/rooms/a" "messages"]`},
		{"POST " + at + "/rooms/a/", "405 [\"GET\" \"HEAD\"]"}, // an empty segment is no collection
		{"GET /x/1/2/3/end", `GET /x/{a=**}/{b}/end ["1/2" "3"]`},
		{"GET /x/1/2/3/4", `GET /x/{a=**}/{b}/{c} ["1/2" "3" "4"]`},
		{"GET /x/1/tail", `GET /x/{a=**/*/tail} ["1/tail"]`},
		{"GET /x/1/2", `GET /x/{a=**}/{b}/{c} ["" "1" "2"]`},
		{"GET /x/1", "404"},
	} {
		method, path, _ := strings.Cut(tt.request, " ")
		if got := lookup(t, r, m, method, path); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.request, got, tt.want)
		}
	}
}

func TestRoot(t *testing.T) {
	m := &httprule.Match[string]{}
	root := build(t, 0, "GET /", "POST /**", "POST /**:x")
	for request, want := range map[string]string{
		"GET /": "GET /", "POST /": "POST /**", "PUT /": `405 ["GET" "HEAD" "POST"]`,
		"GET /a": `405 ["POST"]`, "POST /:x": "POST /**:x", "POST /:y": "POST /**",
	} {
		method, path, _ := strings.Cut(request, " ")
		if got := lookup(t, root, m, method, path); got != want {
			t.Errorf("%s: got %s, want %s", request, got, want)
		}
	}
	if got := lookup(t, build(t, 0), m, "GET", "/"); got != "404" {
		t.Errorf("a router without routes: got %s, want 404", got)
	}
}

func TestDecoding(t *testing.T) {
	const all = "%21%23%24%26%27%28%29%2A%2B%2C%2F%3A%3B%3D%3F%40%5B%5D" // RFC 6570, reserved
	for _, tt := range []struct{ path, single, reserved, slash string }{
		{"a", "a", "x/a", "x/a"},
		{"a+b", "a+b", "x/a+b", "x/a+b"},
		{"a;v=1", "a;v=1", "x/a;v=1", "x/a;v=1"},
		{"a%20b%7e", "a b~", "x/a b~", "x/a b~"},
		{"a%2Fb", "a/b", "x/a%2Fb", "x/a%2Fb"},
		{"a%2fb", "a/b", "x/a%2fb", "x/a%2fb"},
		{"%252F", "%2F", "x/%2F", "x/%2F"},
		{"50%25", "50%", "x/50%", "x/50%"},
		{"caf%C3%A9", "caf\u00e9", "x/caf\u00e9", "x/caf\u00e9"},
		{"%0A", "\n", "x/\n", "x/\n"},
		{all, "!#$&'()*+,/:;=?@[]", "x/" + all, "x/!#$&'()*+,%2F:;=?@[]"},
	} {
		for d, want := range map[httprule.Decoding]string{httprule.KeepReserved: tt.reserved, httprule.KeepSlash: tt.slash} {
			r := build(t, d, "GET /one/{v}", "GET /multi/{v=x/*}", "GET /deep/{v=**}")
			m := &httprule.Match[string]{}
			for path, want := range map[string]string{"/one/": tt.single, "/multi/x/": want, "/multi/%78/": want, "/deep/x/": want} {
				if err := r.Match("GET", path+tt.path, m); err != nil || m.Vars[0] != want {
					t.Errorf("decoding %d, %s%s: got %q, %v; want %q", d, path, tt.path, m.Vars, err, want)
				}
			}
			want = strings.TrimPrefix(want, "x/")
			if err := r.Match("GET", "/deep/"+tt.path, m); err != nil || m.Vars[0] != want {
				t.Errorf("decoding %d, ** over the one segment %s: got %q, %v; want %q", d, tt.path, m.Vars, err, want)
			}
		}
	}
}

// A literal inside a variable has one spelling in the value.
func TestLiteralInValue(t *testing.T) {
	r := build(t, httprule.KeepReserved, "GET /{v=a:b/*/c@d}", "GET /x/{v=**/e%3Af}")
	m := &httprule.Match[string]{}
	for path, want := range map[string]string{
		"/a%3Ab/1%3A2/c%40d": "a:b/1%3A2/c@d",
		"/a:b/1/c@d":         "a:b/1/c@d",
		"/x/%3a/e%3Af":       "%3a/e:f",
		"/x/e%3Af":           "e:f",
	} {
		if err := r.Match("GET", path, m); err != nil || m.Vars[0] != want {
			t.Errorf("%s: got %q, %v; want %q", path, m.Vars, err, want)
		}
	}
}

func TestBadPath(t *testing.T) {
	r := build(t, 0, "GET /**")
	m := &httprule.Match[string]{}
	for _, path := range []string{
		"", "a", "*", "http://h/a", // no leading slash
		"//", "//a", "/a//b", "/a//", // empty segments
		"/.", "/..", "/a/./b", "/a/../b", "/a/..", "/%2e", "/a/%2E%2e/b", "/a/.%2e", // dot segments
		"/a/..%2Fb", "/a/b%2f..", "/a/b%2F%2E%2e%2fc", // and behind an encoded slash
		"/%", "/%2", "/%zz", "/a%2x", "/%%30", "/a%/b", "/%u0041", // encoding
		"/%00", "/a/b%00c", "/a\x00", // NUL
		"/%ff", "/\xff", "/%c0%af", "/%C0%AE", "/%e0%80%af", "/%ed%a0%80", "/%c3/%a9", // UTF-8
		"/a b", "/a\nb", "/a\x7f", "/a?b", "/a#b", `/a\b`, // raw characters
		"/" + strings.Repeat("a", httprule.DefaultMaxPath),
	} {
		if got := lookup(t, r, m, "GET", path); got != "400" {
			t.Errorf("%.40q: got %s, want 400", path, got)
		}
	}
	for _, path := range []string{"/...", "/.a", "/a..", "/%2e%2e%2e", "/%25zz", "/" + strings.Repeat("a", httprule.DefaultMaxPath-1)} {
		if got := lookup(t, r, m, "GET", path); got != "GET /**" {
			t.Errorf("%.40q: got %s, want a match", path, got)
		}
	}
}

func TestMaxPath(t *testing.T) {
	b := &httprule.Builder[int]{MaxPath: 4}
	if err := b.Add("GET", mustParse(t, "/*"), "here", 7); err != nil {
		t.Fatal(err)
	}
	r, m := b.Build(), &httprule.Match[int]{}
	if err := r.Match("GET", "/abc", m); err != nil || m.Value != 7 {
		t.Errorf("4 bytes: got %d, %v; want 7", m.Value, err)
	}
	if err := r.Match("GET", "/abcd", m); err == nil {
		t.Error("5 bytes passed a limit of 4")
	}
}

func TestIdenticalBindings(t *testing.T) {
	for _, tt := range []struct {
		first, second string
		same          bool
	}{
		{"GET /v1/{a}", "GET /v1/{b}", true},
		{"GET /v1/{a}", "GET /v1/*", true},
		{"GET /v1/{name=products/*}", "GET /v1/products/{id}", true},
		{"GET /v1/{a=**}", "GET /v1/**", true},
		{"GET /v1/{a=**}/x", "GET /v1/{b=**/x}", true},
		{"GET /v1/{a}:x", "GET /v1/{b}:x", true},
		{"GET /v1/a", "GET /v1/%61", true},
		{"* /v1/{a}", "* /v1/{b}", true},
		{"GET /v1/{a}", "POST /v1/{b}", false},
		{"GET /v1/{a}", "* /v1/{b}", false},
		{"GET /v1/{a}", "HEAD /v1/{b}", false},
		{"GET /v1/{a}", "GET /v1/{b}:x", false},
		{"GET /v1/{a}:y", "GET /v1/{b}:x", false},
		{"GET /v1/{a}", "GET /v1/{b=**}", false},
		{"GET /v1/{a=**}/x", "GET /v1/**", false},
		{"GET /v1/a:x", "GET /v1/a%3Ax", false},
	} {
		b := &httprule.Builder[string]{}
		if err := add(t, b, tt.first, "shop.proto:10"); err != nil {
			t.Fatal(err)
		}
		err := add(t, b, tt.second, "gatehouse.yaml:7:3")
		if (err != nil) != tt.same {
			t.Errorf("%s, then %s: error %v, want one: %t", tt.first, tt.second, err, tt.same)
		}
		if err == nil {
			continue
		}
		for _, want := range []string{"shop.proto:10", "gatehouse.yaml:7:3", "same binding"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %q does not say %q", err, want)
			}
		}
	}
}

func add(tb testing.TB, b *httprule.Builder[string], route, origin string) error {
	tb.Helper()
	method, tmpl, _ := strings.Cut(route, " ")
	return b.Add(method, mustParse(tb, tmpl), origin, route)
}

func TestAddRefuses(t *testing.T) {
	b := &httprule.Builder[string]{}
	for _, method := range []string{"", "GE T", "GET/", "G\u00c9T"} {
		if err := b.Add(method, mustParse(t, "/a"), "here", ""); err == nil || !strings.Contains(err.Error(), "here") {
			t.Errorf("method %q: error %v, want one that names the origin", method, err)
		}
	}
	if err := b.Add("GET", nil, "here", ""); err == nil || !strings.Contains(err.Error(), "here") {
		t.Errorf("no template: error %v, want one that names the origin", err)
	}
}

// What is built is never written again.
func TestBuildLeavesTheBuilderEmpty(t *testing.T) {
	b := &httprule.Builder[string]{}
	if err := add(t, b, "GET /a", "1"); err != nil {
		t.Fatal(err)
	}
	first := b.Build()
	if err := add(t, b, "GET /b", "2"); err != nil {
		t.Fatal(err)
	}
	second, m := b.Build(), &httprule.Match[string]{}
	for _, got := range []string{lookup(t, first, m, "GET", "/b"), lookup(t, second, m, "GET", "/a")} {
		if got != "404" {
			t.Errorf("got %s from a route of the other router, want 404", got)
		}
	}
}

func TestMatchTellsTheRoute(t *testing.T) {
	r, m := build(t, 0, shop...), &httprule.Match[string]{}
	if err := r.Match("HEAD", "/v1/orders/7", m); err != nil {
		t.Fatal(err)
	}
	if m.Route.Method != "GET" || m.Route.Template.String() != "/v1/orders/{id}" || m.Route.Origin != "line 14" {
		t.Errorf("route = %s %s (%s)", m.Route.Method, m.Route.Template, m.Route.Origin)
	}
}

// A router serves any number of goroutines, each with a match of its own; the
// race detector watches.
func TestConcurrentUse(t *testing.T) {
	r := build(t, 0, shop...)
	var wg sync.WaitGroup
	for id := range 8 {
		wg.Go(func() {
			m := &httprule.Match[string]{}
			for i := range 200 {
				want := fmt.Sprintf("products/%d %d", id, i)
				err := r.Match("GET", strings.ReplaceAll("/v1/"+want, " ", "%20"), m)
				if err != nil || m.Vars[0] != want {
					t.Errorf("got %q, %v; want %q", m.Vars, err, want)
				}
				_ = r.Match("PUT", "/v1/products/special", m)
			}
		})
	}
	wg.Wait()
}

func TestAllocations(t *testing.T) {
	r, m := build(t, 0, shop...), &httprule.Match[string]{}
	for _, tt := range []struct {
		method, path string
		want         float64
	}{
		{"GET", "/v1/products", 0},
		{"GET", "/v1/products/42", 0},
		{"POST", "/v1/products/42:archive", 0},
		{"GET", "/v1/products/9/reviews/7", 0},
		{"GET", "/v1/files/a/b/c/d/e/versions", 0},
		{"GET", "/v1/caf\u00e9/1", 0},
		{"GET", "/v1/nothing", 0},
		{"PUT", "/v1/products", 0},
		{"GET", "/v1/../products", 0},
		{"GET", "/v1/%zz", 0},
		{"GET", "/v1/orders/a%20b", 1},
		{"GET", "/v1/products/a%20b", 2},
	} {
		got := testing.AllocsPerRun(100, func() { _ = r.Match(tt.method, tt.path, m) })
		if got != tt.want {
			t.Errorf("%s %s: %v allocations, want %v", tt.method, tt.path, got, tt.want)
		}
	}
}
