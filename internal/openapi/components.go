package openapi

import (
	"bytes"
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
}

// identity tells the components of a message or enum apart.
type identity struct {
	name    protoreflect.FullName
	dir     direction
	variant string
}

// registry has the components of one document.
type registry struct {
	all     []*component
	byID    map[identity]*component
	refs    []*schema
	model   *model
	pending []func() // make the schemas of components that were named
}

// ref returns a schema that names a component, which make makes once.
func (r *registry) ref(id identity, c component, build func() *schema) *schema {
	known, ok := r.byID[id]
	if !ok {
		known = &c
		r.byID[id] = known
		r.all = append(r.all, known)
		r.pending = append(r.pending, func() { known.schema = build() })
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
// and get has two components where the two differ, and one otherwise.
func (r *registry) nameAll() {
	r.share()
	r.shorten()
	for _, ref := range r.refs {
		ref.Ref = "#/components/schemas/" + ref.to.name
	}
	slices.SortFunc(r.all, func(a, b *component) int { return strings.Compare(a.name, b.name) })
}

// share drops the input component of a message that looks alike in both directions.
func (r *registry) share() {
	pairs := map[*component]*component{} // input -> output
	for id, in := range r.byID {
		if id.dir != input || id.variant != "" {
			continue
		}
		if out, ok := r.byID[identity{name: id.name, dir: output}]; ok {
			pairs[in] = out
		}
	}
	uses := map[*component][]*component{}
	differs := map[*component]bool{}
	for in, out := range pairs {
		var inner []*component
		differs[in] = !bytes.Equal(r.shape(in.schema, &inner), r.shape(out.schema, nil))
		uses[in] = inner
	}
	for changed := true; changed; {
		changed = false
		for in, inner := range uses {
			if !differs[in] && slices.ContainsFunc(inner, func(c *component) bool { return differs[c] }) {
				differs[in], changed = true, true
			}
		}
	}
	for in := range pairs {
		if differs[in] {
			in.suffix = "Input"
		}
	}
	for _, ref := range r.refs {
		if out, ok := pairs[ref.to]; ok && !differs[ref.to] {
			ref.to = out
		}
	}
	r.all = slices.DeleteFunc(r.all, func(c *component) bool { _, paired := pairs[c]; return paired && !differs[c] })
}

// shape is the JSON of a schema in which references name messages, whatever their
// direction. The components that it names are added to inner.
func (r *registry) shape(s *schema, inner *[]*component) []byte {
	walk(s, func(s *schema) {
		if s.to == nil {
			return
		}
		s.Ref = s.to.full
		if inner != nil {
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

// uniqueNames gives each of some things the first of its names that it shares with no
// other. The last name of each must be its own.
func uniqueNames(all [][]string) []string {
	owners := map[string]int{}
	for _, names := range all {
		for i, name := range names {
			if !slices.Contains(names[:i], name) {
				owners[folded(name)]++
			}
		}
	}
	chosen := make([]string, len(all))
	for i, names := range all {
		chosen[i] = names[len(names)-1]
		for _, name := range names {
			if owners[folded(name)] == 1 {
				chosen[i] = name
				break
			}
		}
	}
	return chosen
}
