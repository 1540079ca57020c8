package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// rewriter writes an example as the gateway would write the value, or says why it is none.
type rewriter func(example json.RawMessage) (json.RawMessage, error)

// placed is an example in the document. Whether it fits can be said when all schemas are made.
type placed struct {
	schema *schema
	text   json.RawMessage
	said   annotation
	of     *additions       // of the schema that has it
	at     *json.RawMessage // or the place in a parameter or a body
}

// setExample gives a schema an example.
func (b *builder) setExample(s *schema, example remark, rewrite rewriter) {
	if text, ok := b.rewritten(example, rewrite); ok {
		s.Examples = []json.RawMessage{text}
		b.examples = append(b.examples, placed{schema: s, text: text, said: example.said, of: s.additions})
	}
}

// moveExample gives a parameter the example of its field, which was placed last.
func (b *builder) moveExample(p *parameter, property *schema) {
	if n := len(b.examples); n > 0 && b.examples[n-1].schema == property {
		last := &b.examples[n-1]
		p.Example, last.of, last.at = last.text, nil, &p.Example
	}
}

// setMediaExample gives a body an example.
func (b *builder) setMediaExample(m *mediaType, example remark) {
	if text, ok := b.rewritten(example, m.rewrite); ok {
		m.Example = text
		b.examples = append(b.examples, placed{schema: m.Schema, text: text, said: example.said, at: &m.Example})
	}
}

// maxExample is the size of the largest example, in bytes.
const maxExample = 16 << 10

func (b *builder) rewritten(example remark, rewrite rewriter) (json.RawMessage, bool) {
	if len(example.text) > maxExample {
		b.warn(example.said, "", "the example is left out: it has %d bytes, and %d are taken", len(example.text), maxExample)
		return nil, false
	}
	if rewrite == nil {
		return example.text, true
	}
	text, err := rewrite(example.text)
	if err != nil {
		b.warn(example.said, "", "the example is left out: %v", err)
		return nil, false
	}
	return text, true
}

// dropExamples takes out the examples that their schemas do not take.
func (b *builder) dropExamples() {
	for _, p := range b.examples {
		value, err := decoded(p.text)
		if err == nil {
			err = p.schema.takes(value)
		}
		switch {
		case err == nil:
			continue
		case p.of != nil:
			p.of.Examples = nil
		case bytes.Equal(*p.at, p.text): // no other has taken its place
			*p.at = nil
		}
		b.warn(p.said, "", "the example is left out: %v", err)
	}
}

// messageRewriter rewrites examples of a message, without fields that are bound elsewhere.
func (b *builder) messageRewriter(md protoreflect.MessageDescriptor, dir direction, without map[protoreflect.FieldNumber]bool) rewriter {
	return func(example json.RawMessage) (json.RawMessage, error) {
		text, err := b.throughMessage(md, example, protojson.MarshalOptions{EmitDefaultValues: dir == output && b.json.GetEmitDefaults()})
		if err != nil || len(without) == 0 {
			return text, err
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(text, &fields); err != nil {
			return nil, err
		}
		for number := range without {
			delete(fields, b.fieldNames(md)[md.Fields().ByNumber(number).Index()])
		}
		return json.Marshal(fields)
	}
}

// fieldRewriter rewrites examples of a field's value. Text may stand for itself: examples
// of strings often lack their quotes.
func (b *builder) fieldRewriter(fd protoreflect.FieldDescriptor, dir direction) rewriter {
	md := fd.ContainingMessage()
	name := b.fieldNames(md)[fd.Index()]
	return func(example json.RawMessage) (json.RawMessage, error) {
		quoted, _ := json.Marshal(string(example)) // a string can be written
		var failed error
		for _, value := range []json.RawMessage{example, quoted} {
			for _, o := range []protojson.MarshalOptions{{EmitDefaultValues: dir == output && b.json.GetEmitDefaults()}, {EmitUnpopulated: true}} {
				text, err := b.throughMessage(md, fmt.Appendf(nil, "{%q:%s}", fd.TextName(), value), o)
				if err != nil {
					failed = errors.Join(failed, err)
					break
				}
				var fields map[string]json.RawMessage
				if err := json.Unmarshal(text, &fields); err != nil {
					return nil, err
				}
				if value, ok := fields[name]; ok {
					return value, nil
				}
			}
		}
		if failed != nil {
			return nil, fmt.Errorf("it is no value of the field %s", fd.Name())
		}
		return nil, fmt.Errorf("JSON has no field %s", name)
	}
}

// throughMessage reads an example as a message, and writes it as the gateway does.
func (b *builder) throughMessage(md protoreflect.MessageDescriptor, example json.RawMessage, o protojson.MarshalOptions) (json.RawMessage, error) {
	m := dynamicpb.NewMessage(md)
	if err := (protojson.UnmarshalOptions{AllowPartial: true}).Unmarshal(example, m); err != nil {
		return nil, fmt.Errorf("it is no %s in JSON", md.FullName())
	}
	o.AllowPartial, o.UseProtoNames, o.UseEnumNumbers = true, b.json.GetProtoNames(), b.json.GetEnumNumbers()
	text, err := o.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("it is no %s in JSON", md.FullName())
	}
	return compacted(text), nil
}

// compacted is JSON without white space.
func compacted(text json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return text // never: it is JSON
	}
	return b.Bytes()
}

// decoded is a value in JSON, with its numbers as they are written.
func decoded(text json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var value any
	err := d.Decode(&value)
	return value, err
}

// takes returns what is wrong with a value by the keywords that this package writes, but
// for formats: those of annotations are not ours to judge.
func (s *schema) takes(v any) error {
	if s.to != nil {
		return s.to.schema.takes(v)
	}
	if len(s.AnyOf) > 0 && !slices.ContainsFunc(s.AnyOf, func(one *schema) bool { return one.takes(v) == nil }) {
		return errors.New("none of the alternatives fits")
	}
	if s.Not != nil && s.Not.takes(v) == nil {
		return errors.New("the value is one of those that are ruled out")
	}
	name := typeOf(v)
	if !s.hasType(name) {
		return fmt.Errorf("it has a %s where the schema wants %v", name, s.Type)
	}
	if s.Enum != nil && !contains(s.Enum, v) || s.Const != nil && !contains([]any{s.Const}, v) {
		return fmt.Errorf("%v is not a value that is taken", v)
	}
	switch v := v.(type) {
	case string:
		return s.takesText(v)
	case json.Number:
		return s.takesNumber(v)
	case []any:
		return s.takesList(v)
	case map[string]any:
		return s.takesObject(v)
	default:
		return nil
	}
}

func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return typeNull
	case bool:
		return typeBoolean
	case string:
		return typeString
	case json.Number:
		if _, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return typeInteger
		}
		return typeNumber
	case []any:
		return typeArray
	default:
		return typeObject
	}
}

func (s *schema) hasType(name string) bool {
	var types []string
	switch t := s.Type.(type) {
	case string:
		types = []string{t}
	case []string:
		types = t
	default:
		return true
	}
	return slices.Contains(types, name) || name == typeInteger && slices.Contains(types, typeNumber)
}

func contains(list []any, v any) bool {
	return slices.ContainsFunc(list, func(one any) bool { return fmt.Sprint(one) == fmt.Sprint(v) })
}

func (s *schema) takesText(text string) error {
	length := uint64(utf8.RuneCountInString(text))
	if length < s.MinLength || s.MaxLength != nil && length > *s.MaxLength {
		return fmt.Errorf("%q has a length of %d characters, which is refused", text, length)
	}
	if pattern, err := regexp.Compile(s.Pattern); err == nil && !pattern.MatchString(text) {
		return fmt.Errorf("%q does not match %s", text, s.Pattern)
	}
	return nil
}

func (s *schema) takesNumber(number json.Number) error {
	n, err := number.Float64()
	if err != nil {
		return fmt.Errorf("%s is out of range", number)
	}
	beyond := func(bound any, outside func(float64) bool) bool {
		limit, err := strconv.ParseFloat(fmt.Sprint(bound), 64)
		return bound != nil && err == nil && outside(limit)
	}
	if beyond(s.Minimum, func(least float64) bool { return n < least }) || beyond(s.ExclusiveMinimum, func(below float64) bool { return n <= below }) ||
		beyond(s.Maximum, func(most float64) bool { return n > most }) || beyond(s.ExclusiveMaximum, func(above float64) bool { return n >= above }) {
		return fmt.Errorf("%s is out of range", number)
	}
	return nil
}

func (s *schema) takesList(list []any) error {
	if n := uint64(len(list)); n < s.MinItems || s.MaxItems != nil && n > *s.MaxItems {
		return fmt.Errorf("a list of %d is refused", n)
	}
	for i, v := range list {
		if s.Items != nil {
			if err := s.Items.takes(v); err != nil {
				return err
			}
		}
		if s.UniqueItems && contains(list[:i], v) {
			return fmt.Errorf("%v is there twice", v)
		}
	}
	return nil
}

func (s *schema) takesObject(object map[string]any) error {
	for _, name := range s.Required {
		if _, ok := object[name]; !ok {
			return fmt.Errorf("it lacks %s", name)
		}
	}
	if n := uint64(len(object)); n < s.MinProperties || s.MaxProperties != nil && n > *s.MaxProperties {
		return fmt.Errorf("%d members are refused", n)
	}
	for name, v := range object {
		if s.PropertyNames != nil {
			if err := s.PropertyNames.takes(name); err != nil {
				return err
			}
		}
		if err := s.takesMember(name, v); err != nil {
			return err
		}
		if other, ok := s.DependentSchemas.get(name); ok && other.takes(object) != nil {
			return fmt.Errorf("it has %s and another field of its oneof", name)
		}
	}
	return nil
}

func (s *schema) takesMember(name string, v any) error {
	if property, ok := s.Properties.get(name); ok {
		return property.takes(v)
	}
	switch additional := s.Additional.(type) {
	case *schema:
		return additional.takes(v)
	case bool:
		if !additional && len(s.PatternProps) == 0 {
			return fmt.Errorf("%s is no field", name)
		}
	}
	return nil
}
