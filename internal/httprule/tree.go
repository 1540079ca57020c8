package httprule

import (
	"slices"
	"strings"
)

// node is a place in the tree: what the segments so far have in common.
//
// Below deep the tree is turned round. The literals that follow "**" hang
// there last one first, so that they are compared from the end of the path and
// "**" is whatever remains: its length is never guessed.
type node struct {
	literals map[string]*node
	star     *node
	deep     *node
	plain    *leaf            // templates that end here without a verb
	verbs    map[string]*leaf // those with one
}

// leaf is one path shape with its verb.
type leaf struct {
	methods []target
	any     int    // route of AnyMethod, or -1
	refusal *Error // for a method that is not there
}

type target struct {
	method string
	route  int
}

// place returns the node where t ends, made if need be.
func (n *node) place(t *Template) *node {
	segments, tail := t.segments, []segment(nil)
	if t.deep >= 0 {
		segments, tail = t.segments[:t.deep], t.segments[t.deep+1:]
	}
	for _, s := range segments {
		if s.kind == star {
			n = child(&n.star)
		} else {
			n = n.under(s.literal)
		}
	}
	if t.deep >= 0 {
		n = child(&n.deep)
	}
	for _, s := range slices.Backward(tail) {
		n = n.under(s.literal)
	}
	return n
}

func child(at **node) *node {
	if *at == nil {
		*at = &node{}
	}
	return *at
}

func (n *node) under(lit string) *node {
	if n.literals == nil {
		n.literals = map[string]*node{}
	}
	c := n.literals[lit]
	if c == nil {
		c = &node{}
		n.literals[lit] = c
	}
	return c
}

// leaf returns the leaf of a verb, made if need be.
func (n *node) leaf(verb string) *leaf {
	l := n.end(verb)
	if l != nil {
		return l
	}
	l = &leaf{any: -1}
	if verb == "" {
		n.plain = l
		return l
	}
	if n.verbs == nil {
		n.verbs = map[string]*leaf{}
	}
	n.verbs[verb] = l
	return l
}

// end returns the leaf of a verb ("" for none), or nil.
func (n *node) end(verb string) *leaf {
	if verb == "" {
		return n.plain
	}
	return n.verbs[verb]
}

// route returns the route added under exactly this method, or -1.
func (l *leaf) route(method string) int {
	if method == AnyMethod {
		return l.any
	}
	for _, t := range l.methods {
		if t.method == method {
			return t.route
		}
	}
	return -1
}

func (l *leaf) put(method string, route int) {
	if method == AnyMethod {
		l.any = route
		return
	}
	l.methods = append(l.methods, target{method, route})
}

// find returns the route that serves a request's method, or -1. HEAD goes with
// GET rather than with AnyMethod: it must answer as GET does.
func (l *leaf) find(method string) int {
	i := l.route(method)
	if i < 0 && method == "HEAD" {
		i = l.route("GET")
	}
	if i < 0 {
		i = l.any
	}
	return i
}

// seal makes ready what Match needs but Add could not know.
func (n *node) seal() {
	if n == nil {
		return
	}
	for _, c := range n.literals {
		c.seal()
	}
	n.star.seal()
	n.deep.seal()
	if n.plain != nil {
		n.plain.seal()
	}
	for _, l := range n.verbs {
		l.seal()
	}
}

func (l *leaf) seal() {
	allow := make([]string, 0, len(l.methods)+1)
	for _, t := range l.methods {
		allow = append(allow, t.method)
		if t.method == "GET" {
			allow = append(allow, "HEAD")
		}
	}
	l.refusal = notAllowed(allow)
}

func notAllowed(allow []string) *Error {
	slices.Sort(allow)
	allow = slices.Compact(allow)
	return &Error{
		Kind:   MethodNotAllowed,
		Allow:  allow,
		Reason: "the path does not have this method, only " + strings.Join(allow, ", "),
	}
}

// lastSteps is the most that walk.last can visit: a literal and a star, each
// with and without a verb.
const lastSteps = 4

// maxSteps bounds the nodes that a walk from here visits. A path takes one
// literal child at most, so literals count by their costliest one.
func (n *node) maxSteps() int {
	if n == nil {
		return 0
	}
	most := 0
	for _, c := range n.literals {
		most = max(most, c.maxSteps())
	}
	return 1 + max(most+n.star.maxSteps(), lastSteps) + 2*n.deep.depth()
}

// depth is the number of nodes on the longest way down through literals.
func (n *node) depth() int {
	if n == nil {
		return 0
	}
	most := 0
	for _, c := range n.literals {
		most = max(most, c.depth())
	}
	return 1 + most
}

var errNotFound = &Error{Kind: NotFound, Reason: "no route has this path"}

// walk looks for one path in the tree.
type walk struct {
	method  string
	path    *path
	end     int    // index of the last segment
	whole   string // the last segment
	base    string // and without its verb
	verb    string // the verb, "" if there is no colon
	found   int
	split   bool   // found with the verb split off
	refusal *Error // what was found for other methods
	steps   int    // nodes visited
}

func (w *walk) run(root *node, method string, p *path) error {
	*w = walk{method: method, path: p, end: len(p.segs) - 1, found: -1}
	if w.lookup(root) {
		return nil
	}
	if w.refusal != nil {
		return w.refusal
	}
	return errNotFound
}

func (w *walk) lookup(root *node) bool {
	if w.end < 0 {
		return w.stop(root, "")
	}
	last := w.path.segs[w.end]
	w.whole = w.path.text[last.textStart:last.textEnd]
	if c := w.path.colon.textStart; c > 0 {
		w.base = w.path.text[last.textStart:c]
		w.verb = w.path.text[c+1 : last.textEnd]
	}
	return w.below(root, 0)
}

// below tries what follows n for the segments from i on. Above "**" a node is
// reached by one way only, so nothing is tried twice.
func (w *walk) below(n *node, i int) bool {
	w.steps++
	if i == w.end {
		return w.last(n) || w.deep(n, i)
	}
	s := w.path.segs[i]
	if c := n.literals[w.path.text[s.textStart:s.textEnd]]; c != nil && w.below(c, i+1) {
		return true
	}
	if n.star != nil && w.below(n.star, i+1) {
		return true
	}
	return w.deep(n, i)
}

// last tries the last segment as a literal and as "*", each with its verb
// first. An empty one is neither.
func (w *walk) last(n *node) bool {
	if w.verb != "" {
		if c := n.literals[w.base]; c != nil && w.stop(c, w.verb) {
			return true
		}
	}
	if c := n.literals[w.whole]; c != nil && w.stop(c, "") {
		return true
	}
	if n.star == nil || w.whole == "" {
		return false
	}
	return w.verb != "" && w.base != "" && w.stop(n.star, w.verb) || w.stop(n.star, "")
}

// stop ends the path at n, or in a "**" below it that matches nothing.
func (w *walk) stop(n *node, verb string) bool {
	w.steps++
	return w.accept(n, verb) || n.deep != nil && w.accept(n.deep, verb)
}

// deep tries "**" below n for the segments from i on.
func (w *walk) deep(n *node, i int) bool {
	if n.deep == nil {
		return false
	}
	return w.verb != "" && w.tail(n.deep, i, w.end, w.base, w.verb) || w.tail(n.deep, i, w.end, w.whole, "")
}

// tail compares literals from the end of the path, where text is segment i,
// down to segment first, the longest tail winning.
func (w *walk) tail(n *node, first, i int, text, verb string) bool {
	w.steps++
	if c := n.literals[text]; i >= first && c != nil {
		next := ""
		if i > first {
			s := w.path.segs[i-1]
			next = w.path.text[s.textStart:s.textEnd]
		}
		if w.tail(c, first, i-1, next, verb) {
			return true
		}
	}
	return w.accept(n, verb)
}

// accept ends the walk at n if a template ends there for the method.
func (w *walk) accept(n *node, verb string) bool {
	l := n.end(verb)
	if l == nil {
		return false
	}
	if w.found = l.find(w.method); w.found >= 0 {
		w.split = verb != ""
		return true
	}
	w.refuse(l.refusal)
	return false
}

// refuse remembers the methods of a path that lacks the one asked for.
func (w *walk) refuse(r *Error) {
	switch {
	case w.refusal == nil:
		w.refusal = r
	case !covers(w.refusal.Allow, r.Allow):
		w.refusal = notAllowed(slices.Concat(w.refusal.Allow, r.Allow))
	}
}

func covers(set, sub []string) bool {
	for _, s := range sub {
		if !slices.Contains(set, s) {
			return false
		}
	}
	return true
}
