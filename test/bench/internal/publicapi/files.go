package publicapi

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// file is a file that is being made.
type file struct {
	*descriptorpb.FileDescriptorProto
	m *maker
}

func (m *maker) file(path, pkg string) *file {
	f := &file{&descriptorpb.FileDescriptorProto{Name: &path, Package: &pkg, Syntax: new("proto3"), Options: &descriptorpb.FileOptions{
		GoPackage: new("example.com/" + strings.ReplaceAll(pkg, ".", "/")), JavaPackage: new("com." + pkg), JavaMultipleFiles: new(true),
	}}, m}
	if m.Comments {
		f.SourceCodeInfo = new(descriptorpb.SourceCodeInfo)
	}
	m.set.File = append(m.set.File, f.FileDescriptorProto)
	return f
}

// use imports the file of a type.
func (f *file) use(typeName string) { f.imports(f.m.where[typeName]) }

func (f *file) imports(path string) {
	if path != "" && path != f.GetName() && !slices.Contains(f.GetDependency(), path) {
		f.Dependency = append(f.Dependency, path)
	}
}

// tokens are the parts of a declaration that compilers place too: label, type, name
// and number.
var tokens = [...]int32{4, 5, 1, 3}

// note comments on what is at a path, and places it as compilers do.
func (f *file) note(path ...int32) {
	if !f.m.Comments {
		return
	}
	info := f.GetSourceCodeInfo()
	line := int32(len(info.GetLocation()))
	info.Location = append(info.Location, &descriptorpb.SourceCodeInfo_Location{
		Path: path, Span: []int32{line, 2, 40}, LeadingComments: new(f.m.sentence()),
	})
	for i, token := range tokens {
		info.Location = append(info.Location, &descriptorpb.SourceCodeInfo_Location{
			Path: append(slices.Clone(path), token), Span: []int32{line, int32(2 + i*10), int32(10 + i*10)},
		})
	}
}

// enum adds an enum and returns its name.
func (f *file) enum(name string) string {
	e := &descriptorpb.EnumDescriptorProto{Name: &name}
	f.EnumType = append(f.EnumType, e)
	f.note(5, int32(len(f.GetEnumType())-1))
	for i := range 5 + f.m.rand.IntN(4) {
		e.Value = append(e.Value, &descriptorpb.EnumValueDescriptorProto{
			Name: new(fmt.Sprintf("%s_%s_%d", strings.ToUpper(name), strings.ToUpper(word(i)), i)), Number: new(int32(i)),
		})
		f.note(5, int32(len(f.GetEnumType())-1), 2, int32(i))
	}
	full := "." + f.GetPackage() + "." + name
	f.m.where[full] = f.GetName()
	return full
}

// message is a message that is being made.
type message struct {
	*descriptorpb.DescriptorProto
	f    *file
	name string // in full, behind a dot
	path []int32
	in   *int32 // the oneof that fields belong to
}

func (f *file) message(name string) *message {
	msg := &message{&descriptorpb.DescriptorProto{Name: &name}, f, "." + f.GetPackage() + "." + name, []int32{4, int32(len(f.GetMessageType()))}, nil}
	f.MessageType = append(f.MessageType, msg.DescriptorProto)
	f.m.where[msg.name] = f.GetName()
	f.note(msg.path...)
	return msg
}

func (msg *message) nested(name string) *message {
	in := &message{&descriptorpb.DescriptorProto{Name: &name}, msg.f, msg.name + "." + name, append(slices.Clone(msg.path), 3, int32(len(msg.GetNestedType()))), nil}
	msg.NestedType = append(msg.NestedType, in.DescriptorProto)
	msg.f.m.where[in.name] = msg.f.GetName()
	msg.f.note(in.path...)
	return in
}

// field is a field that is being made.
type field struct {
	*descriptorpb.FieldDescriptorProto
	f *file
}

func (msg *message) field(name string, kind descriptorpb.FieldDescriptorProto_Type, typeName string) field {
	parts := strings.Split(name, "_")
	for i, part := range parts[1:] {
		parts[i+1] = title(part)
	}
	fd := &descriptorpb.FieldDescriptorProto{
		Name: &name, JsonName: new(strings.Join(parts, "")), Number: new(int32(len(msg.GetField()) + 1)), Type: kind.Enum(),
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), OneofIndex: msg.in,
	}
	if typeName != "" {
		fd.TypeName = &typeName
		msg.f.use(typeName)
	}
	msg.Field = append(msg.Field, fd)
	msg.f.note(append(slices.Clone(msg.path), 2, int32(len(msg.GetField())-1))...)
	return field{fd, msg.f}
}

func (msg *message) repeated(name string, kind descriptorpb.FieldDescriptorProto_Type, typeName string) {
	msg.field(name, kind, typeName).Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
}

// required marks a field as one that clients must give.
func (fd field) required() {
	fd.behaves(annotations.FieldBehavior_REQUIRED)
}

// behaves gives a field a google.api.field_behavior.
func (fd field) behaves(as annotations.FieldBehavior) {
	if fd.Options == nil {
		fd.Options = new(descriptorpb.FieldOptions)
	}
	proto.SetExtension(fd.Options, annotations.E_FieldBehavior, []annotations.FieldBehavior{as})
	fd.f.imports("google/api/field_behavior.proto")
}

// oneof has what add adds be members of a oneof.
func (msg *message) oneof(name string, add func()) {
	msg.in = new(int32(len(msg.GetOneofDecl())))
	msg.OneofDecl = append(msg.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: &name})
	add()
	msg.in = nil
}

// resource makes a message a resource of a product.
func (msg *message) resource(product string) {
	msg.Options = new(descriptorpb.MessageOptions)
	proto.SetExtension(msg.Options, annotations.E_Resource, &annotations.ResourceDescriptor{
		Type: product + ".acme.example/" + msg.GetName(), Pattern: []string{"projects/{project}/locations/{location}/" + product + "/{thing}"},
	})
	msg.f.imports("google/api/resource.proto")
	msg.field("name", descriptorpb.FieldDescriptorProto_TYPE_STRING, "").behaves(annotations.FieldBehavior_IDENTIFIER)
	msg.field("create_time", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".google.protobuf.Timestamp").behaves(annotations.FieldBehavior_OUTPUT_ONLY)
}

// fill adds fields of all kinds.
func (msg *message) fill(n int, types pool) {
	r := msg.f.m.rand
	for range n {
		name := fmt.Sprintf("%s_%s_%d", word(r.IntN(len(words))), word(r.IntN(len(words))), len(msg.GetField())+1)
		switch kind := r.IntN(20); {
		case kind < 8:
			msg.field(name, descriptorpb.FieldDescriptorProto_TYPE_STRING, "").behaves(annotations.FieldBehavior_OPTIONAL)
		case kind < 11:
			msg.field(name, [...]descriptorpb.FieldDescriptorProto_Type{
				descriptorpb.FieldDescriptorProto_TYPE_INT32, descriptorpb.FieldDescriptorProto_TYPE_INT64, descriptorpb.FieldDescriptorProto_TYPE_BOOL,
				descriptorpb.FieldDescriptorProto_TYPE_DOUBLE, descriptorpb.FieldDescriptorProto_TYPE_BYTES,
			}[r.IntN(5)], "")
		case kind == 11:
			msg.repeated(name, descriptorpb.FieldDescriptorProto_TYPE_STRING, "")
		case kind < 14:
			msg.field(name, descriptorpb.FieldDescriptorProto_TYPE_ENUM, types.enums[r.IntN(len(types.enums))])
		case kind == 14:
			msg.mapOf(name)
		case kind == 15:
			msg.oneof(name+"_choice", func() {
				for i := range 3 {
					msg.field(fmt.Sprintf("%s_%d", name, i), descriptorpb.FieldDescriptorProto_TYPE_STRING, "")
				}
			})
		case kind == 16 && len(types.messages) > 0:
			msg.repeated(name, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, types.messages[r.IntN(len(types.messages))])
		case len(types.messages) > 0:
			msg.field(name, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, types.messages[r.IntN(len(types.messages))])
		}
	}
}

// mapOf adds a map of texts.
func (msg *message) mapOf(name string) {
	var entry strings.Builder
	for part := range strings.SplitSeq(name, "_") {
		entry.WriteString(title(part))
	}
	in := msg.nested(entry.String() + "Entry")
	in.Options = &descriptorpb.MessageOptions{MapEntry: new(true)}
	in.field("key", descriptorpb.FieldDescriptorProto_TYPE_STRING, "")
	in.field("value", descriptorpb.FieldDescriptorProto_TYPE_STRING, "")
	msg.repeated(name, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, in.name)
}

var words = strings.Fields("account address archive asset backup balance batch bucket cache channel cluster column connector " +
	"contact container context device disk domain endpoint entity event export feature filter folder function gateway group " +
	"handler health image index instance inventory job key label lease ledger limit listener location log machine member " +
	"message metric model network node object order package partition peer pipeline policy pool port price profile project")

func word(i int) string { return words[i%len(words)] }

func title(word string) string { return strings.ToUpper(word[:1]) + word[1:] }

func lastDot(name string) int { return strings.LastIndexByte(name, '.') }

// organizations is the path of the same for an organization instead of a project.
func organizations(path string) string {
	return strings.Replace(path, "projects/*", "organizations/*", 1)
}

// sentence is a comment.
func (m *maker) sentence() string {
	var text strings.Builder
	text.WriteString(" The")
	for range 4 + m.texts.IntN(14) {
		text.WriteString(" " + word(m.texts.IntN(len(words))))
	}
	return text.String() + ".\n"
}
