package httprule_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/httprule"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want string // canonical, "" if as in
		vars string // name, "+" if multi
		verb string
	}{
		{in: "/"},
		{in: "/v1/products"},
		{in: "/v1/*/x"},
		{in: "/**"},
		{in: "/v1/products/{id}", vars: "id"},
		{in: "/v1/products/{id=*}", want: "/v1/products/{id}", vars: "id"},
		{in: "/v1/{name=products/*}", vars: "name+"},
		{in: "/v1/{name=products}", vars: "name"},
		{in: "/v1/{name=**}", vars: "name+"},
		{in: "/v1/{name=shelves/**}", vars: "name+"},
		{in: "/v1/{book.name=shelves/*/books/*}", vars: "book.name+"},
		{in: "/v1/{a}/b/{c.d_1}", vars: "a c.d_1"},
		{in: "/v1/{name=orders/*}:cancel", vars: "name+", verb: "cancel"},
		{in: "/v1/orders:batch-get", verb: "batch-get"},
		{in: "/v1/**:stat", verb: "stat"},
		{in: "/v1/*:x", verb: "x"},
		{in: "/v1/**/versions"},
		{in: "/v1/{name=**}/versions/latest:pin", vars: "name+", verb: "pin"},
		{in: "/v1/{name=**/versions}", vars: "name+"},
		{in: "/v1/a:b/c"},
		{in: "/v1/a:b:c", verb: "c"},
		{in: "/v1/a%3ab", want: "/v1/a%3Ab"},
		{in: "/v1/a%3Ab/c", want: "/v1/a:b/c"},
		{in: "/v1/{x=a%3Ab}", vars: "x"},
		{in: "/v1/{x=a:b/c}", vars: "x+"},
		{in: "/v1/{x}:a%3Ab", vars: "x", verb: "a:b"},
		{in: "/v1/{parent=projects/*/databases/*/documents/*/**}/{collection_id}", vars: "parent+ collection_id"},
		{in: "/v1/**/*", vars: ""},
		{in: "/v1/{a=**/*/b}/*:c", vars: "a+", verb: "c"},
		{in: "/v1/%7euser", want: "/v1/~user"},
		{in: "/v1/caf\u00e9", want: "/v1/caf%C3%A9"},
		{in: "/v1/a%2Ab/%7B%25%7D"},
		{in: "/v1/$a=b@c,d;e!f'(g)&+h"},
		{in: "/v1/a:%3a", want: "/v1/a:%3A", verb: ":"},
	} {
		got, err := httprule.Parse(tt.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.in, err)
			continue
		}
		want := tt.want
		if want == "" {
			want = tt.in
		}
		if got.String() != want || got.Verb() != tt.verb || names(got) != tt.vars {
			t.Errorf("Parse(%q) = %s, variables %q, verb %q; want %s, %q, %q",
				tt.in, got, names(got), got.Verb(), want, tt.vars, tt.verb)
		}
	}
}

func names(t *httprule.Template) string {
	var names []string
	for _, v := range t.Variables() {
		name := strings.Join(v.FieldPath, ".")
		if v.Multi {
			name += "+"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct {
		in     string
		offset int
		want   string
	}{
		{"", 0, `start with "/"`},
		{"v1/a", 0, `start with "/"`},
		{"/v1/", 4, "empty segment"},
		{"/v1//a", 4, "empty segment"},
		{"/:x", 1, "empty segment"},
		{"/v1:", 4, "empty segment"},
		{"/v1/:x", 4, "empty segment"},
		{"/v1/a*", 5, "whole segment"},
		{"/v1/***", 4, "whole segment"},
		{"/v1/a:b*", 7, "whole segment"},
		{"/v1/{", 5, "field name"},
		{"/v1/{}", 5, "field name"},
		{"/v1/{1a}", 5, "field name"},
		{"/v1/{a..b}", 7, "field name"},
		{"/v1/{a.}", 7, "field name"},
		{"/v1/{a-b}", 5, "field name"},
		{"/v1/{a", 6, "not closed"},
		{"/v1/{a=", 7, "empty segment"},
		{"/v1/{a=}", 7, "empty segment"},
		{"/v1/{a=b/}", 9, "empty segment"},
		{"/v1/{a=b", 8, "not closed"},
		{"/v1/{a={b}}", 7, "inside a variable"},
		{"/v1/{a=b/{c}}", 9, "inside a variable"},
		{"/v1/{a}b", 7, "unexpected"},
		{"/v1/a{b}", 5, "unexpected"},
		{"/v1/a}", 5, "unexpected"},
		{"/v1/{a}/{a}", 9, "bound twice"},
		{"/v1/{a.b}/{a.b=**}", 11, "bound twice"},
		{"/v1/**/**", 7, "only once"},
		{"/v1/{a=**}/*/{b=**}", 16, "only once"},
		{"/v1/{x=var:verb}", 10, `write it behind the "}"`},
		{"/v1/{x=a/*:verb}", 10, `write it behind the "}"`},
		{"/v1/{x=**:verb}/a:c", 9, `write it behind the "}"`},
		{"/v1/{x:verb}", 6, `write it behind the "}"`},
		{"/v1/{id}:a:b", 8, `one verb, here ":b"`},
		{"/v1/*:a:b", 5, `one verb, here ":b"`},
		{"/v1/{id}:a/b", 8, "nothing may follow"},
		{"/v1/**:a/b", 6, "nothing may follow"},
		{"/v1/%zz", 4, "two hexadecimal digits"},
		{"/v1/a%2", 5, "two hexadecimal digits"},
		{"/v1/a%2Fb", 4, "encoded slash"},
		{"/v1/a%00", 4, "encoded slash or NUL"},
		{"/v1/%ff", 4, "UTF-8"},
		{"/v1/.", 4, "refused in paths"},
		{"/v1/%2e%2E/b", 4, "refused in paths"},
		{"/v1/a b", 5, "percent-encode"},
		{"/v1/a?b", 5, "percent-encode"},
		{"/v1/a#b", 5, "percent-encode"},
	} {
		_, err := httprule.Parse(tt.in)
		if err == nil {
			t.Errorf("Parse(%q) succeeded, want an error with %q", tt.in, tt.want)
			continue
		}
		at := fmt.Sprintf("%q, offset %d:", tt.in, tt.offset)
		if !strings.Contains(err.Error(), at) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q): %v; want offset %d and %q", tt.in, err, tt.offset, tt.want)
		}
	}
}

func TestVariablesAreTheCallers(t *testing.T) {
	tmpl := mustParse(t, "/v1/{a.b}")
	tmpl.Variables()[0].FieldPath[0] = "changed"
	if got := names(tmpl); got != "a.b" {
		t.Errorf("variables = %s after the caller changed its copy, want a.b", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"/", "/v1/{name=products/*}:act", "/**/a%3Ab", "/{a.b}/{c=**}/d", "/a:b:c",
		"/caf\u00e9", "/{x=a:b}", "/{x=a:b/c%3Ad}/*", "/{a=**/b/*}/{c}:d", "/v1/{a={b}}", "/%zz", "//", "/a:%3a",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, err := httprule.Parse(s)
		if err != nil {
			return
		}
		again, err := httprule.Parse(first.String())
		if err != nil {
			t.Fatalf("Parse(%q) gave %s, which does not parse: %v", s, first, err)
		}
		if !reflect.DeepEqual(first, again) {
			t.Fatalf("Parse(%q) gave %s, which parses to something else: %s", s, first, again)
		}
	})
}

func mustParse(tb testing.TB, s string) *httprule.Template {
	tb.Helper()
	tmpl, err := httprule.Parse(s)
	if err != nil {
		tb.Fatal(err)
	}
	return tmpl
}
