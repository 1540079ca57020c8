package httprule

import "sync"

// Steps is how many nodes of the tree the last match visited. Cost is asserted
// in steps: time depends on the machine.
func (m *Match[T]) Steps() int { return m.walk.steps }

// Verb returns the custom verb, without its colon and decoded; "" if none.
func (t *Template) Verb() string { return t.verb }

// bounds are the MaxSteps of routers.
var bounds sync.Map

// MaxSteps is the most nodes of the tree that any path, however long, can make
// [Router.Match] visit. It grows with how templates overlap, not with how many
// there are.
func (r *Router[T]) MaxSteps() int {
	if bound, ok := bounds.Load(r); ok {
		return bound.(int)
	}
	root := &node{}
	for i, route := range r.routes {
		root.place(route.Template).leaf(route.Template.verb).put(route.Method, i)
	}
	bound := root.maxSteps()
	if root.hasVerbs() {
		bound *= 2 // see walk.lookup
	}
	bounds.Store(r, bound)
	return bound
}

// maxSteps bounds the nodes that one walk from here visits. A path takes one
// literal child at most, so literals count by their costliest one.
func (n *node) maxSteps() int {
	if n == nil {
		return 0
	}
	most := 0
	for _, c := range n.literals {
		most = max(most, c.maxSteps())
	}
	return 1 + most + n.star.maxSteps() + n.deep.maxTail()
}

// maxTail is the same below "**".
func (n *node) maxTail() int {
	if n == nil {
		return 0
	}
	most := 0
	for _, c := range n.literals {
		most = max(most, c.maxTail())
	}
	return 1 + most + n.star.maxTail()
}

// hasVerbs tells whether any template here or below has a verb.
func (n *node) hasVerbs() bool {
	if n == nil {
		return false
	}
	if len(n.verbs) > 0 || n.star.hasVerbs() || n.deep.hasVerbs() {
		return true
	}
	for _, c := range n.literals {
		if c.hasVerbs() {
			return true
		}
	}
	return false
}
