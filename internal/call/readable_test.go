package call_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// readableTypes have, between them, required fields, strings of both syntaxes, maps,
// packed numbers and recursion.
var readableTypes = []proto.Message{
	new(descriptorpb.FileDescriptorProto), new(descriptorpb.UninterpretedOption), new(descriptorpb.SourceCodeInfo),
	new(inventoryv1.ImportCountsRequest), new(inventoryv1.WatchStockResponse),
}

// FuzzReadableAs: what it takes for a message is what protobuf's own decoder takes,
// within the depth that all libraries stand.
func FuzzReadableAs(f *testing.F) {
	for i, m := range readableTypes {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte("\x0a\xff"))
		f.Add(uint8(i), []byte("\x0a\x01\xff"))
		wire, err := proto.Marshal(descriptorOf(m))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(0), wire)
	}
	f.Add(uint8(1), []byte("\x12\x02\x0a\x00"))         // a required field is missing
	f.Add(uint8(2), []byte("\x0a\x04\x0a\x02\x80\x01")) // a packed list
	f.Add(uint8(2), []byte("\x0a\x03\x0a\x01\x80"))     // one that breaks off
	f.Add(uint8(0), []byte("\x0b\x0c"))                 // a group that nobody knows
	f.Add(uint8(1), []byte("\x80\x89\xc1\xc600"))       // a number that no field may have
	f.Fuzz(func(t *testing.T, i uint8, wire []byte) {
		md := readableTypes[int(i)%len(readableTypes)].ProtoReflect().Descriptor()
		shape := new(call.Shapes).Of(md)
		read := func(depth int) error {
			return proto.UnmarshalOptions{RecursionLimit: depth}.Unmarshal(wire, dynamicpb.NewMessage(md))
		}
		all, some := read(100), read(protowire.DefaultRecursionLimit)
		for _, pieces := range []mem.BufferSlice{{mem.SliceBuffer(wire)}, {mem.SliceBuffer(wire[:len(wire)/2]), mem.SliceBuffer(wire[len(wire)/2:])}} {
			got := (&call.Message{Data: pieces}).ReadableAs(shape)
			if got == call.Readable && all != nil || got == call.Unreadable && some == nil || got == call.Debatable && all == nil && !requires(md) {
				t.Errorf("%s from %q: %v, protobuf says %v", md.FullName(), wire, got, all)
			}
		}
	})
}

// requires reports whether a message further in has required fields.
func requires(md protoreflect.MessageDescriptor) bool {
	return md.FullName() == "google.protobuf.UninterpretedOption" || md.FullName() == "google.protobuf.FileDescriptorProto"
}

// descriptorOf is the file in which m is declared, as a message of its own.
func descriptorOf(m proto.Message) *descriptorpb.FileDescriptorProto {
	file := m.ProtoReflect().Descriptor().ParentFile()
	return &descriptorpb.FileDescriptorProto{Name: new(file.Path()), Dependency: []string{"a", "b"}, PublicDependency: []int32{1, 300}}
}

// TestReadableDepth: messages may be nested as deep as all libraries of protobuf
// take them.
func TestReadableDepth(t *testing.T) {
	md := new(descriptorpb.DescriptorProto).ProtoReflect().Descriptor()
	nested := func(depth int) []byte {
		var wire []byte
		for range depth {
			wire = protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), wire)
		}
		return wire
	}
	for depth, want := range map[int]call.Readability{
		0: call.Readable, 50: call.Readable, 99: call.Readable, 100: call.Debatable, 5000: call.Debatable, 20000: call.Unreadable,
	} {
		if got := (&call.Message{Data: mem.BufferSlice{mem.SliceBuffer(nested(depth))}}).ReadableAs(new(call.Shapes).Of(md)); got != want {
			t.Errorf("%d levels below the outermost: %v, want %v", depth, got, want)
		}
	}
}

// BenchmarkReadableAs is the cost of a look at messages of 1 KB.
func BenchmarkReadableAs(b *testing.B) {
	file := &descriptorpb.FileDescriptorProto{Name: new("a.proto")}
	for proto.Size(file) < 1<<10 {
		file.MessageType = append(file.MessageType, &descriptorpb.DescriptorProto{Name: new(strings.Repeat("m", 20)), Field: []*descriptorpb.FieldDescriptorProto{{Name: new("field"), Number: new(int32(1))}}})
	}
	typical, err := proto.Marshal(file)
	if err != nil {
		b.Fatal(err)
	}
	sku := new(inventoryv1.WatchStockRequest).ProtoReflect().Descriptor()
	for _, bench := range []struct {
		name string
		of   protoreflect.MessageDescriptor
		wire []byte
	}{
		{"typical", file.ProtoReflect().Descriptor(), typical},
		{"one text", sku, protowire.AppendString([]byte{1<<3 | 2}, strings.Repeat("x", 1<<10))},
		{"one text, not ASCII", sku, protowire.AppendString([]byte{1<<3 | 2}, strings.Repeat("é", 1<<9))},
		{"numbers of a byte", new(descriptorpb.FieldDescriptorProto).ProtoReflect().Descriptor(), []byte(strings.Repeat("\x18\x01", 1<<9))},
		{"empty messages", file.ProtoReflect().Descriptor(), []byte(strings.Repeat("\x22\x00", 1<<9))},
		{"unknown fields", sku, []byte(strings.Repeat("\xf8\x7f\x01", 1<<10/3))},
		{"packed numbers", new(descriptorpb.SourceCodeInfo_Location).ProtoReflect().Descriptor(), protowire.AppendString([]byte{1<<3 | 2}, strings.Repeat("\x01", 1<<10))},
		{"packed numbers of two bytes", new(descriptorpb.SourceCodeInfo_Location).ProtoReflect().Descriptor(), protowire.AppendString([]byte{1<<3 | 2}, strings.Repeat("\x80\x01", 1<<9))},
		{"nested groups", sku, []byte(strings.Repeat("\x7b", 1<<9) + strings.Repeat("\x7c", 1<<9))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			m := &call.Message{Data: mem.BufferSlice{mem.SliceBuffer(bench.wire)}}
			shape := new(call.Shapes).Of(bench.of)
			b.SetBytes(int64(len(bench.wire)))
			b.ReportAllocs()
			for b.Loop() {
				if m.ReadableAs(shape) == call.Unreadable {
					b.Fatal("not readable")
				}
			}
		})
	}
}
