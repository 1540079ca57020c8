package openapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

// bindings is what the path binds of a message: fields, and fields of fields.
type bindings struct {
	whole map[protoreflect.FieldNumber]bool      // bound, or another member of a oneof that is
	inner map[protoreflect.FieldNumber]*bindings // some of its fields are
}

// bound finds what a path binds.
func (b *builder) bound(md protoreflect.MessageDescriptor, p *path) *bindings {
	all := newBindings()
	for _, param := range p.params {
		all.bind(md, param.field)
	}
	return all
}

func newBindings() *bindings {
	return &bindings{map[protoreflect.FieldNumber]bool{}, map[protoreflect.FieldNumber]*bindings{}}
}

func (s *bindings) bind(md protoreflect.MessageDescriptor, field []string) {
	if len(field) == 0 || md == nil {
		return
	}
	fd := md.Fields().ByName(protoreflect.Name(field[0]))
	if fd == nil {
		return
	}
	if oneof := fd.ContainingOneof(); oneof != nil {
		for i := range oneof.Fields().Len() {
			if other := oneof.Fields().Get(i); other != fd {
				s.whole[other.Number()] = true
			}
		}
	}
	if len(field) == 1 {
		s.whole[fd.Number()] = true
		return
	}
	if s.inner[fd.Number()] == nil {
		s.inner[fd.Number()] = newBindings()
	}
	s.inner[fd.Number()].bind(fd.Message(), field[1:])
}

// isBound reports whether the path binds a field. A nil s binds no field.
func (s *bindings) isBound(fd protoreflect.FieldDescriptor) bool {
	return s != nil && s.whole[fd.Number()]
}

// isEmpty reports whether the path binds nothing of a message.
func (s *bindings) isEmpty() bool { return s == nil || len(s.whole)+len(s.inner) == 0 }

// key tells bindings of one message apart.
func (s *bindings) key() string {
	if s == nil {
		return ""
	}
	parts := []string{fmt.Sprint(slices.Sorted(maps.Keys(s.whole)))}
	for _, number := range slices.Sorted(maps.Keys(s.inner)) {
		parts = append(parts, fmt.Sprint(number, "{", s.inner[number].key(), "}"))
	}
	return strings.Join(parts, " ")
}

func (s *bindings) within(fd protoreflect.FieldDescriptor) *bindings {
	if s == nil {
		return nil
	}
	return s.inner[fd.Number()]
}

// mostParameters is how many query parameters an operation lists. Messages within
// messages can have more than anybody would read.
const mostParameters = 200

// query lists the query parameters of a binding: the fields that neither the path nor
// the body binds. The note names the fields that the list leaves out.
func (b *builder) query(m *Method, binding *contract.Binding, bound *bindings) (params []*parameter, note string) {
	if binding.Body == "*" {
		return nil, ""
	}
	q := querier{builder: b, hasMask: binding.Verb == "PATCH"}
	body := m.Desc.Input().Fields().ByName(protoreflect.Name(binding.Body))
	q.message(m.Desc.Input(), bound, body, "", true)
	if len(q.omitted) > 0 {
		note = fmt.Sprintf("Fields of `%s` can be given too, by names with dots.", strings.Join(q.omitted, "`, `"))
	}
	return q.params, paragraphs(append([]string{note}, q.exclusive...)...)
}

// querier lists query parameters.
type querier struct {
	*builder
	params  []*parameter
	chain   []protoreflect.FullName // the messages that the name leads through
	omitted []string
	// exclusive says in words which parameters exclude one another.
	exclusive []string
	hasMask   bool // a mask that is not given is made of the body
}

func (q *querier) message(md protoreflect.MessageDescriptor, bound *bindings, body protoreflect.FieldDescriptor, prefix string, top bool) {
	q.chain = append(q.chain, md.FullName())
	defer func() { q.chain = q.chain[:len(q.chain)-1] }()
	names := q.fieldNames(md)
	q.oneofs(md, bound, body, prefix)
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		sameOneof := body != nil && fd.ContainingOneof() != nil && fd.ContainingOneof() == body.ContainingOneof()
		if fd == body || sameOneof || bound.isBound(fd) {
			continue
		}
		name := prefix + names[i]
		switch {
		case !nests(fd):
			q.field(fd, name, top)
		case slices.Contains(q.chain, fd.Message().FullName()) || len(q.params) >= mostParameters:
			q.omitted = append(q.omitted, name)
		default:
			q.message(fd.Message(), bound.within(fd), nil, name+".", false)
		}
	}
}

// oneofs notes of which parameters only one may be given. OpenAPI has no words for it.
func (q *querier) oneofs(md protoreflect.MessageDescriptor, bound *bindings, body protoreflect.FieldDescriptor, prefix string) {
	names := q.fieldNames(md)
	for i := range md.Oneofs().Len() {
		oneof := md.Oneofs().Get(i)
		if oneof.IsSynthetic() || body != nil && body.ContainingOneof() == oneof {
			continue
		}
		var members []string
		for n := range oneof.Fields().Len() {
			if fd := oneof.Fields().Get(n); !bound.isBound(fd) {
				members = append(members, prefix+names[fd.Index()])
			}
		}
		if len(members) > 1 {
			q.exclusive = append(q.exclusive, fmt.Sprintf("At most one of the parameters `%s` may be given.", strings.Join(members, "`, `")))
		}
	}
}

// field lists the parameter of one field, if a parameter can hold it.
func (q *querier) field(fd protoreflect.FieldDescriptor, name string, top bool) {
	value := fd
	if fd.IsMap() {
		value = fd.MapValue()
	}
	isJSON := value.Message() != nil && isJSONInQuery(value.Message()) && !fd.IsMap() && !fd.IsList()
	if !hasText(value) && !isJSON {
		return
	}
	property := q.property(fd, input)
	p := &parameter{Name: name, In: "query", Description: property.Description, Deprecated: property.Deprecated}
	if p.Required = top && q.isRequired(fd, input); p.Required {
		notEmpty(property, fd)
	}
	b := q.builder
	if !isJSON {
		b.moveExample(p, property)
	}
	property.bare()
	if fd.IsMap() {
		p.Style, p.Explode = "deepObject", new(true)
		p.Description = paragraphs(p.Description, fmt.Sprintf("One parameter for each entry: `%s[key]=value`.", name))
	}
	if p.Schema = property; isJSON {
		p.Schema, p.Content = nil, members[*mediaType]{{mediaJSON, &mediaType{Schema: property}}}
	}
	if md := fd.Message(); q.hasMask && top && !fd.IsMap() && md != nil && md.FullName() == fieldMask {
		p.Description = paragraphs(p.Description, "Where it is left out, it names the fields of the body.")
	}
	if md := fd.Message(); md != nil && md.FullName() == fieldMask && !fd.IsList() && !fd.IsMap() {
		p.Schema.Pattern = allPaths
	}
	q.params = append(q.params, p)
}
