package httprule_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/httprule"
)

// wide returns n routes as an API of that size has them: services of ten
// collections, each with standard methods and a custom verb.
func wide(n int) []string {
	var routes []string
	for i := 0; len(routes) < n; i++ {
		c := fmt.Sprintf("/v1/service%d/things%d", i/10, i%10)
		routes = append(routes,
			"GET "+c, "POST "+c, "GET "+c+"/{id}", "PATCH "+c+"/{id}",
			"DELETE "+c+"/{id}", "POST "+c+"/{id}:archive", "GET "+c+"/{id}/parts/{part}",
			"GET "+c+"/{id}/files/{path=**}", "GET "+c+"/{id=**}/versions", "POST "+c+":search")
	}
	return routes[:n]
}

// requests returns one path for each of the routes.
func requests(routes []string) [][2]string {
	fill := strings.NewReplacer("{id}", "12345", "{part}", "7", "{path=**}", "a/b", "{id=**}", "x/y")
	out := make([][2]string, len(routes))
	for i, r := range routes {
		out[i][0], out[i][1], _ = strings.Cut(fill.Replace(r), " ")
	}
	return out
}

func TestStepsDoNotGrowWithRoutes(t *testing.T) {
	few, many := build(t, 0, wide(10)...), build(t, 0, wide(10_000)...)
	if few.MaxSteps() != many.MaxSteps() {
		t.Errorf("MaxSteps: %d among 10 routes, %d among 10,000", few.MaxSteps(), many.MaxSteps())
	}
	m := &httprule.Match[string]{}
	misses := [][2]string{{"GET", "/v1/service0/things0/1/2/3"}, {"PUT", "/v1/service0/things0/1:archive"}}
	for _, q := range append(requests(wide(10)), misses...) {
		a := lookup(t, few, m, q[0], q[1])
		steps := m.Steps()
		if b := lookup(t, many, m, q[0], q[1]); a != b || m.Steps() != steps {
			t.Errorf("%s %s: %s in %d steps among 10 routes, %s in %d among 10,000", q[0], q[1], a, steps, b, m.Steps())
		}
	}
}

// Every combination of a literal and "*" over ten segments: the worst there is
// for backtracking. A miss may look at each node of the tree, but at none
// twice, and the length of the path adds nothing.
func TestBacktrackingIsBounded(t *testing.T) {
	const depth = 10
	var routes []string
	for bits := range 1 << depth {
		var tmpl strings.Builder
		for i := range depth {
			tmpl.WriteString([]string{"/a", "/*"}[bits>>i&1])
		}
		routes = append(routes, "GET "+tmpl.String())
	}
	r, m := build(t, 0, routes...), &httprule.Match[string]{}
	const nodes = 2<<depth - 1
	for n := range 2 * depth {
		path := strings.Repeat("/a", n+1)
		lookup(t, r, m, "POST", path)
		if m.Steps() > nodes {
			t.Errorf("a path of %d segments took %d steps in a tree of %d nodes", n+1, m.Steps(), nodes)
		}
	}
	if most := r.MaxSteps(); most > 3*nodes {
		t.Errorf("MaxSteps = %d in a tree of %d nodes", most, nodes)
	}
}

// Tails behind "**" are compared from the end, so that a long path costs no
// more than a short one.
func TestLongPathsCostNoMoreSteps(t *testing.T) {
	routes := []string{"GET /a/**"}
	for i := 1; i <= 20; i++ {
		routes = append(routes, "GET /a/**"+strings.Repeat("/a", i)+"/b", "GET "+strings.Repeat("/*", i)+"/**/c")
	}
	r, m := build(t, 0, routes...), &httprule.Match[string]{}
	for _, end := range []string{"/a", "/b", "/c", "/a:b", "/"} {
		lookup(t, r, m, "POST", strings.Repeat("/a", 50)+end)
		short := m.Steps()
		lookup(t, r, m, "POST", strings.Repeat("/a", 4000)+end)
		if m.Steps() != short {
			t.Errorf("ending in %s: %d steps over 50 segments, %d over 4,000", end, short, m.Steps())
		}
	}
	if most := r.MaxSteps(); most > 250 {
		t.Errorf("MaxSteps = %d, want a bound near the depth of the tree", most)
	}
}

// Every combination of a literal and "*" behind "**": the same bound holds there,
// with and without a verb.
func TestBacktrackingBehindDeepWildcardIsBounded(t *testing.T) {
	const depth = 8
	var routes []string
	for bits := range 1 << depth {
		var tmpl strings.Builder
		for i := range depth {
			tmpl.WriteString([]string{"/a", "/*"}[bits>>i&1])
		}
		routes = append(routes, "GET /**"+tmpl.String(), "GET /**"+tmpl.String()+":v")
	}
	r, m := build(t, 0, routes...), &httprule.Match[string]{}
	const nodes = 2<<depth + 1
	for _, n := range []int{1, depth, 1000} {
		for _, end := range []string{"", ":v", ":w"} {
			lookup(t, r, m, "POST", strings.Repeat("/a", n)+end)
			if m.Steps() > 2*nodes {
				t.Errorf("a path of %d segments ending in %q took %d steps in a tree of %d nodes", n, end, m.Steps(), nodes)
			}
		}
	}
	if most := r.MaxSteps(); most > 2*nodes {
		t.Errorf("MaxSteps = %d in a tree of %d nodes", most, nodes)
	}
}

// shuffle orders requests at random and lays their paths one after another in
// memory, as a client's requests are fresh in the processor's caches. What a
// lookup waits for is then the router's own memory.
func shuffle(qs [][2]string) {
	rng := rand.New(rand.NewPCG(1, 2))
	rng.Shuffle(len(qs), func(i, j int) { qs[i], qs[j] = qs[j], qs[i] })
	var all strings.Builder
	for _, q := range qs {
		all.WriteString(q[1])
	}
	text := all.String()
	for i := range qs {
		n := len(qs[i][1])
		qs[i][1], text = text[:n], text[n:]
	}
}

// Lookups go to all routes in random order: the cost among many includes what
// the processor's caches cannot hold.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 100, 10_000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			routes := wide(n)
			r, qs := build(b, 0, routes...), requests(routes)
			shuffle(qs)
			m := &httprule.Match[string]{}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				q := &qs[i]
				if err := r.Match(q[0], q[1], m); err != nil {
					b.Fatal(q, err)
				}
				if i++; i == len(qs) {
					i = 0
				}
			}
		})
	}
}

// The same request among ever more routes: the cost of the tree alone.
func BenchmarkMatchOne(b *testing.B) {
	for _, n := range []int{10, 100, 10_000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			r, m := build(b, 0, wide(n)...), &httprule.Match[string]{}
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Match("GET", "/v1/service0/things0/12345", m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMatchEscaped(b *testing.B) {
	r, m := build(b, 0, wide(100)...), &httprule.Match[string]{}
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Match("GET", "/v1/service0/things0/caf%C3%A9%2F1", m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMiss(b *testing.B) {
	r, m := build(b, 0, wide(10_000)...), &httprule.Match[string]{}
	for name, path := range map[string]string{"404": "/v1/service0/nothing/1", "405": "/v1/service0/things0", "400": "/v1//things0"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r.Match("PUT", path, m) == nil {
					b.Fatal("matched")
				}
			}
		})
	}
}
