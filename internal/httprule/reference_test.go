package httprule_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gatehouse-dev/gatehouse/internal/httprule"
)

// The reference matcher tries every template on the whole path and takes the
// most specific of those that match. It shares no code with the router and
// decodes with net/url.

// refTemplate is a template as the reference sees it.
type refTemplate struct {
	segs []string // decoded literals, or "*" and "**"
	wild []bool   // segs[i] is a wildcard
	vars [][2]int // segments of each variable
	verb string
}

var refToken = regexp.MustCompile(`\{[a-z0-9._]+=?|\}|[^/{}]+`)

func refParse(s string) refTemplate {
	t := refTemplate{}
	if i := strings.LastIndex(s, ":"); i > strings.LastIndexAny(s, "/}") {
		s, t.verb = s[:i], s[i+1:]
	}
	for _, tok := range refToken.FindAllString(s, -1) {
		switch {
		case strings.HasSuffix(tok, "="):
			t.vars = append(t.vars, [2]int{len(t.segs)})
		case tok[0] == '{':
			t.vars = append(t.vars, [2]int{len(t.segs)})
			t.segs, t.wild = append(t.segs, "*"), append(t.wild, true)
		case tok == "}":
			t.vars[len(t.vars)-1][1] = len(t.segs)
		default:
			lit, _ := url.PathUnescape(tok)
			t.segs, t.wild = append(t.segs, lit), append(t.wild, tok[0] == '*')
		}
	}
	return t
}

// refMatch is one way in which a path matches a template.
type refMatch struct {
	rank []int // the lower, the more specific
	vars []string
}

// match matches the raw segments of a path.
func (t refTemplate) match(raw []string) (refMatch, bool) {
	if t.verb != "" {
		var ok bool
		if raw, ok = cutVerb(raw, t.verb); !ok {
			return refMatch{}, false
		}
	}
	deep := slices.Index(t.segs, "**")
	size := 1
	if deep >= 0 {
		size = len(raw) - len(t.segs) + 1
	}
	if size < 0 || deep < 0 && len(raw) != len(t.segs) {
		return refMatch{}, false
	}
	starts := make([]int, len(t.segs)+1) // where each segment of t starts in raw
	for i := range t.segs {
		starts[i+1] = starts[i] + 1
		if i == deep {
			starts[i+1] = starts[i] + size
		}
		if i != deep && !t.fits(i, raw[starts[i]]) {
			return refMatch{}, false
		}
	}
	return refMatch{t.rank(deep), t.values(starts, raw, deep)}, true
}

func (t refTemplate) fits(i int, raw string) bool {
	if t.wild[i] {
		return raw != ""
	}
	s, _ := url.PathUnescape(raw)
	return s == t.segs[i]
}

func cutVerb(raw []string, verb string) ([]string, bool) {
	if len(raw) == 0 {
		return nil, false
	}
	last := raw[len(raw)-1]
	i := strings.LastIndex(last, ":")
	if i < 0 {
		return nil, false
	}
	got, _ := url.PathUnescape(last[i+1:])
	return append(slices.Clone(raw[:len(raw)-1]), last[:i]), got == verb
}

// rank compares templates: a verb first; then segment by segment, literals, then
// "*", then "**"; behind "**" in the same way from the end, the longest tail first.
func (t refTemplate) rank(deep int) []int {
	rank := []int{1}
	if t.verb != "" {
		rank[0] = 0
	}
	kind := func(i int) int {
		if t.wild[i] {
			return 1
		}
		return 0
	}
	for i := range t.segs {
		if i != deep {
			rank = append(rank, kind(i))
			continue
		}
		rank = append(rank, 2)
		for j := len(t.segs) - 1; j > deep; j-- {
			rank = append(rank, kind(j))
		}
		return append(rank, 2)
	}
	return rank
}

var refSlash = regexp.MustCompile(`(?i)%(2F)`)

func (t refTemplate) values(starts []int, raw []string, deep int) []string {
	var values []string
	for _, v := range t.vars {
		multi := v[1]-v[0] > 1 || deep >= v[0] && deep < v[1]
		var parts []string
		for i := v[0]; i < v[1]; i++ {
			for _, r := range raw[starts[i]:starts[i+1]] {
				if multi && t.wild[i] {
					r = refSlash.ReplaceAllString(r, "%25$1")
				}
				s, _ := url.PathUnescape(r)
				parts = append(parts, s)
			}
		}
		values = append(values, strings.Join(parts, "/"))
	}
	return values
}

var refBadChar = regexp.MustCompile(`[\x00-\x20\x7f?#\\]`)

func refBadPath(path string) bool {
	text, err := url.PathUnescape(path)
	if err != nil || !strings.HasPrefix(path, "/") || strings.Contains(path, "//") ||
		refBadChar.MatchString(path) || !utf8.ValidString(text) || strings.Contains(text, "\x00") {
		return true
	}
	parts := strings.Split(text, "/")
	return slices.Contains(parts, ".") || slices.Contains(parts, "..")
}

// refLookup answers as lookup does.
func refLookup(routes []string, method, path string) string {
	if refBadPath(path) {
		return "400"
	}
	var raw []string
	if path != "/" {
		raw = strings.Split(path[1:], "/")
	}
	var best *refMatch
	var answer string
	var allow []string
	for _, r := range routes {
		have, tmpl, _ := strings.Cut(r, " ")
		m, ok := refParse(tmpl).match(raw)
		if !ok {
			continue
		}
		allow = append(allow, have)
		if have == "GET" {
			allow = append(allow, "HEAD")
		}
		i := slices.Index([]string{method, map[string]string{"HEAD": "GET"}[method], "*"}, have)
		if i < 0 {
			continue
		}
		m.rank = append(m.rank, -1, i) // -1: a shape that goes on is less specific
		if best == nil || slices.Compare(m.rank, best.rank) < 0 {
			best, answer = &m, r+format(m.vars)
		}
	}
	switch {
	case best != nil:
		return answer
	case allow == nil:
		return "404"
	}
	slices.Sort(allow)
	return "405" + format(slices.Compact(allow))
}

// chooser turns fuzzed bytes into choices; when they run out, the first option.
type chooser struct{ data []byte }

func (c *chooser) pick(options ...string) string {
	if len(c.data) == 0 {
		return options[0]
	}
	b := c.data[0]
	c.data = c.data[1:]
	return options[int(b)%len(options)]
}

func (c *chooser) template() string {
	var b strings.Builder
	for i := 0; i == 0 || c.pick("", "/") != "" && i < 5; i++ {
		v := fmt.Sprintf("{v%d", i)
		b.WriteString("/" + c.pick("a", "b", "*", "**", v+"}", v+"=a}", v+"=a/*}", v+"=a/**}",
			v+"=**}", v+"=**/b}", v+"=*/b/*}", v+"=**/*}", v+"=a/**/*/b}", "%61", "a%3Ax", "caf%C3%A9", "b%3Ay"))
	}
	return b.String() + c.pick("", "", ":x", ":y")
}

func (c *chooser) path() string {
	options := []string{"a", "b", "a", "b", "a:x", "b:y", "a:z:x", ":x", "%61", "a%3Ax", "a%2Fb", "%62:%78",
		"caf%c3%a9", "caf\u00e9", "%25", "x%3a%2F", "a:"}
	if c.pick("", "", "", "", "", "bad") != "" {
		options = append(options, "..", "%2e", "a%2f..", "%zz", "%00", "%ff", "a b", "")
	}
	var b strings.Builder
	for i := 0; i == 0 || c.pick("", "/", "/") != "" && i < 8; i++ {
		b.WriteString("/" + c.pick(options...))
	}
	return b.String() + c.pick("", "", "", "", "/")
}

// compare builds a router from data, sends it requests from data, and compares
// with the reference.
func compare(t *testing.T, data []byte) {
	t.Helper()
	c := &chooser{data}
	b := &httprule.Builder[string]{}
	var routes []string
	for range 1 + len(c.pick("", "1", "22", "333", "4444", "55555", "666666", "7777777", "88888888888888888888")) {
		method, text := c.pick("GET", "POST", "HEAD", "*"), c.template()
		tmpl, err := httprule.Parse(text)
		if err != nil {
			continue // such as a second "**"
		}
		if b.Add(method, tmpl, "", method+" "+text) == nil {
			routes = append(routes, method+" "+text)
		}
	}
	r, m := b.Build(), &httprule.Match[string]{}
	backwards := slices.Clone(routes)
	slices.Reverse(backwards)
	other := build(t, 0, backwards...)
	for range 8 {
		method, path := c.pick("GET", "POST", "HEAD", "PUT"), c.path()
		want := refLookup(routes, method, path)
		for order, r := range []*httprule.Router[string]{r, other} {
			if got := lookup(t, r, m, method, path); got != want {
				t.Fatalf("%s %q among %q, order %d\n got %s\nwant %s", method, path, routes, order, got, want)
			}
		}
	}
}

func FuzzRouter(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x03\x00\x03\x00\x00\x01\x08\x00\x02\x01\x02\x01\x00\x00\x04"))
	f.Add([]byte("gatehouse: every template, every path, by specificity"))
	f.Fuzz(compare)
}

// The same comparison on many inputs, so that `go test` makes it too.
func TestAgainstReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 5))
	data := make([]byte, 300)
	for range 1000 {
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		compare(t, data)
	}
}

// FuzzPath sends any path at all to a router of every kind of template.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/", "/v1/products/42:archive", "/v1/files/a/%2F/old/versions", "/v1/%zz", "//", "/\xff", "/v1/caf%c3%a9/:x:"} {
		f.Add("GET", s)
	}
	r := build(f, 0, shop...)
	f.Fuzz(func(t *testing.T, method, path string) {
		if len(path) > httprule.DefaultMaxPath {
			return
		}
		got, want := lookup(t, r, &httprule.Match[string]{}, method, path), refLookup(shop, method, path)
		if got != want {
			t.Fatalf("%s %q\n got %s\nwant %s", method, path, got, want)
		}
	})
}

// The order in which routes are added changes nothing.
func TestOrderDoesNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 11))
	c := &chooser{}
	m := &httprule.Match[string]{}
	routes := slices.Clone(shop)
	for range 50 {
		rng.Shuffle(len(routes), func(i, j int) { routes[i], routes[j] = routes[j], routes[i] })
		r := build(t, 0, routes...)
		for range 50 {
			for range 40 {
				c.data = append(c.data, byte(rng.Uint32()))
			}
			path := "/v1/" + c.pick("products", "files", "orders", "anything", "x") + c.path()
			if got, want := lookup(t, r, m, "GET", path), refLookup(shop, "GET", path); got != want {
				t.Fatalf("GET %q\n got %s\nwant %s", path, got, want)
			}
		}
	}
}
