// Package httprule finds the binding that serves an HTTP request, by the path
// templates of google.api.http (googleapis, google/api/http.proto; AIP-127).
//
// [Parse] reads one template. A [Builder] collects templates under their HTTP
// methods into a tree; the [Router] it builds is immutable. [Router.Match]
// works on the path as it was sent, still percent-encoded: it refuses paths
// that some other link could read in another way, walks the tree, and only
// then decodes the variables, once.
//
// A template whose verb ends the path is preferred to one without a verb. Then,
// at each segment, a literal is preferred to "*" and "*" to "**"; what follows
// "**" is compared in the same way from the end of the path. A branch that leads
// nowhere for the request's method is given up for the next. The answer never
// depends on the order in which templates were added.
package httprule

import (
	"errors"
	"fmt"
)

// AnyMethod as the method of a binding serves every method that the same path
// has no binding of its own for (HttpRule.custom with kind "*").
const AnyMethod = "*"

// DefaultMaxPath is the longest path in bytes that a [Router] looks at unless
// its [Builder] says otherwise.
const DefaultMaxPath = 8 << 10

// Variable is a part of the path that is bound to a field of the request.
type Variable struct {
	// FieldPath names the field, from the request message inwards.
	FieldPath []string
	// Multi tells that the variable may span several segments. Its value
	// keeps some characters percent-encoded, see [Decoding].
	Multi bool
}

// Decoding says what stays percent-encoded in the value of a variable that
// may span several segments. A variable of one segment is decoded wholly. What
// stays encoded stays as it was sent; "%25" is always decoded, once.
type Decoding int

const (
	// KeepSlash keeps only "/" encoded, as http.proto specifies.
	KeepSlash Decoding = iota
	// KeepReserved keeps the reserved characters of RFC 6570 encoded, as
	// Envoy and Google's C++ transcoding library do.
	KeepReserved
)

// Route is one binding: a method and a template, and what serves them.
type Route[T any] struct {
	// Method is an HTTP method, or [AnyMethod].
	Method   string
	Template *Template
	// Origin tells where the binding was written, for people.
	Origin string
	Value  T
}

// Match is what [Router.Match] found. A Match that is used again does not
// allocate; it must not be used by two goroutines at once.
type Match[T any] struct {
	// Value is the route's.
	Value T
	// Vars are the decoded values in the order of [Template.Variables]. The
	// slice is overwritten by the next match; the strings stay.
	Vars []string
	// Route is the binding found, nil after an error. Its method is GET where
	// a GET binding serves a HEAD request.
	Route *Route[T]

	path path
	walk walk
}

// Kind is the way in which a request has no route.
type Kind int

const (
	// NotFound means that no template matches the path.
	NotFound Kind = iota + 1
	// MethodNotAllowed means that templates match the path, but not with this method.
	MethodNotAllowed
	// BadPath means that the path is malformed or could be read in two ways.
	BadPath
)

// Error says why a request has no route. It is shared: read it only.
type Error struct {
	Kind Kind
	// Allow lists, sorted, the methods that the path has (RFC 9110, 10.2.1);
	// only for [MethodNotAllowed].
	Allow []string
	// Reason is a sentence for the client; it holds nothing the client sent.
	Reason string
}

// Error returns the reason.
func (e *Error) Error() string { return e.Reason }

// Builder collects routes. The zero value is ready; its fields are read by
// [Builder.Build]. It is not safe for concurrent use.
type Builder[T any] struct {
	// Decoding is how values that may span segments are decoded.
	Decoding Decoding
	// MaxPath is the longest path in bytes; zero means [DefaultMaxPath].
	MaxPath int

	root   *node
	routes []Route[T]
}

// Add puts a route into the tree. Two templates with the same literals and
// wildcards are the same path, whatever their variables; adding the same path
// under the same method twice is an error that names both origins.
func (b *Builder[T]) Add(method string, t *Template, origin string, value T) error {
	if !isToken(method) {
		return fmt.Errorf("%s: %q is not an HTTP method: want a name such as GET, or %q for any", origin, method, AnyMethod)
	}
	if t == nil {
		return errors.New(origin + ": a binding needs a path template")
	}
	if b.root == nil {
		b.root = &node{}
	}
	l := b.root.place(t).leaf(t.verb)
	if i := l.route(method); i >= 0 {
		old := b.routes[i]
		return fmt.Errorf("%s: %s %s is the same binding as %s %s of %s: change or remove one",
			origin, method, t, old.Method, old.Template, old.Origin)
	}
	l.put(method, len(b.routes))
	b.routes = append(b.routes, Route[T]{Method: method, Template: t, Origin: origin, Value: value})
	return nil
}

// Build returns the router of all routes added, and leaves the builder without
// any.
func (b *Builder[T]) Build() *Router[T] {
	root, routes := b.root, b.routes
	b.root, b.routes = nil, nil
	if root == nil {
		root = &node{}
	}
	r := &Router[T]{routes: routes, decoding: b.Decoding, maxPath: b.MaxPath}
	if r.maxPath <= 0 {
		r.maxPath = DefaultMaxPath
	}
	r.table = lay(root, func(i int) *Template { return routes[i].Template })
	return r
}

// Router finds routes. It is immutable and safe for concurrent use.
type Router[T any] struct {
	table    table
	routes   []Route[T]
	decoding Decoding
	maxPath  int
}

// Match finds the route for a method and a path as sent: percent-encoded,
// without the query. On failure it returns an [*Error] and m holds no value.
//
// A HEAD request is served by the GET binding of a path that has no HEAD
// binding. A template whose verb ends the path wins over every template without
// a verb, even over one with more literals. Where no template with this verb
// fits for the method, the colon is part of the value: where only POST has a
// verb, GET may still read a resource whose name ends in it.
// A trailing slash is an empty last segment, which only "**" matches.
func (r *Router[T]) Match(method, escapedPath string, m *Match[T]) error {
	var none T
	m.Value, m.Vars, m.Route = none, m.Vars[:0], nil
	if err := m.path.read(escapedPath, r.maxPath); err != nil {
		return err
	}
	if err := m.walk.run(&r.table, method, &m.path); err != nil {
		return err
	}
	m.Route = &r.routes[m.walk.found.route]
	m.Value = m.Route.Value
	if m.walk.verb != "" {
		m.path.cutVerb()
	}
	m.Vars = m.path.appendVars(m.Vars, m.walk.found.shape, r.decoding)
	return nil
}
