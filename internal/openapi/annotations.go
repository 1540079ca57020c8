package openapi

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

// The annotations of others that are read: those of grpc-gateway's protoc-gen-openapiv2,
// and those of gnostic, of which two packages are in use. Where both are there, the first
// that says something counts.
var annotationNames = []protoreflect.FullName{
	"grpc.gateway.protoc_gen_openapiv2.options.openapiv2_swagger",
	"grpc.gateway.protoc_gen_openapiv2.options.openapiv2_operation",
	"grpc.gateway.protoc_gen_openapiv2.options.openapiv2_schema",
	"grpc.gateway.protoc_gen_openapiv2.options.openapiv2_enum",
	"grpc.gateway.protoc_gen_openapiv2.options.openapiv2_tag",
	"grpc.gateway.protoc_gen_openapiv2.options.openapiv2_field",
	"openapi.v3.document", "openapi.v3.operation", "openapi.v3.schema", "openapi.v3.property",
	"gnostic.openapi.v3.document", "gnostic.openapi.v3.operation", "gnostic.openapi.v3.schema", "gnostic.openapi.v3.property",
}

// annotationTypes are the annotations that a contract can have, by the full name of the
// options in which they stand.
type annotationTypes map[protoreflect.FullName][]protoreflect.ExtensionDescriptor

// findAnnotations finds the annotations of others that files import. A contract that uses
// an annotation has its definition, so none need be linked into the gateway.
func findAnnotations(files []protoreflect.FileDescriptor) annotationTypes {
	types := annotationTypes{}
	for _, name := range annotationNames {
		for _, file := range files {
			if file.Package() != name.Parent() {
				continue
			}
			if xd := file.Extensions().ByName(name.Name()); xd != nil && xd.Message() != nil && !xd.IsList() {
				of := xd.ContainingMessage().FullName()
				types[of] = append(types[of], xd)
			}
		}
	}
	return types
}

// annotationsOf reads the annotations of a declaration. One that is damaged is a warning.
func (b *builder) annotationsOf(d protoreflect.Descriptor) []annotation {
	if len(b.foreign) == 0 || d.Options() == nil {
		return nil
	}
	list, known := b.said[d]
	if known {
		return list
	}
	for _, xd := range b.foreign[d.Options().ProtoReflect().Descriptor().FullName()] {
		wire, found := contract.RawOption(d, xd.Number())
		if !found {
			continue
		}
		s := annotation{m: dynamicpb.NewMessage(xd.Message()), of: d, path: string(xd.Name())}
		if (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(wire, s.m.Interface()) != nil {
			b.warn(s, "", "it is damaged, and ignored: its bytes are no %s", xd.Message().FullName())
			continue
		}
		list = append(list, s)
	}
	b.said[d] = list
	return list
}

// annotation is an annotation of another tool, or a message within one. Its fields are
// read by their names: a field that this version of the annotation does not have, or has in
// another form, reads as if it were not set. In the zero annotation no field is set.
type annotation struct {
	m    protoreflect.Message // nil: no field is set
	of   protoreflect.Descriptor
	path string // such as "openapiv2_operation.external_docs"
}

// field returns a field that is set, or nil.
func (s annotation) field(name string) protoreflect.FieldDescriptor {
	if s.m == nil {
		return nil
	}
	fd := s.m.Descriptor().Fields().ByName(protoreflect.Name(name))
	if fd == nil || !s.m.Has(fd) {
		return nil
	}
	return fd
}

// text returns a string.
func (s annotation) text(name string) string {
	fd := s.field(name)
	if fd == nil || fd.Kind() != protoreflect.StringKind || fd.IsList() {
		return ""
	}
	text := strings.ToValidUTF8(s.m.Get(fd).String(), "\ufffd")
	switch name {
	case "title", "summary", "description":
		return withoutInternal(text)
	}
	return text
}

// flag returns a bool.
func (s annotation) flag(name string) bool {
	fd := s.field(name)
	return fd != nil && fd.Kind() == protoreflect.BoolKind && !fd.IsList() && s.m.Get(fd).Bool()
}

// texts returns a list of strings.
func (s annotation) texts(name string) []string {
	fd := s.field(name)
	if fd == nil || fd.Kind() != protoreflect.StringKind || !fd.IsList() {
		return nil
	}
	list := make([]string, s.m.Get(fd).List().Len())
	for i := range list {
		list[i] = strings.ToValidUTF8(s.m.Get(fd).List().Get(i).String(), "\ufffd")
	}
	return list
}

// choice returns the name of an enum's value in lower case, or a string.
func (s annotation) choice(name string) string {
	fd := s.field(name)
	if fd == nil || fd.Kind() != protoreflect.EnumKind || fd.IsList() {
		return s.text(name)
	}
	value := fd.Enum().Values().ByNumber(s.m.Get(fd).Enum())
	if value == nil {
		return ""
	}
	return strings.ToLower(string(value.Name()))
}

// within returns a message.
func (s annotation) within(name string) annotation {
	fd := s.field(name)
	if fd == nil || fd.Message() == nil || fd.IsList() || fd.IsMap() {
		return annotation{}
	}
	return annotation{s.m.Get(fd).Message(), s.of, s.path + "." + name}.unwrapped()
}

// at is the annotation with a longer path, for what is said about one of its fields.
func (s annotation) at(name string) annotation {
	s.path += "." + name
	return s
}

// unwrapped is the message that one of gnostic's unions holds, nothing for a reference:
// what it refers to is not in the document.
func (s annotation) unwrapped() annotation {
	union := s.m.Descriptor().Oneofs().ByName("oneof")
	if union == nil {
		return s
	}
	fd := s.m.WhichOneof(union)
	if fd == nil || fd.Message() == nil || fd.Name() == "reference" {
		return annotation{}
	}
	return annotation{s.m.Get(fd).Message(), s.of, s.path}
}

// all yields the messages of a list with their names: of a map, of a list of messages
// that have a name, and of gnostic's, whose items are a name and a value, in a message of
// their own or not.
func (s annotation) all(name string) iter.Seq2[string, annotation] {
	return func(yield func(string, annotation) bool) {
		fd := s.field(name)
		switch {
		case fd == nil || fd.Message() == nil:
		case fd.IsMap() && fd.MapValue().Message() != nil:
			entries := s.m.Get(fd).Map()
			var keys []protoreflect.MapKey
			entries.Range(func(key protoreflect.MapKey, _ protoreflect.Value) bool {
				keys = append(keys, key)
				return true
			})
			slices.SortFunc(keys, func(a, b protoreflect.MapKey) int { return strings.Compare(a.String(), b.String()) })
			for _, key := range keys {
				if !yield(key.String(), annotation{entries.Get(key).Message(), s.of, fmt.Sprintf("%s.%s[%q]", s.path, name, key)}) {
					return
				}
			}
		case fd.IsList():
			for i := range s.m.Get(fd).List().Len() {
				item := annotation{s.m.Get(fd).List().Get(i).Message(), s.of, fmt.Sprintf("%s.%s[%d]", s.path, name, i)}.unwrapped()
				value := item
				if item.field("value") != nil && item.within("value").m != nil {
					value = item.within("value")
				}
				if value.m != nil && !yield(item.text("name"), value) {
					return
				}
			}
		default:
			for key, value := range s.within(name).all("additional_properties") {
				if !yield(key, value) {
					return
				}
			}
		}
	}
}

// mapped yields the texts of a map by their names.
func (s annotation) mapped(name string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		fd := s.field(name)
		if fd == nil || !fd.IsMap() || fd.MapValue().Kind() != protoreflect.StringKind {
			return
		}
		s.m.Get(fd).Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
			return yield(key.String(), value.String())
		})
	}
}

// value is the JSON of a value: a text of JSON, a google.protobuf.Value, or YAML in
// gnostic's Any. Text that is no JSON is a string. The result is nil where nothing is said.
func (s annotation) value(name string) json.RawMessage {
	fd := s.field(name)
	switch {
	case fd == nil:
		return nil
	case fd.Kind() == protoreflect.StringKind:
		return jsonOf(s.text(name))
	default:
		return s.within(name).asValue()
	}
}

func (s annotation) asValue() json.RawMessage {
	if s.m == nil {
		return nil
	}
	if s.m.Descriptor().FullName() == "google.protobuf.Value" {
		text, err := protojson.Marshal(s.m.Interface())
		if err != nil {
			return nil // nothing is in it
		}
		return jsonOf(string(text))
	}
	text := s.text("yaml")
	if text == "" {
		return nil
	}
	var node yaml.Node
	if yaml.Unmarshal([]byte(text), &node) != nil || hasAlias(&node) {
		return jsonOf(text)
	}
	var parsed any
	if node.Decode(&parsed) != nil {
		return jsonOf(text)
	}
	written, err := json.Marshal(parsed)
	if err != nil { // such as keys that are no strings
		return nil
	}
	return written
}

// hasAlias reports whether there is an alias, by which a short text could become a value of
// any size. Such a text stands for itself.
func hasAlias(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || slices.ContainsFunc(n.Content, hasAlias)
}

// jsonOf is text that is JSON, or the JSON of the text.
func jsonOf(text string) json.RawMessage {
	if raw := json.RawMessage(text); json.Valid(raw) {
		return compacted(raw)
	}
	quoted, _ := json.Marshal(text) // a string can be written
	return quoted
}

// warn notes that an annotation says what the document does not. name is the field in it, "" for
// all of it.
func (b *builder) warn(s annotation, name, format string, args ...any) {
	element := string(s.of.FullName())
	if _, isFile := s.of.(protoreflect.FileDescriptor); isFile {
		element = ""
	} else {
		element += ": "
	}
	if name != "" {
		name = "." + name
	}
	b.warnings = append(b.warnings, fmt.Sprintf("%s: %s(%s%s): %s", s.of.ParentFile().Path(), element, s.path, name, fmt.Sprintf(format, args...)))
}

// refuse warns of each field that is set, and neither read nor in agreement with the
// document. With a nil agrees, none of the fields agrees.
func (b *builder) refuse(s annotation, agrees func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool, read ...string) {
	if s.m == nil {
		return
	}
	s.m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if name := string(fd.Name()); !slices.Contains(read, name) && (agrees == nil || !agrees(fd, v)) {
			b.warn(s, name, "not published: %s", rightOf(name))
		}
		return true
	})
}

// rightOf says what decides in the document what a field of an annotation is about.
func rightOf(field string) string {
	for _, one := range rights {
		if slices.Contains(one.fields, field) {
			return one.text
		}
	}
	return "the document has nothing of the kind"
}

var rights = []struct {
	fields []string
	text   string
}{
	{[]string{"host", "base_path", "schemes", "servers"}, "openapi.servers of the configuration says where the API is served"},
	{[]string{"consumes", "produces", "content"}, "the gateway takes and gives JSON, and files as google.api.HttpBody"},
	{[]string{"security", "security_definitions"}, "policy.auth and authenticators say who may call"},
	{[]string{"components"}, "schemas come from messages, errors from errors.format, and security from authenticators"},
	{[]string{"paths"}, "google.api.http and the configuration say which paths there are"},
	{[]string{"callbacks", "links"}, "the gateway has none"},
	{[]string{"default"}, "a field that is not sent has the default value of protobuf"},
	{[]string{"read_only"}, "say it with (google.api.field_behavior) = OUTPUT_ONLY"},
	{[]string{"write_only"}, "say it with (google.api.field_behavior) = INPUT_ONLY"},
	{[]string{"required"}, "nothing refuses a request without it: say it with (google.api.field_behavior) = REQUIRED or buf.validate"},
	{[]string{
		"multiple_of", "maximum", "exclusive_maximum", "minimum", "exclusive_minimum", "max_length", "min_length", "pattern",
		"max_items", "min_items", "unique_items", "max_properties", "min_properties",
	}, "nothing refuses other values: say it with buf.validate"},
	{[]string{
		"type", "ref", "schema", "array", "items", "enum", "properties", "additional_properties", "all_of", "one_of", "any_of",
		"not", "nullable", "discriminator", "xml",
	}, "the schema is that of what the gateway takes and gives"},
	{[]string{"path_param_name"}, "variables of paths have the names of google.api.resource, or of fields"},
}
