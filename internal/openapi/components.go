package openapi

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// direction is whether a schema stands for what clients send or for what they get.
// The two differ: unknown fields are refused in requests only, and so are
// fields that are missing.
type direction uint8

const (
	output direction = iota
	input
)

// component is a schema with a name of its own.
type component struct {
	short  string // its name, unless another component has it too
	full   string
	suffix string // behind either name
	name   string // as it is written
	schema *schema
	id     identity
}

// identity tells the components of a message or enum apart.
type identity struct {
	of       subject
	upstream string // two may have different messages of one name
	dir      direction
}

// subject is what components of different identities may describe alike.
type subject struct {
	name    protoreflect.FullName
	variant string
}

// registry has the components of one document.
type registry struct {
	all       []*component
	byID      map[identity]*component
	refs      []*schema
	model     *model
	upstream  string   // of which messages are described now
	upstreams []string // in the order of their first RPCs
	pending   []func() // make the schemas of components that were named
}

// describe sets the upstream whose messages are described from now on.
func (r *registry) describe(upstream string) {
	r.upstream = upstream
	if !slices.Contains(r.upstreams, upstream) {
		r.upstreams = append(r.upstreams, upstream)
	}
}

// ref returns a schema that names a component, which make makes once.
func (r *registry) ref(of subject, dir direction, c component, build func() *schema) *schema {
	id := identity{of, r.upstream, dir}
	known, ok := r.byID[id]
	if !ok {
		known = &c
		known.id = id
		r.byID[id] = known
		r.all = append(r.all, known)
		r.pending = append(r.pending, func() {
			r.upstream = id.upstream
			known.schema = build()
		})
	}
	s := &schema{to: known}
	r.refs = append(r.refs, s)
	return s
}

// build makes the schemas of all components that are named, also by those made here.
func (r *registry) build() {
	for len(r.pending) > 0 {
		last := len(r.pending) - 1
		build := r.pending[last]
		r.pending = r.pending[:last]
		build()
	}
}

// nameAll names the components and what refers to them. A message that clients send
// and get has two components where the two differ, and one otherwise; so has one that
// differs between upstreams.
func (r *registry) nameAll() {
	r.share()
	r.shorten()
	for _, ref := range r.refs {
		ref.Ref = "#/components/schemas/" + ref.to.name
	}
	slices.SortFunc(r.all, func(a, b *component) int { return strings.Compare(a.name, b.name) })
}

// share drops components of a message that look like another one of it, and gives those
// that remain suffixes. The first upstream's have none of their upstream.
func (r *registry) share() {
	groups := map[subject][]*component{}
	for _, c := range r.all {
		groups[c.id.of] = append(groups[c.id.of], c)
	}
	class := r.classes(groups)
	stands := map[*component]*component{} // for those that are dropped
	for _, group := range groups {
		if len(group) == 1 {
			continue
		}
		slices.SortFunc(group, func(a, b *component) int {
			return cmp.Or(cmp.Compare(a.id.dir, b.id.dir), cmp.Compare(slices.Index(r.upstreams, a.id.upstream), slices.Index(r.upstreams, b.id.upstream)))
		})
		suffixes, first := map[string]bool{}, map[int]*component{}
		for _, c := range group {
			if same := first[class[c]]; same != nil {
				stands[c] = same
				continue
			}
			first[class[c]] = c
			if c.id.dir == input && c.id.of.variant == "" && group[0].id.dir == output {
				c.suffix = "Input"
			}
			if suffixes[c.suffix] {
				c.suffix += "_" + notInNames.ReplaceAllString(c.id.upstream, "_")
			}
			suffixes[c.suffix] = true
		}
	}
	for _, ref := range r.refs {
		if other := stands[ref.to]; other != nil {
			ref.to = other
		}
	}
	r.all = slices.DeleteFunc(r.all, func(c *component) bool { return stands[c] != nil })
}

// classes tells which components of a group look alike: they have the same class. Those
// whose schemas are the same are alike, until they turn out to refer to some that are not.
func (r *registry) classes(groups map[subject][]*component) map[*component]int {
	class, inner := make(map[*component]int, len(r.all)), map[*component][]*component{}
	keys := map[string]int{}
	number := func(key []byte) int {
		n, known := keys[string(key)]
		if !known {
			n = len(keys)
			keys[string(key)] = n
		}
		return n
	}
	for i, c := range r.all {
		key := strconv.AppendInt(nil, int64(i), 10)
		if len(groups[c.id.of]) > 1 {
			var refs []*component
			key = append(r.shape(c.schema, &refs), c.id.of.name+" "...)
			key, inner[c] = append(key, c.id.of.variant...), refs
		}
		class[c] = number(key)
	}
	for before := 0; before != len(keys); {
		before = len(keys)
		next := maps.Clone(class)
		clear(keys)
		for _, c := range r.all {
			key := strconv.AppendInt(nil, int64(class[c]), 10)
			for _, other := range inner[c] {
				key = strconv.AppendInt(append(key, ' '), int64(class[other]), 10)
			}
			next[c] = number(key)
		}
		class = next
	}
	return class
}

// shape is the JSON of a schema in which references name messages, whatever their
// direction and upstream. The components that it names are added to inner.
func (r *registry) shape(s *schema, inner *[]*component) []byte {
	walk(s, func(s *schema) {
		if s.to != nil {
			s.Ref = s.to.full + s.to.suffix
			*inner = append(*inner, s.to)
		}
	})
	w := jsonWriter{model: r.model}
	_ = w.value(reflect.ValueOf(s)) // a schema can always be written
	return w.out.Bytes()
}

// walk visits a schema and all within it.
func walk(s *schema, visit func(*schema)) {
	if s == nil {
		return
	}
	visit(s)
	for _, list := range []members[*schema]{s.Properties, s.PatternProps, s.DependentSchemas} {
		for i := range list {
			walk(list[i].Value, visit)
		}
	}
	for _, one := range s.AnyOf {
		walk(one, visit)
	}
	walk(s.Items, visit)
	walk(s.PropertyNames, visit)
	walk(s.Not, visit)
	if additional, ok := s.Additional.(*schema); ok {
		walk(additional, visit)
	}
}

// shorten gives each component its short name, or its full one where a generator of
// clients would take two short names for the same.
func (r *registry) shorten() {
	owners := map[string]map[string]bool{}
	claim := func(name, full string) {
		key := folded(name)
		if owners[key] == nil {
			owners[key] = map[string]bool{}
		}
		owners[key][full] = true
	}
	for _, c := range r.all {
		claim(c.short, c.full)
		claim(c.short+c.suffix, c.full)
	}
	taken := map[string]int{}
	for _, c := range r.all {
		c.name = c.short + c.suffix
		if len(owners[folded(c.short)]) > 1 || len(owners[folded(c.name)]) > 1 {
			c.name = c.full + c.suffix
		}
		key := folded(c.name)
		if taken[key]++; taken[key] > 1 {
			c.name += strconv.Itoa(taken[key])
		}
	}
}

// folded is a name without what generators drop or change: two names that fold to
// the same become one in some language.
func folded(name string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r == '.' || r == '_' || r == '-' {
			return -1
		}
		return r
	}, name))
}
