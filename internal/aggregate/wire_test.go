package aggregate_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	"github.com/gatehouse-dev/gatehouse/internal/aggregate"
)

// copying is a composition that copies every field: those of the request's child
// into the request of the step, those of the answer's child into the answer. All
// its steps make the same call, which so is made once.
func copying() *composev1.Composition {
	flat := schema().Messages().ByName("Flat").Fields()
	request := map[string]string{}
	for i := range flat.Len() {
		if name := string(flat.Get(i).Name()); !strings.HasPrefix(name, "o_") || name == "o_b" {
			request[name] = "request.child." + name
		}
	}
	c := &composev1.Composition{}
	for i := range flat.Len() {
		name := string(flat.Get(i).Name())
		c.Steps = append(c.Steps, &composev1.Step{
			Name: "s_" + strings.ToLower(name), Call: "t.S.Get", Request: request, Take: "child." + name, Into: name,
		})
	}
	return c
}

// copied is what the copy should be.
func copied(from protoreflect.Message, wanted func(name string) bool) *dynamicpb.Message {
	desc := schema().Messages().ByName("Flat")
	out := dynamicpb.NewMessage(desc)
	child := from.Get(from.Descriptor().Fields().ByName("child")).Message()
	for i := range desc.Fields().Len() {
		fd := desc.Fields().Get(i)
		source := child.Descriptor().Fields().ByName(fd.Name())
		if !wanted(string(fd.Name())) || !child.Has(source) {
			continue
		}
		switch v := child.Get(source); {
		case fd.IsList():
			for j := range v.List().Len() {
				out.Mutable(fd).List().Append(v.List().Get(j))
			}
		case fd.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				out.Mutable(fd).Map().Set(k, v)
				return true
			})
		default:
			out.Set(fd, v)
		}
	}
	return out
}

// checkCopy compares what a composition makes of a message, as the request and as
// the answer, with what protobuf-go reads.
func checkCopy(t *testing.T, conn *aggregate.Conn, sent *[]byte, wire []byte) {
	t.Helper()
	all := dynamicpb.NewMessage(schema().Messages().ByName("All"))
	valid := proto.Unmarshal(wire, all) == nil
	got, err := invoke(t.Context(), conn, wire)
	if !valid {
		return // it must not panic, that is all
	}
	if err != nil {
		t.Fatalf("%x: %v", wire, err)
	}
	for _, one := range []struct {
		name string
		wire []byte
		want *dynamicpb.Message
	}{
		{"request", *sent, copied(all, func(name string) bool { return !strings.HasPrefix(name, "o_") || name == "o_b" })},
		{"answer", got, copied(all, func(string) bool { return true })},
	} {
		m := dynamicpb.NewMessage(schema().Messages().ByName("Flat"))
		if err := proto.Unmarshal(one.wire, m); err != nil {
			t.Fatalf("the %s made of %x is not valid: %v: %x", one.name, wire, err, one.wire)
		}
		// By their bytes, since NaN is not equal to itself.
		g, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		w, _ := proto.MarshalOptions{Deterministic: true}.Marshal(one.want)
		if string(g) != string(w) {
			t.Fatalf("the %s made of %x: got %v, want %v", one.name, wire, m, one.want)
		}
	}
}

// echo answers with the request of the composed call, which the test knows.
func echo(t testing.TB) (_ *aggregate.Conn, sent *[]byte, answer *[]byte, calls *int) {
	sent, answer, calls = new([]byte), new([]byte), new(int)
	conn, err := compose(t, copying(), backend{answer: func(_ context.Context, _ string, request []byte) (mem.BufferSlice, error) {
		*sent = request
		*calls++
		half := len(*answer) / 2 // as messages come that were longer than a frame
		return mem.BufferSlice{mem.SliceBuffer((*answer)[:half]), mem.SliceBuffer((*answer)[half:])}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return conn, sent, answer, calls
}

// shuffled is a random message on the wire, its fields in any order, plain ones
// repeated, lists in pieces packed or not, and messages in pieces.
func shuffled(r *rand.Rand, desc protoreflect.MessageDescriptor, depth int) []byte {
	var pieces [][]byte
	for range r.IntN(12) {
		fd := desc.Fields().Get(r.IntN(desc.Fields().Len()))
		var value []byte
		switch {
		case fd.Message() != nil && depth <= 0:
			continue
		case fd.Message() != nil:
			value = protowire.AppendBytes(nil, shuffled(r, fd.Message(), depth-1))
		default:
			value = scalar(r, fd.Kind())
		}
		typ := wireTypes[fd.Kind()]
		if fd.IsList() && typ != protowire.BytesType && r.IntN(2) == 0 { // packed
			for range r.IntN(3) {
				value = append(value, scalar(r, fd.Kind())...)
			}
			typ, value = protowire.BytesType, protowire.AppendBytes(nil, value)
		}
		pieces = append(pieces, append(protowire.AppendTag(nil, fd.Number(), typ), value...))
	}
	if r.IntN(4) == 0 { // of a later version of the contract
		pieces = append(pieces, protowire.AppendVarint(protowire.AppendTag(nil, 5000, protowire.VarintType), r.Uint64()))
	}
	var out []byte
	for _, p := range pieces {
		out = append(out, p...)
	}
	return out
}

var wireTypes = map[protoreflect.Kind]protowire.Type{
	protoreflect.StringKind: protowire.BytesType, protoreflect.BytesKind: protowire.BytesType, protoreflect.MessageKind: protowire.BytesType,
	protoreflect.Fixed32Kind: protowire.Fixed32Type, protoreflect.Sfixed32Kind: protowire.Fixed32Type, protoreflect.FloatKind: protowire.Fixed32Type,
	protoreflect.Fixed64Kind: protowire.Fixed64Type, protoreflect.Sfixed64Kind: protowire.Fixed64Type, protoreflect.DoubleKind: protowire.Fixed64Type,
}

func scalar(r *rand.Rand, kind protoreflect.Kind) []byte {
	switch wireTypes[kind] {
	case protowire.BytesType:
		return protowire.AppendString(nil, strings.Repeat("ab ", r.IntN(300)))
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(nil, r.Uint32())
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(nil, r.Uint64())
	default:
		return protowire.AppendVarint(nil, r.Uint64()>>r.IntN(64))
	}
}

// TestCopies copies random messages.
func TestCopies(t *testing.T) {
	conn, sent, answer, calls := echo(t)
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		child := protowire.AppendTag(nil, schema().Messages().ByName("All").Fields().ByName("child").Number(), protowire.BytesType)
		*answer = shuffled(r, schema().Messages().ByName("All"), 3)
		for range r.IntN(3) { // the child alone is looked at, and it may come in pieces
			*answer = append(append(*answer, child...), protowire.AppendBytes(nil, shuffled(r, schema().Messages().ByName("All"), 2))...)
		}
		*calls = 0
		checkCopy(t, conn, sent, *answer)
		if *calls != 1 {
			t.Fatalf("%d calls, want the same one made once", *calls)
		}
	}
}

// FuzzCopies copies messages with protobuf-go as the oracle.
func FuzzCopies(f *testing.F) {
	conn, sent, answer, _ := echo(f)
	for seed := range uint64(30) {
		f.Add(shuffled(rand.New(rand.NewPCG(seed, 2)), schema().Messages().ByName("All"), 3))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		*answer = wire
		checkCopy(t, conn, sent, wire)
	})
}
