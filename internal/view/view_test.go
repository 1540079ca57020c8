package view_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/gatehouse-dev/gatehouse/internal/view"
)

// contract builds the description of a message field by field.
type contract struct {
	all   *descriptorpb.DescriptorProto
	small *descriptorpb.DescriptorProto // the form of groups
	num   int32
}

func (c *contract) add(to *descriptorpb.DescriptorProto, name string, kind descriptorpb.FieldDescriptorProto_Type, list bool) *descriptorpb.FieldDescriptorProto {
	c.num++
	f := &descriptorpb.FieldDescriptorProto{Name: new(name), Number: new(c.num), Type: kind.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	if list {
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	}
	switch kind {
	case descriptorpb.FieldDescriptorProto_TYPE_MESSAGE:
		f.TypeName = new(".t.All")
	case descriptorpb.FieldDescriptorProto_TYPE_GROUP: // has a message of its own, by whose name it goes
		group := proto.CloneOf(c.small)
		group.Name = new("G" + name)
		f.Name, f.TypeName = new(strings.ToLower(group.GetName())), new(".t.All."+group.GetName())
		c.all.NestedType = append(c.all.NestedType, group)
	case descriptorpb.FieldDescriptorProto_TYPE_ENUM:
		f.TypeName = new(".t.E")
	}
	to.Field = append(to.Field, f)
	return f
}

func (c *contract) addMap(kind descriptorpb.FieldDescriptorProto_Type) {
	entry := &descriptorpb.DescriptorProto{Name: new(fmt.Sprintf("Map%dEntry", kind)), Options: &descriptorpb.MessageOptions{MapEntry: new(true)}}
	m := c.add(c.all, fmt.Sprintf("map%d", kind), descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, true)
	m.TypeName = new(".t.All." + entry.GetName())
	last := c.num
	c.num = 0
	c.add(entry, "key", keyOf(kind), false)
	c.add(entry, "value", kind, false)
	c.num = last
	c.all.NestedType = append(c.all.NestedType, entry)
}

// everything describes messages with fields of each kind, each as one value, as
// one that may be missing, as a list, in a oneof and in a map. The message of
// proto2 has groups and lists that are not packed.
func everything(t testing.TB, syntax string) protoreflect.MessageDescriptor {
	t.Helper()
	c := &contract{
		all: &descriptorpb.DescriptorProto{Name: new("All"), OneofDecl: []*descriptorpb.OneofDescriptorProto{{Name: new("one")}}},
		small: &descriptorpb.DescriptorProto{Name: new("Small"), Field: []*descriptorpb.FieldDescriptorProto{
			{Name: new("n"), Number: proto.Int32(1), Type: descriptorpb.FieldDescriptorProto_TYPE_INT32.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()},
			{Name: new("s"), Number: proto.Int32(2), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()},
		}},
	}
	for _, form := range []string{"oneof", "one", "list", "map"} { // a oneof's members must be side by side
		for kind := descriptorpb.FieldDescriptorProto_TYPE_DOUBLE; kind <= descriptorpb.FieldDescriptorProto_TYPE_SINT64; kind++ {
			group := kind == descriptorpb.FieldDescriptorProto_TYPE_GROUP
			switch {
			case group && (syntax == "proto3" || form == "map"):
			case form == "map":
				c.addMap(kind)
			default:
				f := c.add(c.all, fmt.Sprintf("%s%d", form, kind), kind, form == "list")
				if form == "oneof" {
					f.OneofIndex = proto.Int32(0)
				}
			}
		}
	}
	if syntax == "proto3" {
		maybe := c.add(c.all, "maybe", descriptorpb.FieldDescriptorProto_TYPE_INT64, false)
		maybe.Proto3Optional, maybe.OneofIndex = new(true), proto.Int32(1)
		c.all.OneofDecl = append(c.all.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: new("_maybe")})
	}
	fd, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("t.proto"), Package: new("t"), Syntax: new(syntax), MessageType: []*descriptorpb.DescriptorProto{c.all},
		EnumType: []*descriptorpb.EnumDescriptorProto{{Name: new("E"), Value: []*descriptorpb.EnumValueDescriptorProto{{Name: new("ZERO"), Number: proto.Int32(0)}}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return fd.Messages().ByName("All")
}

// keyOf is a kind that may be a key of a map, the same where it may.
func keyOf(kind descriptorpb.FieldDescriptorProto_Type) descriptorpb.FieldDescriptorProto_Type {
	switch kind {
	case descriptorpb.FieldDescriptorProto_TYPE_DOUBLE, descriptorpb.FieldDescriptorProto_TYPE_FLOAT, descriptorpb.FieldDescriptorProto_TYPE_BYTES,
		descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, descriptorpb.FieldDescriptorProto_TYPE_ENUM:
		return descriptorpb.FieldDescriptorProto_TYPE_STRING
	default:
		return kind
	}
}

// forge writes a message as nobody would: fields in any order and several times,
// in pieces, under other types than their own, unknown ones among them.
func forge(r *rand.Rand, md protoreflect.MessageDescriptor, depth int) []byte {
	var b []byte
	for range r.IntN(8) {
		if r.IntN(12) == 0 { // unknown
			b = value(r, b, protowire.Number(1+r.IntN(5000)), protowire.Type(r.IntN(6)), nil, nil, depth)
			continue
		}
		fd := md.Fields().Get(r.IntN(md.Fields().Len()))
		typ := wireTypes[fd.Kind()]
		if r.IntN(10) == 0 {
			typ = protowire.Type(r.IntN(6))
		}
		if fd.IsList() && typ != protowire.BytesType && typ != protowire.StartGroupType && r.IntN(2) == 0 {
			var packed []byte
			for range r.IntN(20) {
				packed = scalar(r, packed, typ)
			}
			b = protowire.AppendBytes(protowire.AppendTag(b, fd.Number(), protowire.BytesType), packed)
			continue
		}
		b = value(r, b, fd.Number(), typ, fd, fd.Message(), depth)
	}
	return b
}

var wireTypes = map[protoreflect.Kind]protowire.Type{
	protoreflect.StringKind: protowire.BytesType, protoreflect.BytesKind: protowire.BytesType, protoreflect.MessageKind: protowire.BytesType,
	protoreflect.GroupKind: protowire.StartGroupType, protoreflect.FloatKind: protowire.Fixed32Type, protoreflect.Fixed32Kind: protowire.Fixed32Type,
	protoreflect.Sfixed32Kind: protowire.Fixed32Type, protoreflect.DoubleKind: protowire.Fixed64Type, protoreflect.Fixed64Kind: protowire.Fixed64Type,
	protoreflect.Sfixed64Kind: protowire.Fixed64Type,
}

func scalar(r *rand.Rand, b []byte, typ protowire.Type) []byte {
	v := [...]uint64{0, 1, 127, 128, 1 << 31, 1 << 32, 1<<40 + 7, 1<<63 + 1, 1<<64 - 1}[r.IntN(9)]
	switch typ {
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(b, uint32(v))
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(b, v)
	default:
		if v < 128 && r.IntN(5) == 0 {
			return append(b, byte(v)|0x80, 0x80, 0) // longer than it need be
		}
		return protowire.AppendVarint(b, v)
	}
}

func value(r *rand.Rand, b []byte, num protowire.Number, typ protowire.Type, fd protoreflect.FieldDescriptor, md protoreflect.MessageDescriptor, depth int) []byte {
	if typ == protowire.EndGroupType {
		typ = protowire.VarintType
	}
	b = protowire.AppendTag(b, num, typ)
	var in []byte
	if md != nil && depth > 0 {
		in = forge(r, md, depth-1)
	}
	switch typ {
	case protowire.StartGroupType:
		return protowire.AppendTag(append(b, in...), num, protowire.EndGroupType)
	case protowire.BytesType:
		if md == nil {
			in = []byte([...]string{"", "a", "b", "grün", strings.Repeat("x", 200)}[r.IntN(5)])
		}
		if fd != nil && r.IntN(200) == 0 {
			in = []byte("\xff")
		}
		return protowire.AppendBytes(b, in)
	default:
		return scalar(r, b, typ)
	}
}

// TestFieldsAreThoseOfAParser compares views with what package proto makes of the
// same bytes.
func TestFieldsAreThoseOfAParser(t *testing.T) {
	for _, syntax := range []string{"proto3", "proto2"} {
		t.Run(syntax, func(t *testing.T) {
			md := everything(t, syntax)
			r := rand.New(rand.NewPCG(1, 2))
			valid := 0
			for range 5_000 {
				wire := forge(r, md, 3)
				if r.IntN(10) == 0 && len(wire) > 0 {
					wire[r.IntN(len(wire))] ^= byte(1 << r.IntN(8))
				}
				if compare(t, md, wire) {
					valid++
				}
			}
			if valid < 2_500 {
				t.Errorf("only %d of the messages were valid: this test looks at too little", valid)
			}
		})
	}
}

func FuzzFieldsAreThoseOfAParser(f *testing.F) {
	three, two := everything(f, "proto3"), everything(f, "proto2")
	value := (*structpb.Value)(nil).ProtoReflect().Descriptor()
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		f.Add(forge(r, three, 3))
		f.Add(forge(r, two, 3))
		f.Add(forge(r, value, 3))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		compare(t, three, wire)
		compare(t, two, wire)
		compare(t, value, wire)
	})
}

// compare reports whether the bytes are valid.
func compare(t *testing.T, md protoreflect.MessageDescriptor, wire []byte) bool {
	t.Helper()
	want := dynamicpb.NewMessage(md)
	err, panicked := parse(wire, want)
	if panicked {
		return false
	}
	typ := new(view.Types).Of(md)
	size, got := typ.Measure(string(wire))
	if (err == nil) != (got == nil) && !tooDeep(got) {
		t.Fatalf("%x: the parser says %v, the view %v", wire, err, got)
	}
	if err != nil || got != nil {
		return false
	}
	if most := 40*len(wire) + 64<<10; size > most {
		t.Fatalf("%x: a view of %d bytes is expected to hold %d, more than %d", wire, len(wire), size, most)
	}
	v := typ.New(string(wire))
	same(t, wire, v, want)
	same(t, wire, v, want) // once more, of what it has kept
	if err := v.Err(); err != nil {
		t.Fatalf("%x: %v", wire, err)
	}
	return true
}

// parse has package proto read a message. It panics at an entry of a map that has
// a key and then another that is no key by its wire type.
func parse(wire []byte, into proto.Message) (err error, panicked bool) {
	defer func() {
		if p := recover(); p != nil {
			panicked = strings.Contains(fmt.Sprint(p), "cannot convert nil to map key")
			if !panicked {
				panic(p)
			}
		}
	}()
	return proto.UnmarshalOptions{AllowPartial: true, RecursionLimit: view.MaxDepth + 1}.Unmarshal(wire, into), false
}

func tooDeep(err error) bool { return err != nil && strings.Contains(err.Error(), "nest more than") }

func same(t *testing.T, wire []byte, got, want protoreflect.Message) {
	t.Helper()
	for i := range want.Descriptor().Fields().Len() {
		fd := want.Descriptor().Fields().Get(i)
		if g, w := got.Has(fd), want.Has(fd); g != w {
			t.Fatalf("%x: %s: has %v, want %v", wire, fd.FullName(), g, w)
		}
		sameField(t, wire, fd, got.Get(fd), want.Get(fd))
	}
	for i := range want.Descriptor().Oneofs().Len() {
		o := want.Descriptor().Oneofs().Get(i)
		if g, w := got.WhichOneof(o), want.WhichOneof(o); g != w {
			t.Fatalf("%x: %s: %v, want %v", wire, o.FullName(), g, w)
		}
	}
	if g, w := got.GetUnknown(), want.GetUnknown(); !bytes.Equal(g, w) {
		t.Fatalf("%x: unknown %x, want %x", wire, g, w)
	}
	n := 0
	got.Range(func(protoreflect.FieldDescriptor, protoreflect.Value) bool { n++; return true })
	want.Range(func(protoreflect.FieldDescriptor, protoreflect.Value) bool { n--; return true })
	if n != 0 {
		t.Fatalf("%x: %d fields more than there are", wire, n)
	}
}

func sameField(t *testing.T, wire []byte, fd protoreflect.FieldDescriptor, got, want protoreflect.Value) {
	t.Helper()
	switch {
	case fd.IsMap():
		if got.Map().Len() != want.Map().Len() || got.Map().IsValid() != (got.Map().Len() > 0) {
			t.Fatalf("%x: %s: %d entries, want %d", wire, fd.FullName(), got.Map().Len(), want.Map().Len())
		}
		got.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			if !want.Map().Has(k) || !got.Map().Has(k) {
				t.Fatalf("%x: %s: %v is not there", wire, fd.FullName(), k)
			}
			sameOne(t, wire, fd.MapValue(), v, want.Map().Get(k))
			sameOne(t, wire, fd.MapValue(), got.Map().Get(k), want.Map().Get(k))
			return true
		})
	case fd.IsList():
		if got.List().Len() != want.List().Len() {
			t.Fatalf("%x: %s: %d elements, want %d", wire, fd.FullName(), got.List().Len(), want.List().Len())
		}
		for i := range want.List().Len() {
			sameOne(t, wire, fd, got.List().Get(i), want.List().Get(i))
		}
	default:
		sameOne(t, wire, fd, got, want)
	}
}

func sameOne(t *testing.T, wire []byte, fd protoreflect.FieldDescriptor, got, want protoreflect.Value) {
	t.Helper()
	if fd.Message() == nil {
		if !got.Equal(want) {
			t.Fatalf("%x: %s: %v, want %v", wire, fd.FullName(), got, want)
		}
		return
	}
	if got.Message().IsValid() != want.Message().IsValid() {
		t.Fatalf("%x: %s: valid %v, want %v", wire, fd.FullName(), got.Message().IsValid(), want.Message().IsValid())
	}
	if want.Message().IsValid() {
		same(t, wire, got.Message(), want.Message())
	}
}
