package httprule_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/httprule"
)

// TestNearest tells for a path without a route what it nearly is.
func TestNearest(t *testing.T) {
	t.Parallel()
	r := build(t, httprule.KeepReserved,
		"GET /v1/products/{id}",
		"GET /v1/{name=products/*/reviews/*}",
		"POST /v1/products:search",
		"PUT /v1/products/{id}/price",
		"GET /v1/files/{path=**}",
		"GET /v1/files/{path=**}/raw",
		"* /",
	)
	tests := []struct{ method, path, want string }{
		{"GET", "/v1/product/42", `GET /v1/products/{id}: segment 2 is "product", the binding has "products"`},
		{"GET", "/v1/Products/42", `GET /v1/products/{id}: segment 2 is "Products", the binding has "products": case matters`},
		{"GET", "/v1/products/42/", `GET /v1/products/{id}: the path ends in "/", the binding does not`},
		{"POST", "/v1/products/42", `GET /v1/products/{id}: GET is served here, not POST`},
		{"GET", "/v1/products", `GET /v1/products/{id}: the binding's segment 3, the variable id, is missing`},
		{"GET", "/products/42", `GET /v1/products/{id}: the binding's segment 1, "v1", is missing`},
		{"GET", "/v1/products/42/reviews/7/8", `GET /v1/{name=products/*/reviews/*}: segment 6, "8", is one too many`},
		{"POST", "/v1/products:serch", `POST /v1/products:search: the path ends in ":serch", the binding in ":search"`},
		{"POST", "/v1/products", `POST /v1/products:search: the binding ends in ":search"`},
		{"PUT", "/v1/products/42/price:set", `PUT /v1/products/{id}/price: the path ends in ":set", the binding does not`},
		{"GET", "/v1/file/a/b/c", `GET /v1/files/{path=**}: segment 2 is "file", the binding has "files"`},
		{"GET", "/v1/file/a/b/raw", `GET /v1/files/{path=**}/raw: segment 2 is "file", the binding has "files"`},
		{"HEAD", "/v1/product/42", `GET /v1/products/{id}: segment 2 is "product", the binding has "products"`},
		{"GET", "/nothing/like/it/at/all", ""},
		{"GET", "//v1/products", ""},
		{"GET", "/v1/%zz", ""},
	}
	for _, test := range tests {
		got := ""
		for _, n := range r.Nearest(test.method, test.path, 3) {
			got = n.Route.Value + ": " + strings.Join(n.Why, "; ")
			break
		}
		if got != test.want {
			t.Errorf("%s %s: nearest is\n%s\nwant\n%s", test.method, test.path, got, test.want)
		}
	}
}

// TestNearestHasFew: what is much farther than the nearest is not told, nor more
// than asked for.
func TestNearestHasFew(t *testing.T) {
	t.Parallel()
	r := build(t, httprule.KeepReserved, "GET /v1/a/{x}", "PUT /v1/a/{x}", "POST /v1/a/{x}", "GET /v1/a/{x}/b/{y}")
	if got := r.Nearest("DELETE", "/v1/a/1", 10); len(got) != 3 {
		t.Errorf("got %d, want the three methods of the path", len(got))
	}
	if got := r.Nearest("DELETE", "/v1/a/1", 2); len(got) != 2 {
		t.Errorf("got %d, want 2", len(got))
	}
}

// TestCanonical: a path that means the same is written the same, and only such.
func TestCanonical(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/":                       "/",
		"/v1/%70roducts/%42oots":  "/v1/products/Boots",
		"/v1/a%2fb":               "/v1/a%2Fb",
		"/v1/a:b/%3a":             "/v1/a:b/%3A",
		"/v1/\u00e9":              "/v1/%C3%A9",
		"/v1/%c3%a9":              "/v1/%C3%A9",
		"/v1/%7e%2d%2E1%5f":       "/v1/~-.1_",
		"/v1/a|b":                 "/v1/a%7Cb",
		"/v1/products/boots;x=y/": "/v1/products/boots;x=y/",
	} {
		got, err := httprule.Canonical(path)
		if err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", path, got, err, want)
		}
		if again, err := httprule.Canonical(got); err != nil || again != got {
			t.Errorf("%s: once more is %s, %v", got, again, err)
		}
	}
	for _, path := range []string{"", "a", "//", "/..", "/%zz", "/%00", "/a b"} {
		if got, err := httprule.Canonical(path); err == nil {
			t.Errorf("%q: got %s, want an error", path, got)
		}
	}
}

// TestPath: templates with the same path are the same to a router.
func TestPath(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		"/":                                   "/",
		"/v1/{name=products/*/reviews/*}":     "/v1/products/*/reviews/*",
		"/v1/products/{id}/reviews/{review}":  "/v1/products/*/reviews/*",
		"/v1/files/{path=**}/%72aw:download":  "/v1/files/**/raw:download",
		"/v1/{shelf=shelves/*}/books:getMany": "/v1/shelves/*/books:getMany",
	} {
		if got := mustParse(t, template).Path(); got != want {
			t.Errorf("%s: got %s, want %s", template, got, want)
		}
	}
}
