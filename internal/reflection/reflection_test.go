package reflection_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gatehouse-dev/gatehouse/internal/reflection"
)

// contract has one service of two methods, messages that only hold others, and
// extensions.
const contract = `
file {
  name: "b.proto" package: "b" syntax: "proto2"
  message_type { name: "Shared" field { name: "x" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } extension_range { start: 100 end: 200 } }
  message_type { name: "Internal" field { name: "secret" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
  enum_type { name: "InternalKind" value { name: "NONE" number: 0 } }
}
file {
  name: "a.proto" package: "a" syntax: "proto2" dependency: "b.proto"
  source_code_info { location { path: 4 path: 0 span: 1 span: 1 span: 1 leading_comments: "not for you" } }
  message_type {
    name: "Outer"
    field { name: "hidden" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    nested_type { name: "Inner" field { name: "shared" number: 1 type: TYPE_MESSAGE type_name: ".b.Shared" label: LABEL_OPTIONAL } }
    nested_type { name: "Unused" }
    enum_type { name: "Kind" value { name: "ZERO" number: 0 } }
    extension { name: "more" number: 101 extendee: ".b.Shared" type: TYPE_MESSAGE type_name: ".a.More" label: LABEL_OPTIONAL }
  }
  message_type { name: "More" field { name: "kind" number: 1 type: TYPE_ENUM type_name: ".a.Outer.Kind" label: LABEL_OPTIONAL } }
  message_type { name: "Secret" extension_range { start: 1 end: 10 } }
  extension { name: "other" number: 1 extendee: ".a.Secret" type: TYPE_STRING label: LABEL_OPTIONAL }
  service {
    name: "S"
    method { name: "Hidden" input_type: ".a.Secret" output_type: ".b.Internal" }
    method { name: "Shown" input_type: ".a.Outer.Inner" output_type: ".b.Shared" options { deprecated: true } }
  }
}`

func files(t *testing.T, text string) *protoregistry.Files {
	t.Helper()
	set := new(descriptorpb.FileDescriptorSet)
	if err := prototext.Unmarshal([]byte(text), set); err != nil {
		t.Fatal(err)
	}
	// An option that is not descriptor.proto's own.
	for _, f := range set.GetFile() {
		for _, s := range f.GetService() {
			for _, m := range s.GetMethod() {
				if m.GetOptions() == nil {
					m.Options = new(descriptorpb.MethodOptions)
				}
				m.GetOptions().ProtoReflect().SetUnknown([]byte{0xfa, 0xff, 0x01, 0x02, 'n', 'o'})
			}
		}
	}
	all, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func upstream(t *testing.T, name string, all *protoregistry.Files, methods ...protoreflect.FullName) reflection.Upstream {
	t.Helper()
	u := reflection.Upstream{Name: name}
	for _, m := range methods {
		d, err := all.FindDescriptorByName(m)
		if err != nil {
			t.Fatal(err)
		}
		u.Methods = append(u.Methods, d.(protoreflect.MethodDescriptor))
	}
	all.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Extensions().Len() {
			u.Extensions = append(u.Extensions, f.Extensions().Get(i))
		}
		for i := range f.Messages().Len() {
			nested := f.Messages().Get(i).Extensions()
			for j := range nested.Len() {
				u.Extensions = append(u.Extensions, nested.Get(j))
			}
		}
		return true
	})
	return u
}

// names are all messages, enums, fields, extensions and methods that are shown.
func names(c *reflection.Contract) (list []string) {
	var messages func(protoreflect.MessageDescriptors)
	enums := func(all protoreflect.EnumDescriptors) {
		for i := range all.Len() {
			list = append(list, string(all.Get(i).FullName()))
		}
	}
	fields := func(n int, get func(int) protoreflect.FieldDescriptor) {
		for i := range n {
			list = append(list, string(get(i).FullName()))
		}
	}
	messages = func(all protoreflect.MessageDescriptors) {
		for i := range all.Len() {
			m := all.Get(i)
			list = append(list, string(m.FullName()))
			fields(m.Fields().Len(), m.Fields().Get)
			fields(m.Extensions().Len(), func(i int) protoreflect.FieldDescriptor { return m.Extensions().Get(i) })
			messages(m.Messages())
			enums(m.Enums())
		}
	}
	c.Files().RangeFiles(func(f protoreflect.FileDescriptor) bool {
		messages(f.Messages())
		enums(f.Enums())
		fields(f.Extensions().Len(), func(i int) protoreflect.FieldDescriptor { return f.Extensions().Get(i) })
		for i := range f.Services().Len() {
			for j := range f.Services().Get(i).Methods().Len() {
				list = append(list, string(f.Services().Get(i).Methods().Get(j).FullName()))
			}
		}
		return true
	})
	slices.Sort(list)
	return list
}

func TestPruned(t *testing.T) {
	t.Parallel()
	c, leftOut, err := reflection.New([]reflection.Upstream{upstream(t, "u", files(t, contract), "a.S.Shown")}, nil)
	if err != nil || leftOut != nil {
		t.Fatal(leftOut, err)
	}
	want := []string{
		"a.More", "a.More.kind", "a.Outer", "a.Outer.Inner", "a.Outer.Inner.shared", "a.Outer.Kind", "a.Outer.more",
		"a.S.Shown", "b.Shared", "b.Shared.x",
	}
	if got := names(c); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	c.Files().RangeFiles(func(f protoreflect.FileDescriptor) bool {
		p := protodesc.ToFileDescriptorProto(f)
		text, err := proto.Marshal(p)
		if err != nil || strings.Contains(string(text), "\x02no") || f.SourceLocations().Len() > 0 {
			t.Errorf("%s: %v, %v", f.Path(), p, err)
		}
		return true
	})
	d, err := c.Files().FindDescriptorByName("a.S.Shown")
	if err != nil || !d.Options().(*descriptorpb.MethodOptions).GetDeprecated() {
		t.Errorf("deprecated is lost: %v", err)
	}
}

// TestUpstreamsThatDiffer: what two have of one file is shown together; a contract
// that contradicts another is left out.
func TestUpstreamsThatDiffer(t *testing.T) {
	t.Parallel()
	first := upstream(t, "first", files(t, contract), "a.S.Shown")
	hidden := upstream(t, "hidden", files(t, contract), "a.S.Hidden")
	enum := upstream(t, "wrong", files(t, strings.NewReplacer(
		`message_type { name: "Internal" field { name: "secret" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }`,
		`message_type { name: "Internal" field { name: "x" number: 1 type: TYPE_ENUM type_name: ".b.Shared" label: LABEL_OPTIONAL } }`,
		`message_type { name: "Shared" field { name: "x" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } extension_range { start: 100 end: 200 } }`,
		`enum_type { name: "Shared" value { name: "NOTHING" number: 0 } }`,
		`type: TYPE_MESSAGE type_name: ".b.Shared"`, `type: TYPE_STRING`,
		`extension { name: "more" number: 101 extendee: ".b.Shared" type: TYPE_MESSAGE type_name: ".a.More" label: LABEL_OPTIONAL }`, ``,
		`output_type: ".b.Shared"`, `output_type: ".a.More"`,
	).Replace(contract)), "a.S.Hidden")
	c, leftOut, err := reflection.New([]reflection.Upstream{first, hidden}, nil)
	if err != nil || leftOut != nil || !slices.Contains(names(c), "b.Internal.secret") || !slices.Contains(names(c), "a.S.Shown") {
		t.Errorf("two that agree: %v, %v", leftOut, err)
	}
	c, leftOut, err = reflection.New([]reflection.Upstream{first, enum, hidden}, nil)
	if err != nil || !slices.Equal(leftOut, []string{"wrong"}) || !slices.Contains(names(c), "b.Internal.secret") {
		t.Errorf("two that differ: %v, %v", leftOut, err)
	}
}
