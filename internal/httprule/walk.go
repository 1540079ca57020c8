package httprule

import (
	"hash/maphash"
	"maps"
	"math"
	"slices"
)

// table is the tree laid out for reading. A lookup among many routes spends
// its time waiting for memory, so there are few and small things to touch:
// all edges share one hash table, and words that recur are kept once.
type table struct {
	places  []place // places[0] is the root
	slots   []slot  // open addressing; the length is a power of two
	words   []string
	ends    []end // ends[0] is not used
	targets []target
	refusal []*Error // by index into ends: for a method that is not there
	methods []string // by method number
	seed    maphash.Seed
}

// place is a node. Zero means that there is none.
type place struct {
	star, deep int32 // places
	plain      int32 // end of a path without a verb
	literals   bool  // there are edges with literals
	verbs      bool  // there are edges with verbs
}

// slot is an edge from a place by a word; an empty one leads to 0.
type slot struct {
	hash uint64 // of place and word together, see table.hash
	word int32
	to   int32 // a place, or an end if the word is a verb
}

// end is one path shape with its verb: targets[first:last].
type end struct{ first, last int32 }

// target is a method of an end; the targets of an end are sorted by method.
type target struct {
	method int32
	route  int32
	shape  *Template // any template whose variables stand as this route's do
}

// Methods are numbered so that what comes first serves first: HEAD before the
// GET that stands in for it, and anyMethod last.
const (
	head      int32 = 0
	get       int32 = 1
	anyMethod int32 = math.MaxInt32
	noMethod  int32 = -1
)

// follow returns where a word leads from a place: to a place by a literal, to
// an end by a verb; zero if nowhere.
func (t *table) follow(from int32, verb bool, word string) int32 {
	h := t.hash(from, verb, word)
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.to == 0 || s.hash == h && t.words[s.word] == word {
			return s.to
		}
	}
}

// anywhere is the place of an edge for each verb that any template has.
const anywhere int32 = -1

// hash tells apart equal words at different places for certain, since the
// multiplication is reversible: comparing hash and word compares the edge.
func (t *table) hash(from int32, verb bool, word string) uint64 {
	key := uint64(from) << 1
	if verb {
		key |= 1
	}
	return maphash.String(t.seed, word) ^ key*0x9e3779b97f4a7c15
}

// walk looks for one path in the tree: first for a template whose verb ends the
// path, then for one without a verb.
type walk struct {
	*table
	method  int32
	instead int32 // get for head, else method
	path    *path
	last    int    // index of the last segment
	word    string // the last segment, without the verb
	verb    string // the verb that is looked for, "" for none
	found   *target
	refused *Error // what was found for other methods
	steps   int    // nodes visited
}

var errNotFound = &Error{Kind: NotFound, Reason: "no route has this path"}

func (w *walk) run(t *table, method string, p *path) error {
	*w = walk{table: t, path: p, last: len(p.segs) - 1, method: int32(slices.Index(t.methods, method))}
	w.instead = w.method
	if w.method == head {
		w.instead = get
	}
	if w.lookup() {
		return nil
	}
	if w.refused != nil {
		return w.refused
	}
	return errNotFound
}

func (w *walk) lookup() bool {
	if w.last < 0 {
		return w.stop(0)
	}
	last := w.path.segs[w.last]
	if c := w.path.colon.textStart; c > 0 && c+1 < last.textEnd {
		w.verb = w.path.text[c+1 : last.textEnd]
		if w.follow(anywhere, true, w.verb) != 0 {
			w.word = w.path.text[last.textStart:c]
			if w.below(0, 0) {
				return true
			}
		}
	}
	w.word, w.verb = w.path.text[last.textStart:last.textEnd], ""
	return w.below(0, 0)
}

// literal returns the place that a literal leads to, or zero.
func (w *walk) literal(from int32, word string) int32 {
	if !w.places[from].literals {
		return 0
	}
	return w.follow(from, false, word)
}

// below tries what follows a place for the segments from i on. Above "**" a
// place is reached by one way only, so nothing is tried twice.
func (w *walk) below(at int32, i int) bool {
	w.steps++
	if i == w.last {
		return w.finish(at) || w.deep(at, i)
	}
	if to := w.literal(at, w.path.segment(i)); to != 0 && w.below(to, i+1) {
		return true
	}
	if to := w.places[at].star; to != 0 && w.below(to, i+1) {
		return true
	}
	return w.deep(at, i)
}

// finish tries the last segment as a literal and as "*". An empty one is
// neither.
func (w *walk) finish(at int32) bool {
	if to := w.literal(at, w.word); to != 0 && w.stop(to) {
		return true
	}
	to := w.places[at].star
	return to != 0 && w.word != "" && w.stop(to)
}

// stop ends the path at a place, or in a "**" below it that matches nothing.
func (w *walk) stop(at int32) bool {
	w.steps++
	if w.accept(at) {
		return true
	}
	deep := w.places[at].deep
	return deep != 0 && w.accept(deep)
}

// deep tries "**" below a place for the segments from i on.
func (w *walk) deep(at int32, i int) bool {
	to := w.places[at].deep
	return to != 0 && w.tail(to, i, w.last)
}

// tail compares what follows "**" from the end of the path: segment i, and
// those before it down to segment first. The longest tail wins. There too a
// place is reached by one way only.
func (w *walk) tail(at int32, first, i int) bool {
	w.steps++
	if i >= first {
		word := w.word
		if i < w.last {
			word = w.path.segment(i)
		}
		if to := w.literal(at, word); to != 0 && w.tail(to, first, i-1) {
			return true
		}
		if to := w.places[at].star; to != 0 && word != "" && w.tail(to, first, i-1) {
			return true
		}
	}
	return w.accept(at)
}

// accept ends the walk at a place if a template ends there for the method.
func (w *walk) accept(at int32) bool {
	p, e := &w.places[at], int32(0)
	if w.verb == "" {
		e = p.plain
	} else if p.verbs {
		e = w.follow(at, true, w.verb)
	}
	if e == 0 {
		return false
	}
	targets := w.targets[w.ends[e].first:w.ends[e].last]
	for i := range targets {
		if m := targets[i].method; m == w.method || m == w.instead || m == anyMethod {
			w.found = &targets[i]
			return true
		}
	}
	w.refuse(w.refusal[e])
	return false
}

// refuse remembers the methods of a path that lacks the one asked for.
func (w *walk) refuse(r *Error) {
	switch {
	case w.refused == nil:
		w.refused = r
	case !covers(w.refused.Allow, r.Allow):
		w.refused = notAllowed(slices.Concat(w.refused.Allow, r.Allow))
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

// layout writes a tree into a table.
type layout struct {
	table
	template func(route int) *Template
	edges    []edge
	words    map[string]int32
	methods  map[string]int32
	shapes   map[string]*Template
	verbs    map[string]bool
}

type edge struct {
	from int32
	verb bool
	word string
	to   int32
}

// lay returns the table of a tree whose routes have these templates.
func lay(root *node, template func(route int) *Template) table {
	l := &layout{
		table: table{
			ends: make([]end, 1), refusal: make([]*Error, 1),
			methods: []string{head: "HEAD", get: "GET"}, seed: maphash.MakeSeed(),
		},
		template: template,
		words:    map[string]int32{},
		methods:  map[string]int32{"HEAD": head, "GET": get, AnyMethod: anyMethod},
		shapes:   map[string]*Template{},
		verbs:    map[string]bool{},
	}
	l.place(root)
	for _, verb := range slices.Sorted(maps.Keys(l.verbs)) {
		l.edges = append(l.edges, edge{anywhere, true, verb, 1})
	}
	l.hashEdges()
	return l.table
}

// place writes a node and all below it, in an order that keeps a node and its
// "*" side by side.
func (l *layout) place(n *node) int32 {
	if n == nil {
		return 0
	}
	at := int32(len(l.places))
	l.places = append(l.places, place{})
	p := place{literals: len(n.literals) > 0, verbs: len(n.verbs) > 0, star: l.place(n.star), plain: l.end(n.plain)}
	for _, verb := range slices.Sorted(maps.Keys(n.verbs)) {
		l.edges = append(l.edges, edge{at, true, verb, l.end(n.verbs[verb])})
		l.verbs[verb] = true
	}
	p.deep = l.place(n.deep)
	for _, lit := range slices.Sorted(maps.Keys(n.literals)) {
		l.edges = append(l.edges, edge{at, false, lit, l.place(n.literals[lit])})
	}
	l.places[at] = p
	return at
}

func (l *layout) end(f *leaf) int32 {
	if f == nil {
		return 0
	}
	first := len(l.targets)
	for _, t := range f.targets {
		tmpl := l.template(t.route)
		l.targets = append(l.targets, target{l.method(t.method), int32(t.route), intern(l.shapes, tmpl.shape(), tmpl)})
	}
	slices.SortFunc(l.targets[first:], func(a, b target) int { return int(a.method) - int(b.method) })
	l.ends = append(l.ends, end{int32(first), int32(len(l.targets))})
	l.refusal = append(l.refusal, f.refusal())
	return int32(len(l.ends) - 1)
}

func (l *layout) method(name string) int32 {
	i, known := l.methods[name]
	if !known {
		i = int32(len(l.table.methods))
		l.methods[name] = i
		l.table.methods = append(l.table.methods, name)
	}
	return i
}

func (l *layout) hashEdges() {
	size := 2
	for size < 2*len(l.edges) {
		size *= 2
	}
	l.slots = make([]slot, size)
	for _, e := range l.edges {
		h := l.hash(e.from, e.verb, e.word)
		i := h & uint64(size-1)
		for l.slots[i].to != 0 {
			i = (i + 1) & uint64(size-1)
		}
		l.slots[i] = slot{hash: h, word: l.word(e.word), to: e.to}
	}
}

func (l *layout) word(s string) int32 {
	i := intern(l.words, s, int32(len(l.table.words)))
	if int(i) == len(l.table.words) {
		l.table.words = append(l.table.words, s)
	}
	return i
}

// intern returns what m holds for the key, which is v if it held nothing.
func intern[V any](m map[string]V, key string, v V) V {
	if old, ok := m[key]; ok {
		return old
	}
	m[key] = v
	return v
}
