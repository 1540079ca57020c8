// Package compare reports what changes for callers between two published documents, and
// which operations an operator's own document lacks or invents. It reads documents from
// JSON or YAML, so it also compares documents that another release wrote.
//
// document.go reads documents. operations.go and schema.go compare requests and answers,
// promises.go compares policies; covers.go compares a document with the bindings that are
// served.
package compare

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Severity is what a change means for callers.
type Severity int

const (
	// Risky changes break clients that need what was promised before, such as a limit.
	Risky Severity = iota + 1
	// Breaking changes break clients that did as the document said.
	Breaking
)

// Change is one that may break clients. Those that break none are not listed.
type Change struct {
	Severity Severity
	// Rule names the kind of change.
	Rule string
	// Operations are those that it concerns, as in "GET /v1/things things.v1.Things.List";
	// none: it concerns all.
	Operations []string
	// What changed: a parameter, a field, a promise.
	What     string
	From, To string
	// Why it breaks clients.
	Why string
}

// mostNamed is how many operations are named in the text of a change.
const mostNamed = 3

func (c Change) String() string {
	var place string
	if len(c.Operations) > 0 {
		place = strings.Join(c.Operations[:min(len(c.Operations), mostNamed)], ", ")
		if more := len(c.Operations) - mostNamed; more > 0 {
			place += fmt.Sprintf(" and %d more", more)
		}
		place += ": "
	}
	change := c.What
	if c.From != c.To {
		change += fmt.Sprintf(": %s -> %s", cmp.Or(c.From, "(none)"), cmp.Or(c.To, "(none)"))
	}
	return fmt.Sprintf("%s%s: %s (%s)", place, change, c.Why, c.Rule)
}

// Changes lists what may break callers of old if next took its place, breaking changes
// first.
func Changes(old, next *Published) []Change {
	c := &comparer{old: old, next: next, found: map[string]*Change{}, pairs: map[pair]*result{}}
	c.whole()
	for _, key := range slices.Sorted(maps.Keys(old.operations)) {
		c.operation(old.operations[key], next.operations[key])
	}
	all := make([]Change, 0, len(c.order))
	for _, key := range c.order {
		all = append(all, *c.found[key])
	}
	slices.SortStableFunc(all, func(a, b Change) int { return cmp.Compare(b.Severity, a.Severity) })
	return all
}

// comparer compares two documents. It is used once.
type comparer struct {
	old, next *Published
	found     map[string]*Change // those that concern several operations are one
	order     []string
	pairs     map[pair]*result
}

// pair are two schemas with names that stand for the same.
type pair struct {
	old, next string
	answer    bool
}

// result is what comparing finds: changes, and schemas with names that are compared too.
type result struct {
	changes []Change
	inner   []pair
}

func (r *result) add(severity Severity, rule, what, from, to, why string) {
	r.changes = append(r.changes, Change{Severity: severity, Rule: rule, What: what, From: from, To: to, Why: why})
}

// note enters what was found at an operation; "" is all of them.
func (c *comparer) note(operation string, r *result) {
	seen := map[pair]bool{}
	for queue := []*result{r}; len(queue) > 0; queue = queue[1:] {
		for _, change := range queue[0].changes {
			c.enter(operation, change)
		}
		for _, p := range queue[0].inner {
			if !seen[p] {
				seen[p] = true
				queue = append(queue, c.named(p))
			}
		}
	}
}

func (c *comparer) enter(operation string, change Change) {
	key := strings.Join([]string{change.Rule, change.What, change.From, change.To}, "\x00")
	known := c.found[key]
	if known == nil {
		known = &change
		c.keep(key, known)
	}
	if operation != "" && !slices.Contains(known.Operations[max(0, len(known.Operations)-1):], operation) {
		known.Operations = append(known.Operations, operation)
	}
}

func (c *comparer) keep(key string, change *Change) {
	c.found[key] = change
	c.order = append(c.order, key)
}

// named compares two schemas with names, once for each direction.
func (c *comparer) named(p pair) *result {
	r := c.pairs[p]
	if r == nil {
		r = new(result)
		c.pairs[p] = r
		d := differ{comparer: c, result: r, answer: p.answer}
		direction := "request "
		if p.answer {
			direction = "response "
		}
		d.schema(c.old.Components.Schemas[p.old], c.next.Components.Schemas[p.next], direction+p.old)
	}
	return r
}
