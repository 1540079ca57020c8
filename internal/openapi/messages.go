package openapi

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// message is the schema of a message, by reference where it has fields of its own.
func (b *builder) message(md protoreflect.MessageDescriptor, dir direction) *schema {
	if s := b.wellKnown(md, dir); s != nil {
		return s
	}
	return b.registry.ref(subject{name: md.FullName()}, dir, componentOf(md), func() *schema { return b.object(md, dir, nil) })
}

// componentOf is the component of a message or enum: its short name is that within its
// package.
func componentOf(d protoreflect.Descriptor) component {
	full := string(d.FullName())
	short := strings.TrimPrefix(full, string(d.ParentFile().Package())+".")
	return component{short: short, full: full}
}

// change is how a body differs from its message.
type change struct {
	bound   *bindings // fields that the path binds, and others of their oneofs
	partial bool      // only some fields are sent: none is required, and null clears one
}

// isBound reports whether the path binds a field, so that the body cannot have it. A nil
// change binds no field.
func (c *change) isBound(fd protoreflect.FieldDescriptor) bool {
	return c != nil && c.bound.isBound(fd)
}

// without are the numbers of the fields that a body cannot have.
func (c *change) without() map[protoreflect.FieldNumber]bool {
	if c.bound == nil {
		return nil
	}
	return c.bound.whole
}

// object is the schema of a message that is written field by field.
func (b *builder) object(md protoreflect.MessageDescriptor, dir direction, c *change) *schema {
	s := &schema{Type: typeObject, Deprecated: isDeprecated(md)}
	if dir == input && !b.json.GetIgnoreUnknownFields() {
		s.Additional = false
	}
	names := b.fieldNames(md)
	fields := md.Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if c.isBound(fd) {
			continue
		}
		property := b.changedProperty(fd, dir, c)
		switch {
		case c != nil && c.partial:
			if !property.ReadOnly {
				property = nullable(property)
			}
		case b.isRequired(fd, dir):
			s.Required = append(s.Required, names[i])
			if dir == input {
				notEmpty(property, fd)
			}
		}
		s.Properties.add(names[i], property)
	}
	notes := []string{b.commentOf(md)}
	oneofs := md.Oneofs()
	for i := range oneofs.Len() {
		notes = append(notes, b.exclusive(s, oneofs.Get(i), c))
	}
	if md.ExtensionRanges().Len() > 0 {
		s.PatternProps.add(`^\[.+\]$`, &schema{Description: "An extension, by its full name."})
	}
	s.Description = paragraphs(append(notes, b.messageRules(md, dir)...)...)
	b.remarkObject(s, md, dir, c)
	return s
}

// exclusive adds the rule that at most one member of a oneof is set, and returns a note
// for the description. The rule is in dependentSchemas, which client generators ignore, so
// that the properties stay typed.
func (b *builder) exclusive(s *schema, oneof protoreflect.OneofDescriptor, c *change) (note string) {
	if oneof.IsSynthetic() {
		return ""
	}
	names := b.fieldNames(oneof.Parent().(protoreflect.MessageDescriptor)) //nolint:forcetypeassert // a oneof stands in a message
	var members []string
	for i := range oneof.Fields().Len() {
		fd := oneof.Fields().Get(i)
		if !c.isBound(fd) {
			members = append(members, names[fd.Index()])
		}
	}
	for i, name := range members[:max(0, len(members)-1)] {
		var others []*schema
		for _, other := range members[i+1:] {
			others = append(others, &schema{Required: []string{other}})
		}
		not := &schema{AnyOf: others}
		if len(others) == 1 {
			not = others[0]
		}
		s.DependentSchemas.add(name, &schema{Not: not})
	}
	if len(members) == 0 {
		return ""
	}
	quantity := "At most one"
	if isRequiredOneof(oneof) {
		quantity = "Exactly one"
	}
	return paragraphs(b.commentOf(oneof), fmt.Sprintf("%s of `%s` is set.", quantity, strings.Join(members, "`, `")))
}

// isRequired reports whether a field is always there. Of requests the contract says so. In
// answers a field without presence is there only where defaults are written.
func (b *builder) isRequired(fd protoreflect.FieldDescriptor, dir direction) bool {
	if fd.Cardinality() == protoreflect.Required {
		return true
	}
	if dir == output {
		return b.json.GetEmitDefaults() && fd.ContainingOneof() == nil
	}
	o := b.optionsOf(fd)
	return o.required && !o.outputOnly
}

// notEmpty adds the rule that a required field without presence is not empty: an empty
// value counts as missing (AIP-203).
func notEmpty(s *schema, fd protoreflect.FieldDescriptor) {
	switch {
	case fd.HasPresence():
	case fd.IsMap():
		s.MinProperties = max(s.MinProperties, 1)
	case fd.IsList():
		s.MinItems = max(s.MinItems, 1)
	case fd.Kind() == protoreflect.StringKind || fd.Kind() == protoreflect.BytesKind:
		s.MinLength = max(s.MinLength, 1)
	case s.Const != nil || s.Enum != nil || s.Not != nil: // rules say more
	case fd.Kind() == protoreflect.BoolKind:
		s.Const = true
	case fd.Kind() == protoreflect.EnumKind:
		s.Description = paragraphs(s.Description, fmt.Sprintf("Not `%s`.", fd.Enum().Values().ByNumber(0).Name()))
	case scalar(fd.Kind()).Type == typeString: // 64 bits
		s.Not = &schema{Const: "0"}
	default:
		s.Not = &schema{Const: 0}
	}
}

// changedProperty is a field of a body. What holds of the body holds of the messages in
// it too: the path may bind their fields, and some of them may be sent only.
func (b *builder) changedProperty(fd protoreflect.FieldDescriptor, dir direction, c *change) *schema {
	if c == nil || !nests(fd) || c.bound.within(fd) == nil && !c.partial {
		return b.property(fd, dir)
	}
	return b.described(b.changed(fd.Message(), c.bound.within(fd), c.partial), fd, dir)
}

// property is the schema of a field with all that is said about it.
func (b *builder) property(fd protoreflect.FieldDescriptor, dir direction) *schema {
	return b.described(b.field(fd, dir), fd, dir)
}

// described is the schema of a field's value with all that is said about the field.
func (b *builder) described(s *schema, fd protoreflect.FieldDescriptor, dir direction) *schema {
	o := b.optionsOf(fd)
	if dir == output && b.json.GetEmitDefaults() && fd.HasPresence() && fd.ContainingOneof() == nil {
		s = nullable(s)
	}
	var notes []string
	if dir == input && o.rules != nil {
		notes = applyRules(s, fd, o.rules)
	}
	s.Description = paragraphs(append([]string{b.commentOf(fd), o.note(), s.Description}, notes...)...)
	s.Deprecated = s.Deprecated || isDeprecated(fd)
	s.ReadOnly, s.WriteOnly = o.outputOnly, o.inputOnly
	b.remarkField(s, fd, dir)
	return s
}

// field is the schema of a field's value.
func (b *builder) field(fd protoreflect.FieldDescriptor, dir direction) *schema {
	switch {
	case fd.IsMap():
		s := &schema{Type: typeObject, Additional: b.value(fd.MapValue(), dir)}
		s.PropertyNames = keyOf(fd.MapKey())
		return s
	case fd.IsList():
		return &schema{Type: typeArray, Items: b.value(fd, dir)}
	default:
		return b.value(fd, dir)
	}
}

// keyOf is the schema of a map's keys, nil for text.
func keyOf(fd protoreflect.FieldDescriptor) *schema {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return nil
	case protoreflect.BoolKind:
		return &schema{Enum: []any{"true", "false"}}
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return &schema{Pattern: unsigned}
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return &schema{Format: "uint64", Pattern: unsigned}
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return &schema{Format: "int64", Pattern: signed}
	default:
		return &schema{Pattern: signed}
	}
}

// The patterns of integers that are written as strings. Their range is that of the format.
const (
	signed   = `^-?(0|[1-9][0-9]{0,18})$`
	unsigned = `^(0|[1-9][0-9]{0,19})$`
)

// value is the schema of one value of a field, as the transcoder writes it.
func (b *builder) value(fd protoreflect.FieldDescriptor, dir direction) *schema {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return b.message(fd.Message(), dir)
	case protoreflect.EnumKind:
		return b.enum(fd.Enum())
	default:
		return scalar(fd.Kind())
	}
}

func scalar(kind protoreflect.Kind) *schema {
	switch kind {
	case protoreflect.BoolKind:
		return &schema{Type: typeBoolean}
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return &schema{Type: typeInteger, Format: "int32"}
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return &schema{Type: typeInteger, Format: "int64", Minimum: 0, Maximum: int64(1)<<32 - 1}
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return &schema{Type: typeString, Format: "int64", Pattern: signed}
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return &schema{Type: typeString, Format: "uint64", Pattern: unsigned}
	case protoreflect.FloatKind:
		return &schema{Type: typeNumber, Format: "float"}
	case protoreflect.DoubleKind:
		return &schema{Type: typeNumber, Format: "double"}
	case protoreflect.BytesKind:
		return &schema{Type: typeString, Format: "byte", ContentEncoding: "base64"}
	default:
		return &schema{Type: typeString}
	}
}

// enum is the schema of an enum, by reference.
func (b *builder) enum(ed protoreflect.EnumDescriptor) *schema {
	if ed.FullName() == "google.protobuf.NullValue" {
		return &schema{Enum: []any{nil}} // generators of clients know no type null by itself
	}
	return b.registry.ref(subject{name: ed.FullName()}, output, componentOf(ed), func() *schema { return b.enumeration(ed) })
}

func (b *builder) enumeration(ed protoreflect.EnumDescriptor) *schema {
	s := &schema{Type: typeString, Deprecated: isDeprecated(ed)}
	numbers := b.json.GetEnumNumbers()
	if numbers {
		s.Type, s.Format = typeInteger, "int32"
	}
	var seen []protoreflect.EnumNumber
	var lines []string
	values := ed.Values()
	for i := range values.Len() {
		v := values.Get(i)
		if !numbers {
			s.Enum = append(s.Enum, string(v.Name()))
		} else if !slices.Contains(seen, v.Number()) {
			s.Enum = append(s.Enum, int32(v.Number()))
			s.EnumNames = append(s.EnumNames, string(v.Name()))
			seen = append(seen, v.Number())
		}
		lines = append(lines, b.valueLine(v, numbers))
	}
	var list string
	if slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, ": ") }) || numbers {
		list = strings.Join(lines, "\n")
	}
	s.Description = paragraphs(b.commentOf(ed), list)
	if r := b.remarkMessage(s, ed); r.example.text != nil {
		b.setExample(s, r.example, nil)
	}
	return s
}

// valueLine is an item of the list of an enum's values.
func (b *builder) valueLine(v protoreflect.EnumValueDescriptor, numbers bool) string {
	text := strings.Join(strings.Fields(b.commentOf(v)), " ")
	if isDeprecated(v) {
		text = strings.TrimSpace("Deprecated. " + text)
	}
	name := "`" + string(v.Name()) + "`"
	if numbers {
		name = fmt.Sprintf("`%d` (%s)", v.Number(), name)
	}
	if text == "" {
		return "- " + name
	}
	return "- " + name + ": " + text
}
