package view_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/gatehouse-dev/gatehouse/internal/view"
)

var kept any

// held is what a view holds once all of it has been looked at.
func held(t testing.TB, typ *view.Type, wire string) int {
	t.Helper()
	v := typ.New(wire)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	walk(v)
	kept = v
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	kept = nil
	return int(after.HeapAlloc) - int(before.HeapAlloc) + len(wire)
}

func walk(m protoreflect.Message) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				if fd.MapValue().Message() != nil {
					walk(v.Message())
				}
				return true
			})
		case fd.IsList():
			for i := range v.List().Len() {
				if one := v.List().Get(i); fd.Message() != nil {
					walk(one.Message())
				}
			}
		case fd.Message() != nil:
			walk(v.Message())
		}
		return true
	})
}

// bodies are what clients send, and what an attacker would.
func bodies(t testing.TB) map[string]body {
	t.Helper()
	md := everything(t, "proto3")
	num := func(name protoreflect.Name) protowire.Number { return md.Fields().ByName(name).Number() }
	repeat := func(n int, f func(b []byte, i int) []byte) []byte {
		var b []byte
		for i := range n {
			b = f(b, i)
		}
		return b
	}
	sub := func(b []byte, name protoreflect.Name, in []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, num(name), protowire.BytesType), in)
	}
	text := func(n int) []byte { return bytes.Repeat([]byte("x"), n) }
	item := func(i, n int) []byte {
		b := protowire.AppendVarint(protowire.AppendTag(nil, num("one3"), protowire.VarintType), uint64(i))
		return sub(b, "one9", text(n))
	}
	deep := func(n int) []byte {
		b := item(1, 200)
		for range n {
			b = sub(nil, "one11", b)
		}
		return b
	}
	return map[string]body{
		"empty":                     {md, nil},
		"one text":                  {md, sub(nil, "one9", []byte("shelves/tents"))},
		"100 items of 40 bytes":     {md, repeat(100, func(b []byte, i int) []byte { return sub(b, "list11", item(i, 30)) })},
		"20,000 items of 16 bytes":  {md, repeat(20_000, func(b []byte, i int) []byte { return sub(b, "list11", item(i, 7)) })},
		"200,000 items of 2 bytes":  {md, repeat(200_000, func(b []byte, _ int) []byte { return sub(b, "list11", nil) })},
		"2,000 items of 300 bytes":  {md, repeat(2_000, func(b []byte, i int) []byte { return sub(b, "list11", item(i, 290)) })},
		"50,000 texts":              {md, repeat(50_000, func(b []byte, _ int) []byte { return sub(b, "list9", []byte("tag")) })},
		"packed numbers":            {md, sub(nil, "list5", repeat(100_000, func(b []byte, i int) []byte { return protowire.AppendVarint(b, uint64(i)) }))},
		"packed bools":              {md, sub(nil, "list8", repeat(100_000, func(b []byte, i int) []byte { return append(b, byte(i&1)) }))},
		"packed doubles":            {md, sub(nil, "list1", text(800_000))},
		"map of 20,000 texts":       {md, repeat(20_000, func(b []byte, i int) []byte { return sub(b, "map9", fmt.Appendf([]byte{0x0a, 5}, "%05d\x12\x01x", i)) })},
		"map of 50,000 numbers":     {md, repeat(50_000, func(b []byte, i int) []byte { return sub(b, "map5", protowire.AppendVarint([]byte{0x08}, uint64(i))) })},
		"one key, 100,000 times":    {md, repeat(100_000, func(b []byte, _ int) []byte { return sub(b, "map9", nil) })},
		"200,000 empty entries":     {(*structpb.Struct)(nil).ProtoReflect().Descriptor(), bytes.Repeat([]byte{0x0a, 0}, 200_000)},
		"JSON of 5,000 objects":     {(*structpb.Value)(nil).ProtoReflect().Descriptor(), document(t, 5_000)},
		"JSON of an object":         {(*structpb.Value)(nil).ProtoReflect().Descriptor(), document(t, 1)},
		"nested 900 deep":           {md, deep(900)},
		"nested 30 deep, 500 times": {md, repeat(500, func(b []byte, _ int) []byte { return sub(b, "list11", deep(30)) })},
		"an upload":                 {md, sub(nil, "one12", text(1<<20))},
	}
}

// TestAForgedViewHoldsNoMoreThanMeasured looks at many forged messages at once, since
// the heap is not measured to the byte.
func TestAForgedViewHoldsNoMoreThanMeasured(t *testing.T) {
	md := everything(t, "proto3")
	typ, r := new(view.Types).Of(md), rand.New(rand.NewPCG(5, 6))
	var views []*view.Message
	wires, measured := 0, 0
	for len(views) < 3_000 {
		wire := string(forge(r, md, 4))
		size, err := typ.Measure(wire)
		if err != nil {
			continue
		}
		views, wires, measured = append(views, typ.New(wire)), wires+len(wire), measured+size
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, v := range views {
		walk(v)
	}
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(views)
	got := int(after.HeapAlloc) - int(before.HeapAlloc) + wires
	t.Logf("%d bytes: measured %d, hold %d", wires, measured, got)
	if got > measured {
		t.Errorf("views of %d bytes hold %d, measured %d", wires, got, measured)
	}
}

// document is JSON: a list of so many objects.
func document(t testing.TB, n int) []byte {
	t.Helper()
	list := &structpb.ListValue{}
	for i := range n {
		list.Values = append(list.Values, structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
			"id": structpb.NewNumberValue(float64(i)), "name": structpb.NewStringValue("a name"), "tags": structpb.NewListValue(&structpb.ListValue{
				Values: []*structpb.Value{structpb.NewBoolValue(true), structpb.NewNullValue(), structpb.NewStringValue("x")},
			}),
		}}))
	}
	b, err := proto.Marshal(structpb.NewListValue(list))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type body struct {
	desc protoreflect.MessageDescriptor
	wire []byte
}

func TestAViewHoldsNoMoreThanMeasured(t *testing.T) {
	for name, b := range bodies(t) {
		t.Run(name, func(t *testing.T) {
			typ := new(view.Types).Of(b.desc)
			size, err := typ.Measure(string(b.wire))
			if err != nil {
				t.Fatal(err)
			}
			got := held(t, typ, string(b.wire))
			t.Logf("%d bytes: measured %d (%.1f times), holds %d (%.1f times)", len(b.wire), size, float64(size)/float64(len(b.wire)), got, float64(got)/float64(len(b.wire)))
			if got > size {
				t.Errorf("a view of %d bytes holds %d, measured %d", len(b.wire), got, size)
			}
			if most := 40*len(b.wire) + 64<<10; size > most {
				t.Errorf("measured %d, more than %d", size, most)
			}
		})
	}
}

func BenchmarkMeasure(b *testing.B) {
	for name, one := range bodies(b) {
		typ, wire := new(view.Types).Of(one.desc), string(one.wire)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(wire)))
			for b.Loop() {
				if _, err := typ.Measure(wire); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParse measures proto.Unmarshal, which views replace.
func BenchmarkParse(b *testing.B) {
	for name, one := range bodies(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(one.wire)))
			for b.Loop() {
				if err := proto.Unmarshal(one.wire, dynamicpb.NewMessage(one.desc)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
