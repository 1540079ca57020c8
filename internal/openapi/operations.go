package openapi

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
)

// listed are the bindings of an RPC that the document may have.
func (b *builder) listed(m *Method) iter.Seq[*contract.Binding] {
	return func(yield func(*contract.Binding) bool) {
		for _, binding := range m.Bindings {
			if binding.Err == nil && (!isOpen(binding) || b.isFirstOpen(m)) && !yield(binding) {
				return
			}
		}
	}
}

// choose finds, for each path as OpenAPI has it, the binding that it is the path of. Of
// two templates that differ in how many segments a variable spans, that is the one of a
// single segment: clients encode the slashes in a parameter.
func (b *builder) choose() {
	for _, m := range b.methods {
		for binding := range b.listed(m) {
			p := pathOf(binding.Template, b.resources, func(field []string) string { return b.label(m.Desc.Input(), field) })
			b.paths[binding] = p
			key := binding.Verb + " " + p.form
			if first := b.chosen[key]; first == nil || b.paths[first].spans() && !p.spans() {
				b.chosen[key] = binding
			}
		}
	}
}

// add adds the operations of an RPC: one for each of its bindings.
func (b *builder) add(m *Method, tag, id string) {
	rank := 0
	for binding := range b.listed(m) {
		name := id
		if isOpen(binding) {
			name += "_unversioned"
		} else {
			rank++
		}
		if rank > 1 {
			name += "_" + strconv.Itoa(rank)
		}
		b.bind(m, binding, tag, name)
	}
}

// isOpen reports whether a binding is on the path that leaves the version open.
func isOpen(binding *contract.Binding) bool {
	return binding.OpenPath != "" && binding.Path == binding.OpenPath
}

// isFirstOpen reports whether the document has, on paths that leave the version open, the
// version of an RPC: it has one, since a path and its HTTP method are one operation.
func (b *builder) isFirstOpen(m *Method) bool {
	if b.version != "" {
		return true
	}
	api := m.Version.API
	first := api.GetDefault()
	if first == "" {
		first = api.GetList()[len(api.GetList())-1].GetName()
	}
	return m.Version.Of.GetName() == first
}

// bind adds the operation of a binding, or several where it takes any HTTP method.
func (b *builder) bind(m *Method, binding *contract.Binding, tag, id string) {
	form := b.paths[binding].form
	if chosen := b.chosen[binding.Verb+" "+form]; chosen != binding {
		b.leaveOut(m, binding, fmt.Sprintf("in OpenAPI its path is that of %s: the templates differ in how many segments a variable spans", chosen.Name))
		return
	}
	if binding.Verb != httprule.AnyMethod {
		b.place(m, binding, binding.Verb, tag, id)
		return
	}
	for _, verb := range []string{"GET", "PUT", "POST", "DELETE", "PATCH"} {
		if b.chosen[verb+" "+form] == nil {
			b.place(m, binding, verb, tag, id+"_"+strings.ToLower(verb))
		}
	}
}

// verbs are the HTTP methods that OpenAPI 3.1 knows.
var verbs = []string{"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"}

// place adds an operation at its path.
func (b *builder) place(m *Method, binding *contract.Binding, verb, tag, id string) {
	p := b.paths[binding]
	if first, ok := b.forms[p.form]; ok {
		p.renamed(first)
	} else {
		b.forms[p.form] = p
	}
	if !slices.Contains(verbs, verb) {
		b.leaveOut(m, binding, "OpenAPI 3.1 does not know the HTTP method "+verb)
		return
	}
	item := b.items[p.text]
	if item == nil {
		item = new(pathItem)
		b.items[p.text] = item
		b.doc.Paths.add(p.text, item)
	}
	item.add(strings.ToLower(verb), b.operation(m, binding, p, tag, id))
}

// leaveOut notes that a binding is served and not in the document.
func (b *builder) leaveOut(m *Method, binding *contract.Binding, why string) {
	b.doc.Unlisted = append(b.doc.Unlisted, unlisted{Binding: binding.Name, RPC: string(m.Desc.FullName()), Why: why})
}

// operation describes one binding.
func (b *builder) operation(m *Method, binding *contract.Binding, p *path, tag, id string) *operation {
	o := &operation{
		Tags: []string{tag}, ID: b.unique(id), RPC: string(m.Desc.FullName()), Binding: binding.Name,
		Deprecated: isDeprecated(m.Desc) || m.Version.deprecation() != nil,
		Sunset:     m.Version.deprecation().GetSunset(),
	}
	summary, rest := b.prose(m)
	o.Summary = summary
	bound := b.bound(m.Desc.Input(), p)
	for _, param := range p.params {
		o.Parameters = append(o.Parameters, b.pathParameter(m.Desc.Input(), param))
	}
	query, more := b.query(m, binding, bound)
	o.Parameters = append(o.Parameters, query...)
	o.Parameters = append(o.Parameters, b.headerParameters(m, binding)...)
	o.Body = b.body(m, binding, bound)
	b.promise(o, m)
	o.Responses = b.answers(m, binding, o.Body != nil)
	o.Description = paragraphs(rest, more, b.terms(m))
	b.annotate(o, m)
	return o
}

// unique is an operation's id, with a number where a generator of clients would take it
// for that of an operation before.
func (b *builder) unique(id string) string {
	chosen := id
	for n := 2; b.ids[folded(chosen)]; n++ {
		chosen = id + "_" + strconv.Itoa(n)
	}
	b.ids[folded(chosen)] = true
	return chosen
}

// label is what a parameter of a path is called: the field's name, after those of the
// messages that it stands in.
func (b *builder) label(md protoreflect.MessageDescriptor, field []string) string {
	var names []string
	for _, part := range field {
		fd := md.Fields().ByName(protoreflect.Name(part))
		if fd == nil {
			return strings.Join(field, "_") // never for a binding that is served
		}
		names = append(names, notInNames.ReplaceAllString(b.fieldNames(md)[fd.Index()], "_"))
		if md = fd.Message(); md == nil {
			break
		}
	}
	return strings.Join(names, "_")
}

// fieldAt finds a field by its path, nil if there is none.
func fieldAt(md protoreflect.MessageDescriptor, field []string) protoreflect.FieldDescriptor {
	var fd protoreflect.FieldDescriptor
	for _, part := range field {
		if md == nil {
			return nil
		}
		if fd = md.Fields().ByName(protoreflect.Name(part)); fd == nil {
			return nil
		}
		md = fd.Message()
	}
	return fd
}

// pathParameter describes a variable of a path.
func (b *builder) pathParameter(md protoreflect.MessageDescriptor, p pathParam) *parameter {
	param := &parameter{Name: p.name, In: "path", Required: true, Schema: &schema{Type: typeString, MinLength: 1}}
	fd := fieldAt(md, p.field)
	var comment, note string
	if fd != nil {
		comment = b.commentOf(fd)
		if p.within == "" && !p.rest {
			property := b.property(fd, input)
			param.Schema = property
			b.moveExample(param, property)
			property.bare()
		}
	}
	switch {
	case p.within != "":
		note = fmt.Sprintf("The part `{%s}` of `%s`, which is `%s`.", p.name, strings.Join(p.field, "."), p.within)
	case p.field == nil:
		note = "Any segment."
	}
	if p.rest {
		param.Schema.MinLength, param.Schema.Pattern = 0, `^([^/]+(/[^/]+)*)?$`
		note = paragraphs(note, "It may have several segments. A slash that separates two must not be percent-encoded; `%2F` belongs to a segment.")
	}
	param.Description = paragraphs(comment, note)
	return param
}
