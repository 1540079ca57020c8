package transcode_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	// The messages that the schemas below name.
	_ "google.golang.org/genproto/googleapis/api/httpbody"
	_ "google.golang.org/protobuf/types/known/anypb"
	_ "google.golang.org/protobuf/types/known/durationpb"
	_ "google.golang.org/protobuf/types/known/emptypb"
	_ "google.golang.org/protobuf/types/known/fieldmaskpb"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/timestamppb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"
)

// imports are the files that every schema below may name messages of.
var imports = []string{
	"google/protobuf/any.proto", "google/protobuf/duration.proto", "google/protobuf/empty.proto",
	"google/protobuf/field_mask.proto", "google/protobuf/struct.proto", "google/protobuf/timestamp.proto",
	"google/protobuf/wrappers.proto", "google/api/httpbody.proto",
}

const proto3Schema = `
enum Color COLOR_UNSPECIFIED=0 RED=1 BLUE=-5 ALIAS_RED=1
message Leaf
  string name 1
  int32 size 2
  Leaf child 3
  repeated Leaf children 4
  map string Leaf by_name 5
message All
  bool f_bool 1
  int32 f_int32 2
  int64 f_int64 3
  uint32 f_uint32 4
  uint64 f_uint64 5
  sint32 f_sint32 6
  sint64 f_sint64 7
  fixed32 f_fixed32 8
  fixed64 f_fixed64 9
  sfixed32 f_sfixed32 10
  sfixed64 f_sfixed64 11
  float f_float 12
  double f_double 13
  string f_string 14
  bytes f_bytes 15
  Color f_color 16
  Leaf f_leaf 17
  google.protobuf.NullValue f_null 18
  repeated bool r_bool 20
  repeated int32 r_int32 21
  repeated sint64 r_sint64 22
  repeated fixed32 r_fixed32 23
  repeated double r_double 24
  repeated string r_string 25
  repeated bytes r_bytes 26
  repeated Color r_color 27
  repeated Leaf r_leaf 28
  repeated google.protobuf.NullValue r_null 29
  map string string m_string 30
  map int32 int32 m_int32 31
  map int64 int64 m_int64 32
  map uint32 uint32 m_uint32 33
  map uint64 uint64 m_uint64 34
  map sint32 sint32 m_sint32 35
  map fixed64 double m_fixed64 36
  map bool Color m_bool 37
  map string Leaf m_leaf 38
  map string google.protobuf.Value m_value 39
  map string google.protobuf.NullValue m_null 49
  oneof pick string p_string 50
  oneof pick int32 p_int32 51
  oneof pick Leaf p_leaf 52
  oneof pick google.protobuf.NullValue p_null 53
  oneof pick google.protobuf.Value p_value 54
  optional int32 o_int32 40
  optional string o_string 41
  optional bytes o_bytes 42
  optional Color o_color 43
  optional double o_double 44
  google.protobuf.Timestamp w_timestamp 60
  google.protobuf.Duration w_duration 61
  google.protobuf.FieldMask w_mask 62
  google.protobuf.Struct w_struct 63
  google.protobuf.Value w_value 64
  google.protobuf.ListValue w_list 65
  google.protobuf.Any w_any 66
  google.protobuf.Empty w_empty 67
  google.protobuf.BoolValue w_bool 70
  google.protobuf.Int32Value w_int32 71
  google.protobuf.Int64Value w_int64 72
  google.protobuf.UInt32Value w_uint32 73
  google.protobuf.UInt64Value w_uint64 74
  google.protobuf.FloatValue w_float 75
  google.protobuf.DoubleValue w_double 76
  google.protobuf.StringValue w_string 77
  google.protobuf.BytesValue w_bytes 78
  repeated google.protobuf.Timestamp rw_timestamp 80
  repeated google.protobuf.Value rw_value 81
  repeated google.protobuf.Int64Value rw_int64 82
  repeated google.protobuf.Any rw_any 83
  All f_all 90
`

const proto2Schema = `
enum Kind FIRST=3 SECOND=7
message Part
  required string id 1
  optional int32 count 2
  extensions 100 200
message Old
  required int32 must 1
  optional Kind kind 2
  repeated int32 loose 3
  packed int32 tight 4
  optional Part part 5
  repeated Part parts 6
  map string Part by_id 7
  group Inner 8
  repeatedgroup Item 9
  optional string text 10
  oneof pick string a 11
  oneof pick Part b 12
  optional google.protobuf.Any any 13
  extensions 100 200
message Old.Inner
  optional string x 1
  required int32 y 2
message Old.Item
  optional string x 1
extend Old optional int32 ext_number 100
extend Old repeated string ext_names 101
extend Old optional Part ext_part 102
extend Part optional bool ext_flag 100
`

const editionSchema = `
enum Closed ON=1 OFF=2
enum Open UNKNOWN=0 KNOWN=1
message Modern
  optional int32 explicit 1
  implicit int32 implied 2
  required string must 3
  delimited Modern wrapped 4
  repeateddelimited Part list 5
  expanded int32 expanded 6
  repeated int32 packed 7
  optional Closed closed 8
  optional Open open 9
  map string Part parts 10
message Part
  implicit string name 1
`

// schema is a file compiled for a test with what it takes to find its types.
type schema struct {
	file  protoreflect.FileDescriptor
	types *dynamicpb.Types
}

func (s schema) message(tb testing.TB, name string) protoreflect.MessageDescriptor {
	tb.Helper()
	md := s.file.Messages().ByName(protoreflect.Name(name))
	if md == nil {
		tb.Fatalf("no message %s in the schema", name)
	}
	return md
}

// newSchema compiles one of the texts above.
func newSchema(tb testing.TB, syntax, text string) schema {
	tb.Helper()
	b := schemaBuilder{file: &descriptorpb.FileDescriptorProto{
		Name: new(syntax + ".proto"), Package: new("test." + syntax), Dependency: imports,
	}}
	switch syntax {
	case "editions":
		b.file.Syntax, b.file.Edition = new(syntax), descriptorpb.Edition_EDITION_2023.Enum()
	default:
		b.file.Syntax = new(syntax)
	}
	for line := range strings.Lines(text) {
		b.line(strings.Fields(line))
	}
	file, err := protodesc.NewFile(b.file, protoregistry.GlobalFiles)
	if err != nil {
		tb.Fatal(err)
	}
	files := new(protoregistry.Files)
	for _, path := range imports {
		fd, err := protoregistry.GlobalFiles.FindFileByPath(path)
		if err == nil {
			err = files.RegisterFile(fd)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := files.RegisterFile(file); err != nil {
		tb.Fatal(err)
	}
	return schema{file: file, types: dynamicpb.NewTypes(files)}
}

type schemaBuilder struct {
	file *descriptorpb.FileDescriptorProto
	msg  *descriptorpb.DescriptorProto
}

func (b *schemaBuilder) line(w []string) {
	if len(w) == 0 {
		return
	}
	switch w[0] {
	case "message":
		b.message(w[1])
	case "enum":
		b.enum(w[1], w[2:])
	case "extensions":
		b.msg.ExtensionRange = append(b.msg.ExtensionRange,
			&descriptorpb.DescriptorProto_ExtensionRange{Start: new(number(w[1])), End: new(number(w[2]))})
	case "extend":
		f := b.field(w[2:])
		f.Extendee = new(b.scope(w[1]))
		b.file.Extension = append(b.file.Extension, f)
	case "oneof":
		f := b.field(w[2:])
		f.OneofIndex = new(b.oneof(w[1]))
		b.msg.Field = append(b.msg.Field, f)
	default:
		b.msg.Field = append(b.msg.Field, b.field(w))
	}
}

// message starts a message; "A.B" is nested in A.
func (b *schemaBuilder) message(name string) {
	outer, inner, nested := strings.Cut(name, ".")
	if !nested {
		inner = outer
	}
	b.msg = &descriptorpb.DescriptorProto{Name: new(inner)}
	for _, md := range b.file.GetMessageType() {
		if nested && md.GetName() == outer {
			md.NestedType = append(md.NestedType, b.msg)
			return
		}
	}
	b.file.MessageType = append(b.file.MessageType, b.msg)
}

func (b *schemaBuilder) scope(name string) string {
	if strings.Contains(name, ".") {
		return "." + name
	}
	return "." + b.file.GetPackage() + "." + name
}

func (b *schemaBuilder) oneof(name string) int32 {
	for i, od := range b.msg.GetOneofDecl() {
		if od.GetName() == name {
			return int32(i)
		}
	}
	b.msg.OneofDecl = append(b.msg.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: new(name)})
	return int32(len(b.msg.GetOneofDecl()) - 1)
}

func (b *schemaBuilder) enum(name string, values []string) {
	ed := &descriptorpb.EnumDescriptorProto{Name: new(name), Options: &descriptorpb.EnumOptions{}}
	for _, v := range values {
		key, num, _ := strings.Cut(v, "=")
		if strings.HasPrefix(key, "ALIAS") {
			ed.Options.AllowAlias = new(true)
		}
		ed.Value = append(ed.Value, &descriptorpb.EnumValueDescriptorProto{Name: new(key), Number: new(number(num))})
	}
	if name == "Closed" {
		ed.Options.Features = &descriptorpb.FeatureSet{EnumType: descriptorpb.FeatureSet_CLOSED.Enum()}
	}
	b.file.EnumType = append(b.file.EnumType, ed)
}

// field reads "[label] type name number".
func (b *schemaBuilder) field(w []string) *descriptorpb.FieldDescriptorProto {
	f := &descriptorpb.FieldDescriptorProto{Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	switch w[0] {
	case "map":
		return b.mapField(w)
	case "group", "repeatedgroup":
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_GROUP.Enum()
		f.TypeName = new(b.scope(b.msg.GetName()) + "." + w[1])
		f.Name, f.Number = new(strings.ToLower(w[1])), new(number(w[2]))
		if w[0] != "group" {
			f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		}
		return f
	}
	if len(w) == 4 {
		b.label(f, w[0])
		w = w[1:]
	}
	b.typed(f, w[0])
	f.Name, f.Number = new(w[1]), new(number(w[2]))
	return f
}

func (b *schemaBuilder) label(f *descriptorpb.FieldDescriptorProto, label string) {
	features := &descriptorpb.FeatureSet{}
	f.Options = &descriptorpb.FieldOptions{}
	editions := b.file.GetSyntax() == "editions"
	switch label {
	case "repeated", "packed", "expanded", "repeateddelimited":
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	case "required":
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_REQUIRED.Enum()
	case "optional":
		if b.file.GetSyntax() == "proto3" {
			f.Proto3Optional = new(true)
			f.OneofIndex = new(int32(len(b.msg.GetOneofDecl())))
			b.msg.OneofDecl = append(b.msg.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: new(fmt.Sprint("_o", len(b.msg.GetOneofDecl())))})
		}
	case "implicit":
		features.FieldPresence = descriptorpb.FeatureSet_IMPLICIT.Enum()
	}
	switch {
	case label == "packed":
		f.Options.Packed = new(true)
	case label == "expanded":
		features.RepeatedFieldEncoding = descriptorpb.FeatureSet_EXPANDED.Enum()
	case strings.HasSuffix(label, "delimited"):
		features.MessageEncoding = descriptorpb.FeatureSet_DELIMITED.Enum()
	case label == "required" && editions:
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()
		features.FieldPresence = descriptorpb.FeatureSet_LEGACY_REQUIRED.Enum()
	}
	if editions {
		f.Options.Features = features
	}
}

func (b *schemaBuilder) typed(f *descriptorpb.FieldDescriptorProto, name string) {
	if v, ok := descriptorpb.FieldDescriptorProto_Type_value["TYPE_"+strings.ToUpper(name)]; ok {
		f.Type = descriptorpb.FieldDescriptorProto_Type(v).Enum()
		return
	}
	f.TypeName = new(b.scope(name))
	f.Type = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum()
	for _, ed := range b.file.GetEnumType() {
		if ed.GetName() == name {
			f.Type = descriptorpb.FieldDescriptorProto_TYPE_ENUM.Enum()
		}
	}
	if name == "google.protobuf.NullValue" {
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_ENUM.Enum()
	}
}

// mapField reads "map key value name number".
func (b *schemaBuilder) mapField(w []string) *descriptorpb.FieldDescriptorProto {
	camel := ""
	for part := range strings.SplitSeq(w[3], "_") {
		camel += strings.ToUpper(part[:1]) + part[1:]
	}
	b.msg.NestedType = append(b.msg.NestedType, &descriptorpb.DescriptorProto{
		Name:    new(camel + "Entry"),
		Field:   []*descriptorpb.FieldDescriptorProto{b.field([]string{w[1], "key", "1"}), b.field([]string{w[2], "value", "2"})},
		Options: &descriptorpb.MessageOptions{MapEntry: new(true)},
	})
	return &descriptorpb.FieldDescriptorProto{
		Name: new(w[3]), Number: new(number(w[4])),
		Label: descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum(),
		Type:  descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), TypeName: new(b.scope(b.msg.GetName()) + "." + camel + "Entry"),
	}
}

func number(s string) int32 {
	n, _ := strconv.ParseInt(s, 10, 32)
	return int32(n)
}
