package aggregate_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	"github.com/gatehouse-dev/gatehouse/internal/aggregate"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/config"
)

// scalars are all kinds that a field can have, but for messages and enums.
var scalars = []descriptorpb.FieldDescriptorProto_Type{
	descriptorpb.FieldDescriptorProto_TYPE_BOOL, descriptorpb.FieldDescriptorProto_TYPE_INT32, descriptorpb.FieldDescriptorProto_TYPE_INT64,
	descriptorpb.FieldDescriptorProto_TYPE_UINT32, descriptorpb.FieldDescriptorProto_TYPE_UINT64, descriptorpb.FieldDescriptorProto_TYPE_SINT32,
	descriptorpb.FieldDescriptorProto_TYPE_SINT64, descriptorpb.FieldDescriptorProto_TYPE_FIXED32, descriptorpb.FieldDescriptorProto_TYPE_FIXED64,
	descriptorpb.FieldDescriptorProto_TYPE_SFIXED32, descriptorpb.FieldDescriptorProto_TYPE_SFIXED64, descriptorpb.FieldDescriptorProto_TYPE_FLOAT,
	descriptorpb.FieldDescriptorProto_TYPE_DOUBLE, descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_BYTES,
}

// builder makes the messages of the schema.
type messageBuilder struct {
	*descriptorpb.DescriptorProto
	first int32 // number of the first field
	flip  bool  // packed where it is not by default
}

func (b *messageBuilder) add(name string, kind descriptorpb.FieldDescriptorProto_Type, of string, repeated bool) *descriptorpb.FieldDescriptorProto {
	f := &descriptorpb.FieldDescriptorProto{
		Name: &name, Number: new(b.first + int32(len(b.Field))), Type: &kind,
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
	if of != "" {
		f.TypeName = new(".t." + of)
	}
	if repeated {
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		if b.flip && of == "" && kind != descriptorpb.FieldDescriptorProto_TYPE_STRING && kind != descriptorpb.FieldDescriptorProto_TYPE_BYTES {
			f.Options = &descriptorpb.FieldOptions{Packed: new(false)}
		}
	}
	b.Field = append(b.Field, f)
	return f
}

// fill adds a field of every type. With oneof, those that begin with o_ are of one.
func (b *messageBuilder) fill(oneof bool) {
	const message, enum = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, descriptorpb.FieldDescriptorProto_TYPE_ENUM
	for _, kind := range scalars {
		name := kind.String()[len("TYPE_"):]
		b.add("f_"+name, kind, "", false)
		b.add("r_"+name, kind, "", true)
	}
	b.add("f_enum", enum, "Color", false)
	b.add("r_enum", enum, "Color", true)
	b.add("f_leaf", message, "Leaf", false)
	b.add("r_leaf", message, "Leaf", true)
	b.add("m_leaf", message, b.GetName()+".MLeafEntry", true)
	b.NestedType = append(b.NestedType, mapEntry())
	for _, name := range []string{"o_a", "o_b", "o_leaf"} {
		kind, of := descriptorpb.FieldDescriptorProto_TYPE_STRING, ""
		if name == "o_leaf" {
			kind, of = message, "Leaf"
		}
		f := b.add(name, kind, of, false)
		f.OneofIndex = proto.Int32(0)
		if !oneof {
			f.Proto3Optional = new(true)
			f.OneofIndex = new(int32(len(b.OneofDecl)))
			b.OneofDecl = append(b.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: new("_" + name)})
		}
	}
	if oneof {
		b.OneofDecl = []*descriptorpb.OneofDescriptorProto{{Name: new("o")}}
	}
}

func mapEntry() *descriptorpb.DescriptorProto {
	b := &messageBuilder{DescriptorProto: &descriptorpb.DescriptorProto{
		Name: new("MLeafEntry"), Options: &descriptorpb.MessageOptions{MapEntry: new(true)},
	}, first: 1}
	b.add("key", descriptorpb.FieldDescriptorProto_TYPE_STRING, "", false)
	b.add("value", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, "Leaf", false)
	return b.DescriptorProto
}

// schema has t.S.Composed(All) returns (Flat), and what it may call, such as
// t.S.Get(Flat) returns (All). Flat has the fields of All, under other numbers, without the
// oneof, and lists packed where All has them not.
var schema = sync.OnceValue(func() protoreflect.FileDescriptor {
	leaf := &messageBuilder{DescriptorProto: &descriptorpb.DescriptorProto{Name: new("Leaf")}, first: 1}
	leaf.add("name", descriptorpb.FieldDescriptorProto_TYPE_STRING, "", false)
	leaf.add("size", descriptorpb.FieldDescriptorProto_TYPE_INT64, "", false)
	leaf.add("inner", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, "Leaf", false)
	leaf.add("tags", descriptorpb.FieldDescriptorProto_TYPE_STRING, "", true)
	all := &messageBuilder{DescriptorProto: &descriptorpb.DescriptorProto{Name: new("All")}, first: 1}
	all.fill(true)
	all.add("child", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, "All", false)
	flat := &messageBuilder{DescriptorProto: &descriptorpb.DescriptorProto{Name: new("Flat")}, first: 100, flip: true}
	flat.fill(false)
	flat.add("child", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, "All", false)
	method := func(name, in, out string) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{Name: &name, InputType: new(".t." + in), OutputType: new(".t." + out)}
	}
	fd, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("t.proto"), Package: new("t"), Syntax: new("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{leaf.DescriptorProto, all.DescriptorProto, flat.DescriptorProto},
		EnumType: []*descriptorpb.EnumDescriptorProto{{Name: new("Color"), Value: []*descriptorpb.EnumValueDescriptorProto{
			{Name: new("COLOR_UNSPECIFIED"), Number: proto.Int32(0)}, {Name: new("RED"), Number: proto.Int32(7)},
		}}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("S"), Method: []*descriptorpb.MethodDescriptorProto{
			method("Composed", "All", "Flat"), method("Get", "Flat", "All"), method("Leaf", "Leaf", "Leaf"),
			method("List", "Flat", "All"), method("Text", "Leaf", "Leaf"), method("Tags", "Leaf", "Leaf"),
		}}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		panic(err)
	}
	return fd
})

// backend answers calls of t.S, by the name of the RPC.
type backend struct {
	answer func(ctx context.Context, method string, request []byte) (mem.BufferSlice, error)
}

func (b backend) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	request, ok := args.(*call.Message)
	into, is := reply.(*call.Message)
	if !ok || !is {
		return errors.New("a step sends and takes wire bytes")
	}
	data, err := b.answer(ctx, method, request.Data.Materialize())
	if err == nil {
		into.Data = data
	}
	return err
}

func (b backend) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.New("no step streams")
}

// compose compiles a composition of t.S.Composed.
func compose(tb testing.TB, c *composev1.Composition, b backend) (*aggregate.Conn, error) {
	tb.Helper()
	config.CompleteComposition(c)
	service := schema().Services().Get(0)
	known := map[protoreflect.FullName]*call.Method{}
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		known[m.FullName()] = &call.Method{Name: "/t.S/" + string(m.Name()), Desc: m, Conn: b, Upstream: "t"}
	}
	conn := new(aggregate.Conn)
	return conn, conn.Compile(c, service.Methods().ByName("Composed"), aggregate.Contracts{
		Find: func(name protoreflect.FullName) (*call.Method, error) {
			if m := known[name]; m != nil {
				return m, nil
			}
			return nil, errors.New("no such RPC")
		},
		JSON: func(desc protoreflect.MessageDescriptor, text []byte) ([]byte, error) {
			m := dynamicpb.NewMessage(desc)
			if err := protojson.Unmarshal(text, m); err != nil {
				return nil, err
			}
			return proto.Marshal(m)
		},
	})
}

// invoke makes a composed call. The answer's buffers are given up.
func invoke(ctx context.Context, conn *aggregate.Conn, request []byte) ([]byte, error) {
	in, out := &call.Message{Data: mem.BufferSlice{mem.SliceBuffer(request)}}, new(call.Message)
	defer out.Free()
	if err := conn.Invoke(ctx, "/t.S/Composed", in, out); err != nil {
		return nil, err
	}
	return out.Data.Materialize(), nil
}
