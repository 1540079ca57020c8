package httprule

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-dev/gatehouse/internal/nearest"
)

// Near is a route that a request does not have, and why it has not.
type Near[T any] struct {
	Route *Route[T]
	// Why are the differences, each a sentence for people.
	Why []string
	// Apart is how far the request is from it, in steps of about one letter.
	Apart int
}

// Nearest returns at most so many routes, the nearest first, of those that are
// near to a request that has none. It is for people and takes its time: it
// compares with every route. A malformed path is near to nothing.
func (r *Router[T]) Nearest(method, escapedPath string, most int) []Near[T] {
	var p path
	if p.read(escapedPath, r.maxPath) != nil {
		return nil
	}
	var found []Near[T]
	for i := range r.routes {
		route := &r.routes[i]
		c := comparison{path: &p, template: route.Template}
		why, apart := c.compare()
		if apart > farApart*(1+len(p.segs)) || len(why) > tooMany {
			continue
		}
		if !serves(route.Method, method) {
			why, apart = append(why, fmt.Sprintf("%s is served here, not %s", route.Method, method)), apart+1
		}
		found = append(found, Near[T]{Route: route, Why: why, Apart: apart})
	}
	slices.SortStableFunc(found, func(a, b Near[T]) int {
		return cmp.Or(cmp.Compare(a.Apart, b.Apart), strings.Compare(a.Route.Template.text, b.Route.Template.text),
			strings.Compare(a.Route.Method, b.Route.Method))
	})
	found = found[:min(most, len(found))]
	return slices.DeleteFunc(found, func(n Near[T]) bool { return n.Apart > found[0].Apart+alike })
}

// How far apart things are, in steps of about one letter.
const (
	another   = 8 // a segment that is another word
	lone      = 6 // one too many, or a word too few
	unbound   = 4 // a variable or a verb too few
	farApart  = 3 // for each segment of a path, on average: more is another path
	renamed   = 3 // another verb
	unrelated = 1 << 20
	tooMany   = 3 // differences to mend
	alike     = 4 // what is so much farther than the nearest is not told
)

// serves tells whether a binding of one HTTP method serves another.
func serves(binding, asked string) bool {
	return binding == asked || binding == AnyMethod || binding == "GET" && asked == "HEAD"
}

// comparison of a path with a template it does not match, or matches.
type comparison struct {
	path     *path
	template *Template
}

// compare lists the differences between path and template and tells how far
// apart they are.
func (c *comparison) compare() (why []string, apart int) {
	segs, verbWhy, apart := c.verb()
	if n := len(segs); n > 0 && segs[n-1] == "" && !c.empty() {
		segs = segs[:n-1]
		why, apart = append(why, `the path ends in "/", the binding does not`), apart+1
	}
	steps, cost := align(len(segs), len(c.template.segments), func(i, j int) int { return c.differ(segs[i], j) }, func(j int) int {
		return c.missing(j)
	}, func(j int) bool { return c.template.segments[j].kind == deep })
	related := false
	for _, s := range steps {
		why = append(why, c.tell(segs, s)...)
		related = related || s.i >= 0 && s.j >= 0 && c.template.segments[s.j].kind == literal && c.differ(segs[s.i], s.j) < another
	}
	if !related && len(segs) > 0 { // they have no word in common
		apart += unrelated
	}
	return append(why, verbWhy...), apart + cost
}

// empty tells whether the template may end in an empty segment.
func (c *comparison) empty() bool {
	n := len(c.template.segments)
	return n > 0 && c.template.segments[n-1].kind == deep
}

// verb takes the verb off the path where the template has one, or where the
// last literal would match without it.
func (c *comparison) verb() (segs []string, why []string, apart int) {
	for i := range c.path.segs {
		segs = append(segs, c.path.segment(i))
	}
	want, have := c.template.verb, ""
	last, n := len(segs)-1, len(c.template.segments)
	if at := c.path.colon; at.start > 0 {
		base := c.path.text[c.path.segs[last].textStart:at.textStart]
		if want != "" || n > 0 && c.template.segments[n-1].literal == base {
			have = c.path.text[at.textStart+1 : c.path.segs[last].textEnd]
			segs[last] = base
		}
	}
	switch {
	case want == have:
		return segs, nil, 0
	case have == "":
		return segs, []string{fmt.Sprintf("the binding ends in %q", ":"+want)}, unbound
	case want == "":
		return segs, []string{fmt.Sprintf("the path ends in %q, the binding does not", ":"+have)}, unbound
	default:
		return segs, []string{fmt.Sprintf("the path ends in %q, the binding in %q", ":"+have, ":"+want)}, nearest.Distance(have, want, renamed)
	}
}

// differ is how far a segment of the path is from one of the template.
func (c *comparison) differ(have string, j int) int {
	switch s := &c.template.segments[j]; {
	case s.kind == deep:
		return 1 // so that words are preferred
	case s.kind == star && have != "", s.kind == literal && s.literal == have:
		return 0
	case s.kind == literal && strings.EqualFold(s.literal, have):
		return 1
	case s.kind == literal:
		if d := nearest.Distance(have, s.literal, another); 2*d <= max(len(have), len(s.literal)) {
			return min(another, 1+d)
		}
		return another
	default:
		return another // an empty segment is no variable
	}
}

// missing is how far a path is that has nothing for segment j of the template.
func (c *comparison) missing(j int) int {
	switch c.template.segments[j].kind {
	case deep:
		return 0
	case star:
		return unbound
	default:
		return lone
	}
}

// tell says what one step of the alignment means.
func (c *comparison) tell(segs []string, s step) []string {
	switch {
	case s.j < 0:
		return []string{fmt.Sprintf("segment %d, %q, is one too many", s.i+1, segs[s.i])}
	case c.template.segments[s.j].kind == deep:
		return nil
	case s.i < 0:
		return []string{fmt.Sprintf("the binding's segment %d, %s, is missing", s.j+1, c.name(s.j))}
	case c.differ(segs[s.i], s.j) == 0:
		return nil
	case strings.EqualFold(segs[s.i], c.template.segments[s.j].literal):
		return []string{fmt.Sprintf("segment %d is %q, the binding has %q: case matters", s.i+1, segs[s.i], c.template.segments[s.j].literal)}
	default:
		return []string{fmt.Sprintf("segment %d is %q, the binding has %s", s.i+1, segs[s.i], c.name(s.j))}
	}
}

// name is a segment of the template for people: the word, or the variable.
func (c *comparison) name(j int) string {
	if s := c.template.segments[j]; s.kind == literal {
		return fmt.Sprintf("%q", s.literal)
	}
	for _, v := range c.template.vars {
		if v.first <= j && j < v.end {
			return "the variable " + strings.Join(v.FieldPath, ".")
		}
	}
	return "any word"
}

// step joins the element i of one list with j of another; -1 is none.
type step struct{ i, j int }

// align joins two lists at the least cost: of two elements as differ says, of
// one of the second list alone as missing says. One of the first list alone is
// dear, unless takes says that what stands before it takes any number.
func align(n, m int, differ func(i, j int) int, missing func(j int) int, takes func(j int) bool) ([]step, int) {
	cost := make([][]int, n+1)
	extra := func(j int) int {
		if j > 0 && takes(j-1) {
			return 1
		}
		return lone
	}
	for i := range cost {
		cost[i] = make([]int, m+1)
		for j := range cost[i] {
			switch {
			case i == 0 && j == 0:
			case i == 0:
				cost[i][j] = cost[i][j-1] + missing(j-1)
			case j == 0:
				cost[i][j] = cost[i-1][j] + extra(j)
			default:
				cost[i][j] = min(cost[i-1][j-1]+differ(i-1, j-1), cost[i][j-1]+missing(j-1), cost[i-1][j]+extra(j))
			}
		}
	}
	return trace(cost, missing, extra), cost[n][m]
}

// trace walks back the way that align found.
func trace(cost [][]int, missing func(j int) int, extra func(j int) int) []step {
	var steps []step
	for i, j := len(cost)-1, len(cost[0])-1; i > 0 || j > 0; {
		switch {
		case i > 0 && cost[i][j] == cost[i-1][j]+extra(j):
			if i--; j == 0 || extra(j) > 1 { // else "**" takes it
				steps = append(steps, step{i, -1})
			}
		case j > 0 && cost[i][j] == cost[i][j-1]+missing(j-1):
			j--
			steps = append(steps, step{-1, j})
		default:
			i, j = i-1, j-1
			steps = append(steps, step{i, j})
		}
	}
	slices.Reverse(steps)
	return steps
}

// Canonical returns a path in its one spelling (RFC 3986, section 6.2.2): what
// need not be percent-encoded is not, the rest with capital digits. What the
// router refuses is refused with the same error.
func Canonical(escapedPath string) (string, error) {
	var p path
	if err := p.read(escapedPath, DefaultMaxPath); err != nil {
		return "", err
	}
	var b strings.Builder
	for i := 0; i < len(escapedPath); i++ {
		c := escapedPath[i]
		if c != '%' {
			if isPchar(c) || c == '/' {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
			continue
		}
		c, _ = unhex(escapedPath[i:])
		if i += 2; isWord(c) || in("-._~", c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String(), nil
}
