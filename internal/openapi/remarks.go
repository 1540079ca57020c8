package openapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// remarks is what annotations say about a message, a field or an enum, without what the
// gateway knows better.
type remarks struct {
	title, description string
	deprecated         bool
	docs               *externalDocs
	format, example    remark
	extensions         extensions
}

// remark is a text that may not fit, with the annotation that has it.
type remark struct {
	text json.RawMessage
	said annotation
}

// nothing is what annotations say of most declarations.
var nothing = new(remarks)

// remarksOf reads what annotations say of a message, a field or an enum.
func (b *builder) remarksOf(d protoreflect.Descriptor) *remarks {
	if len(b.foreign) == 0 {
		return nothing
	}
	if known, ok := b.remarks[d]; ok {
		return known
	}
	r := nothing
	if list := b.annotationsOf(d); len(list) > 0 {
		r = new(remarks)
		for _, s := range list {
			b.read(r, s, d)
		}
	}
	b.remarks[d] = r
	return r
}

// schemaFields are the fields of a schema's annotation that are read.
var schemaFields = []string{"title", "description", "deprecated", "external_docs", "example", "extensions", "specification_extension", "json_schema"}

// read reads one annotation of a schema: grpc-gateway's of messages has a part of it in a
// message of its own.
func (b *builder) read(r *remarks, s annotation, d protoreflect.Descriptor) {
	fields := schemaFields
	fd, isField := d.(protoreflect.FieldDescriptor)
	if isField {
		fields = append(slices.Clip(fields), "format", "field_configuration")
	}
	for _, part := range []annotation{s, s.within("json_schema")} {
		if part.m == nil {
			continue
		}
		r.title = cmp.Or(r.title, part.text("title"))
		r.description = cmp.Or(r.description, clean(part.text("description")))
		r.deprecated = r.deprecated || part.flag("deprecated") || part.within("field_configuration").flag("deprecated")
		if r.docs == nil {
			r.docs = docsOf(part.within("external_docs"))
		}
		if example := part.value("example"); r.example.text == nil && example != nil {
			r.example = remark{example, part.at("example")}
		}
		if format := part.text("format"); r.format.text == nil && format != "" && isField {
			r.format = remark{json.RawMessage(format), part.at("format")}
		}
		join(&r.extensions, b.extensionsOf(part))
		if isField {
			b.refuse(part, b.agreesWithField(fd), fields...)
			b.refuse(part.within("field_configuration"), nil, "deprecated")
		} else {
			b.refuse(part, b.agreesWithMessage(d), fields...)
		}
	}
}

// docsOf reads a reference to more documentation; nil without its address.
func docsOf(s annotation) *externalDocs {
	if s.text("url") == "" {
		return nil
	}
	return &externalDocs{Description: s.text("description"), URL: s.text("url")}
}

// agreement reports whether a field of an annotation says what the document says anyway.
type agreement = func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool

// agreesWithField compares an annotation with the schema of a field.
func (b *builder) agreesWithField(of protoreflect.FieldDescriptor) agreement {
	o := b.optionsOf(of)
	own := &schema{Type: typeObject}
	switch {
	case of.IsMap():
	case of.Message() == nil && of.Enum() == nil:
		own = b.field(of, input)
	case of.IsList():
		own.Type = typeArray
	case of.Enum() != nil:
		own.Type = typeString
	}
	if o.rules != nil && of.Message() == nil && of.Enum() == nil {
		applyRules(own, of, o.rules)
	}
	return func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch fd.Name() {
		case "required":
			return o.required && !o.outputOnly
		case "read_only":
			return o.outputOnly
		case "write_only":
			return o.inputOnly
		case "type":
			return isType(fd, v, own.Type)
		default:
			return slices.Contains(bounds(own), fmt.Sprintf("%s=%v", fd.Name(), v.Interface()))
		}
	}
}

// bounds are the rules of a schema as annotations have them.
func bounds(s *schema) []string {
	list := []string{
		"pattern=" + s.Pattern, fmt.Sprint("min_length=", s.MinLength), fmt.Sprint("min_items=", s.MinItems),
		fmt.Sprint("minimum=", s.Minimum), fmt.Sprint("maximum=", s.Maximum), fmt.Sprint("unique_items=", s.UniqueItems),
	}
	for name, bound := range map[string]*uint64{"max_length": s.MaxLength, "max_items": s.MaxItems} {
		if bound != nil {
			list = append(list, fmt.Sprint(name, "=", *bound))
		}
	}
	return list
}

// agreesWithMessage compares an annotation with the schema of a message or enum.
func (b *builder) agreesWithMessage(d protoreflect.Descriptor) agreement {
	md, isMessage := d.(protoreflect.MessageDescriptor)
	return func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Name() == "type":
			return isType(fd, v, map[bool]string{true: typeObject, false: typeString}[isMessage])
		case fd.Name() == "required" && fd.IsList() && isMessage:
			return b.allRequired(md, v.List())
		default:
			return false
		}
	}
}

// allRequired reports whether requests must have all fields of a list.
func (b *builder) allRequired(md protoreflect.MessageDescriptor, names protoreflect.List) bool {
	for i := range names.Len() {
		name := names.Get(i).String()
		fd := md.Fields().ByJSONName(name)
		if fd == nil {
			fd = md.Fields().ByTextName(name)
		}
		if fd == nil || !b.isRequired(fd, input) {
			return false
		}
	}
	return true
}

// isType reports whether an annotation names a type: in a string, or in a list of values of an
// enum.
func isType(fd protoreflect.FieldDescriptor, v protoreflect.Value, own any) bool {
	switch {
	case fd.Kind() == protoreflect.StringKind && !fd.IsList():
		return v.String() == own
	case fd.Kind() == protoreflect.EnumKind && fd.IsList() && v.List().Len() == 1:
		value := fd.Enum().Values().ByNumber(v.List().Get(0).Enum())
		return value != nil && strings.ToLower(string(value.Name())) == own
	default:
		return false
	}
}

// remarkMessage adds what annotations say of a message or enum to its schema. Its
// description is there already.
func (b *builder) remarkMessage(s *schema, d protoreflect.Descriptor) *remarks {
	r := b.remarksOf(d)
	if r != nothing {
		s.Deprecated = s.Deprecated || r.deprecated
		s.additions = &additions{Title: r.title, Docs: r.docs, Extensions: r.extensions}
	}
	return r
}

// remarkObject adds what annotations say of a message to the schema of all or of some of its
// fields. An example of the whole is one of some fields too, without the others.
func (b *builder) remarkObject(s *schema, md protoreflect.MessageDescriptor, dir direction, c *change) {
	r := b.remarkMessage(s, md)
	if r.example.text == nil {
		return
	}
	var without map[protoreflect.FieldNumber]bool
	if c != nil {
		without = c.without()
	}
	b.setExample(s, r.example, b.messageRewriter(md, dir, without))
}

// remarkField adds what annotations say of a field to its schema.
func (b *builder) remarkField(s *schema, fd protoreflect.FieldDescriptor, dir direction) {
	r := b.remarkMessage(s, fd)
	if r.format.text != nil {
		b.setFormat(s, r.format)
	}
	if r.example.text != nil {
		b.setExample(s, r.example, b.fieldRewriter(fd, dir))
	}
}

// setFormat sets the format of a value that has none.
func (b *builder) setFormat(s *schema, format remark) {
	if s.Items != nil {
		s = s.Items
	}
	switch name := string(format.text); {
	case s.Format == name:
	case s.Format != "":
		b.warn(format.said, "", "the value has the format %s, as JSON has it", s.Format)
	case s.Type != typeString && s.Type != typeNumber && s.Type != typeInteger:
		b.warn(format.said, "", "the value has none: it is neither text nor a number")
	default:
		s.Format = name
	}
}

// bare takes out of a schema what a parameter or a body says itself. What is left is about
// the value.
func (s *schema) bare() {
	s.Description, s.Deprecated, s.ReadOnly, s.WriteOnly, s.additions = "", false, false, false, nil
}
