package httprule

import (
	"slices"
	"strings"
)

// node is a place in the tree while it is built: what the segments so far have
// in common. A [table] is made from it for reading.
//
// Below deep the tree is turned round: the segments that follow "**" hang there
// last one first, so that they are compared from the end of the path and "**"
// is whatever remains. Its length is never guessed.
type node struct {
	literals map[string]*node
	star     *node
	deep     *node
	plain    *leaf            // templates that end here without a verb
	verbs    map[string]*leaf // those with one
}

// leaf is one path shape with its verb, and the routes it has by method.
type leaf struct{ targets []methodRoute }

type methodRoute struct {
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
		n = n.next(s)
	}
	if t.deep >= 0 {
		n = child(&n.deep)
	}
	for _, s := range slices.Backward(tail) {
		n = n.next(s)
	}
	return n
}

// next returns the node that a literal or "*" leads to, made if need be.
func (n *node) next(s segment) *node {
	if s.kind == star {
		return child(&n.star)
	}
	return n.under(s.literal)
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
	if verb == "" {
		if n.plain == nil {
			n.plain = &leaf{}
		}
		return n.plain
	}
	if n.verbs == nil {
		n.verbs = map[string]*leaf{}
	}
	l := n.verbs[verb]
	if l == nil {
		l = &leaf{}
		n.verbs[verb] = l
	}
	return l
}

// route returns the route added under exactly this method, or -1.
func (l *leaf) route(method string) int {
	for _, t := range l.targets {
		if t.method == method {
			return t.route
		}
	}
	return -1
}

func (l *leaf) put(method string, route int) {
	l.targets = append(l.targets, methodRoute{method, route})
}

// refusal is the error for a method that the leaf does not have.
func (l *leaf) refusal() *Error {
	allow := make([]string, 0, len(l.targets)+1)
	for _, t := range l.targets {
		allow = append(allow, t.method)
		if t.method == "GET" {
			allow = append(allow, "HEAD")
		}
	}
	return notAllowed(allow)
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
