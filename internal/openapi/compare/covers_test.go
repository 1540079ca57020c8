package compare_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
	"github.com/gatehouse-dev/gatehouse/internal/openapi/compare"
)

// bindings are made of lines such as "GET /v1/things"; a second path is the one without
// the version.
func bindings(t *testing.T, lines ...string) []*contract.Binding {
	t.Helper()
	var list []*contract.Binding
	for _, line := range lines {
		words := strings.Fields(line)
		template, err := httprule.Parse(words[1])
		if err != nil {
			t.Fatal(err)
		}
		b := &contract.Binding{Verb: words[0], Path: words[1], Name: words[0] + " " + words[1], Template: template}
		if len(words) > 2 {
			b.OpenPath = words[2]
		}
		list = append(list, b)
	}
	return list
}

func TestCovers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		doc    string
		served []string
		want   compare.Difference
	}{
		{"swagger with a base path", `{"swagger": "2.0", "basePath": "/v1/", "paths": {"/things/{id}": {"get": {}, "parameters": []}}}`, []string{"GET /v1/things/{thing}"}, compare.Difference{}},
		{"another base path", `{"swagger": "2.0", "basePath": "/v2", "paths": {"/things": {"get": {}}}}`, []string{"GET /v1/things"}, compare.Difference{
			Lacks: []string{"GET /v1/things"}, Invents: []string{"GET /v2/things"},
		}},
		{"no paths", `{"openapi": "3.1.0"}`, []string{"GET /a", "POST /a"}, compare.Difference{Lacks: []string{"GET /a", "POST /a"}}},
		{"another method", "openapi: 3.0.3\npaths:\n  /a:\n    get: {}\n    delete:\n      responses: {200: {description: OK}}\n", []string{"GET /a", "PUT /a"}, compare.Difference{
			Lacks: []string{"PUT /a"}, Invents: []string{"DELETE /a"},
		}},
		{"a variable that spans words", "openapi: 3.0.3\npaths:\n  /v1/{name}: {get: {}}\n  /v1/shelves/{shelf}: {get: {}}\n", []string{"GET /v1/{name=things/*}", "GET /v1/{name=shelves/*}"}, compare.Difference{}},
		{"a variable as in the contract", `{"openapi": "3.0.3", "paths": {"/v1/{name=things/*}:move": {"post": {}}}}`, []string{"POST /v1/{name=things/*}:move"}, compare.Difference{}},
		{"wildcards", `{"openapi": "3.0.3", "paths": {"/a/{b}/{c}": {"get": {}}}}`, []string{"GET /a/*/{rest=**}"}, compare.Difference{}},
		{"servers", "openapi: 3.1.0\nservers:\n  - {url: 'https://{host}/{base}/', variables: {host: {default: a.example}, base: {default: api}}}\n  - {url: /other}\npaths:\n  /a: {get: {}}\n", []string{"GET /api/a"}, compare.Difference{}},
		{"a server of a path", "openapi: 3.1.0\nservers: [{url: /x}]\npaths:\n  /a: {servers: [{url: 'https://b.example/y'}], get: {}, put: {servers: [{url: ./}]}}\n", []string{"GET /y/a", "PUT /a"}, compare.Difference{}},
		{"any method", `{"openapi": "3.1.0", "paths": {"/a": {"get": {}, "patch": {}}}}`, []string{"* /a"}, compare.Difference{}},
		{"the path without a version", `{"openapi": "3.1.0", "paths": {"/v1/a": {"get": {}}}}`, []string{"GET /v1/a /a", "GET /a /a"}, compare.Difference{}},
		{"both paths", `{"openapi": "3.1.0", "paths": {"/v1/a": {"get": {}}, "/a": {"get": {}}}}`, []string{"GET /v1/a /a", "GET /a /a"}, compare.Difference{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			doc, err := compare.Read([]byte(test.doc))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, compare.Covers(doc, bindings(t, test.served...))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestReadNamesThePlace: what is no document is an error that tells where.
func TestReadNamesThePlace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", "it has no member such as"},
		{"another document", `{"title": "x"}`, "it has no member such as"},
		{"no JSON", "{\n  \"openapi\": \"3.1.0\",\n  \"paths\": }", "line 3, column 12: invalid character '}'"},
		{"half of it", `{"openapi": "3.1.0", `, "unexpected EOF"},
		{"two", `{"openapi": "3.1.0"} {}`, "something follows the document"},
		{"no YAML", "openapi: 3.1.0\npaths:\n  /a: {get\n", "line 2: did not find expected ',' or '}'"},
		{"list", "- a\n- b\n", "the document: this cannot be an array"},
		{"version", "openapi: 4.0.0\n", "version 4.0.0 of OpenAPI is not known: want 2.0, 3.0, 3.1"},
		{"paths", `{"openapi": "3.1.0", "paths": ["/a"]}`, "paths: this cannot be an array"},
		{"path", `{"openapi": "3.1.0", "paths": {"/a": "b"}}`, "paths./a: this cannot be a string"},
		{"operation", "swagger: '2.0'\npaths: {/a: {get: []}}\n", "paths./a.get: want an object"},
		{"alias", "openapi: 3.1.0\nx-a: &a [1]\nx-b: *a\n", "line 3: an alias is not supported"},
		{"name in depth", "openapi: 3.1.0\nx-a: {b: [1, {~: 1}]}\n", "x-a.b[1]: <nil> is no name"},
		{"name", "openapi: 3.1.0\npaths: {[a]: {}}\n", "invalid map key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if _, err := compare.Read([]byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// TestReadPublishedRefuses: only what Gatehouse writes can be compared.
func TestReadPublishedRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{`{"swagger": "2.0"}`, "it is of version 2.0, and Gatehouse writes documents of 3.1"},
		{`{"openapi": "3.1.1", "paths": {"/a": {"get": {"parameters": [{"name": 1}]}}}}`, "paths./a.get.parameters.name: this cannot be a number"},
	} {
		if _, err := compare.ReadPublished([]byte(test.text)); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

// TestIsDocument tells documents and configurations apart.
func TestIsDocument(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"openapi": "3.1.0"}`: true, `{"swagger": "2.0"}`: true, "openapi: 3.1.0\n": true, "swagger: '2.0'\n": true,
		`{"openapi": {"path": "/a"}}`: false, "openapi: {path: /a}\n": false, "upstreams: []\n": false, "": false, "{": false, "- a": false,
	} {
		if got := compare.IsDocument([]byte(text)); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
}
