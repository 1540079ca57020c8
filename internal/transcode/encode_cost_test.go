package transcode_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

// wireOf writes one field of the proto3 schema's message.
type wireOf struct {
	desc protoreflect.MessageDescriptor
}

func (w wireOf) number(name string) protowire.Number {
	return w.desc.Fields().ByName(protoreflect.Name(name)).Number()
}

func (w wireOf) bytes(dst []byte, name, content string) []byte {
	return protowire.AppendString(protowire.AppendTag(dst, w.number(name), protowire.BytesType), content)
}

// hostileWires are as dear as their size allows, which grows with n and with
// the levels of those that nest; all of them are valid.
func hostileWires(w wireOf, n, levels int) map[string][]byte {
	const twice = "\x08\x01\x08\x01" // f_bool, twice
	out := map[string][]byte{}
	nested := []byte(strings.Repeat("\xa2\x01\x01\x01", n)) // r_bool
	for range levels {
		nested = append(w.bytes(nil, "f_all", string(nested)), twice...)
	}
	out["twice at each level"] = nested
	behind := []byte(twice)
	for range levels {
		behind = append(w.bytes(nil, "f_all", string(behind)), w.bytes(nil, "f_all", "")...)
	}
	out["messages in two parts at each level"] = behind
	out["many empty messages"] = append([]byte(twice), strings.Repeat(string(w.bytes(nil, "r_leaf", "")), n)...)
	out["a list in many stretches"] = []byte(strings.Repeat(string(w.bytes(nil, "r_leaf", ""))+string(w.bytes(nil, "r_string", "")), n))
	var keys []byte
	for i := range n {
		keys = w.bytes(keys, "m_int32", string(protowire.AppendVarint([]byte{8}, uint64(i))))
	}
	out["many keys"] = keys
	out["many keys, all twice"] = append(keys, keys...)
	out["one key"] = []byte(strings.Repeat(string(w.bytes(nil, "m_string", "")), n))
	var maps []byte
	for range n / 20 {
		var small string
		for j := range 20 {
			small += string(protowire.AppendString([]byte{10}, fmt.Sprintf("\n\x02%02d\x12\x02\x08\x00", j)))
		}
		maps = w.bytes(maps, "rw_value", string(protowire.AppendString([]byte{42}, small)))
	}
	out["many small maps"] = maps
	out["packed"] = w.bytes(nil, "r_bool", strings.Repeat("\x00", n))
	out["escapes"] = w.bytes(nil, "f_string", strings.Repeat("\x01", n))
	out["one of many"] = []byte(strings.Repeat(string(w.bytes(nil, "p_string", "x"))+string(w.bytes(nil, "p_leaf", "")), n))
	return out
}

// TestEncodeCostIsBounded holds every message to 20 times its size in memory,
// and to a time that no work in proportion to it comes near. The JSON of an
// entry with neither key nor value, which takes no part in this, is longer.
func TestEncodeCostIsBounded(t *testing.T) {
	s := newSchema(t, "proto3", proto3Schema)
	md := s.message(t, "All")
	for name, wire := range hostileWires(wireOf{md}, 20000, 300) {
		enc, err := transcode.NewCompiler(transcode.Options{}, s.types).Encoder(md)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		var out []byte
		used := allocated(func() { out, err = enc.Append(nil, wire) })
		took := time.Since(begin)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if most := uint64(20*len(wire) + 64<<10); used > most {
			t.Errorf("%s: %d wire bytes cost %d bytes, want at most %d (%d of JSON)", name, len(wire), used, most, len(out))
		}
		if took > 5*time.Second {
			t.Errorf("%s: %d wire bytes took %v", name, len(wire), took)
		}
	}
}

func TestEncodeHostileLikeProtojson(t *testing.T) {
	s := newSchema(t, "proto3", proto3Schema)
	md := s.message(t, "All")
	c := newJudged(t, md, s.types)
	for _, wire := range hostileWires(wireOf{md}, 2000, 30) {
		encodeLikeProtojson(t, c, wire)
	}
}

func TestEncodeSurvivesWhatPanicsElsewhere(t *testing.T) {
	s := newSchema(t, "proto3", proto3Schema)
	md := s.message(t, "All")
	enc, err := transcode.NewCompiler(transcode.Options{}, s.types).Encoder(md)
	if err != nil {
		t.Fatal(err)
	}
	w := wireOf{md}
	// A key twice, the second time as a number: that one is an unknown field.
	wire := append(w.bytes(nil, "m_string", "\n\x01k\x08\x01"), "\x08\x01\x08\x01"...)
	got, err := enc.Append(nil, wire)
	if want := `{"fBool":true,"mString":{"k":""}}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestEncodeWithoutResolver(t *testing.T) {
	for wire, want := range map[string]string{
		"":                              "{}",
		"\n\x17x/google.protobuf.Empty": "is an Any of type",
		"\n\x04x/\xff\xff":              "is not valid UTF-8",
		"\n\x02x/":                      "is an Any of type",
		"\x12\x01x":                     "is an Any with a value and no type_url",
	} {
		enc, err := transcode.NewCompiler(transcode.Options{}, nil).Encoder((&anypb.Any{}).ProtoReflect().Descriptor())
		if err != nil {
			t.Fatal(err)
		}
		got, err := enc.Append(nil, []byte(wire))
		if err != nil {
			got = []byte(err.Error())
		}
		if !strings.HasPrefix(string(got), want) {
			t.Errorf("%q: got %s, want %s", wire, got, want)
		}
	}
}

// TestEncodeKeepsTypesByName proves that URLs without end for one type take no
// memory that stays: after the first, none is taken.
func TestEncodeKeepsTypesByName(t *testing.T) {
	enc, err := transcode.NewCompiler(transcode.Options{}, linkedTypes()).Encoder((&anypb.Any{}).ProtoReflect().Descriptor())
	if err != nil {
		t.Fatal(err)
	}
	var wires [][]byte
	for i := range 300 {
		wires = append(wires, protowire.AppendString([]byte{10}, fmt.Sprintf("host-%d/google.protobuf.Empty", i)))
	}
	dst, i := []byte(nil), 0
	mustNotAllocate(t, func() {
		if dst, err = enc.Append(dst[:0], wires[i]); err != nil {
			t.Fatal(err)
		}
		i++
	})
}

func TestEncodeQuotesJSONNames(t *testing.T) {
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("names.proto"), Syntax: new("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: new("Names"),
			Field: []*descriptorpb.FieldDescriptorProto{{
				Name: new("a"), Number: proto.Int32(1), JsonName: new("a\"\\\n é"),
				Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
				Type:  descriptorpb.FieldDescriptorProto_TYPE_BOOL.Enum(),
			}},
		}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	enc, err := transcode.NewCompiler(transcode.Options{}, nil).Encoder(file.Messages().Get(0))
	if err != nil {
		t.Fatal(err)
	}
	got, err := enc.Append(nil, []byte{8, 1})
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]bool
	if err := json.Unmarshal(got, &m); err != nil || !m["a\"\\\n é"] {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestEncodeNamesElementAndKey(t *testing.T) {
	s := newSchema(t, "proto3", proto3Schema)
	md := s.message(t, "All")
	w := wireOf{md}
	bad := "\n\x01\xff" // Leaf.name
	for want, wire := range map[string][]byte{
		`r_leaf[1].name: is not valid UTF-8`:             w.bytes(w.bytes(nil, "r_leaf", ""), "r_leaf", bad),
		`m_leaf["k"].name: is not valid UTF-8`:           w.bytes(nil, "m_leaf", "\n\x01k\x12\x03"+bad),
		`f_all.r_string[0]: is not valid UTF-8`:          w.bytes(nil, "f_all", string(w.bytes(nil, "r_string", "\xff"))),
		`p_leaf.name: is not valid UTF-8`:                append(w.bytes(nil, "p_leaf", bad), w.bytes(nil, "p_string", "")...),
		`r_leaf: is cut off or malformed`:                {0xe2, 1, 9},
		`f_int32: is cut off or malformed`:               {16, 0x80},
		`has a malformed tag where a field should begin`: {0},
		`field 500 is cut off or malformed`:              {0xa2, 0x1f, 5, 1},
	} {
		enc, err := transcode.NewCompiler(transcode.Options{}, s.types).Encoder(md)
		if err != nil {
			t.Fatal(err)
		}
		dst, err := enc.Append([]byte("kept"), wire)
		if err == nil || err.Error() != want || string(dst) != "kept" {
			t.Errorf("%x: dst = %q, err = %v, want %s", wire, dst, err, want)
		}
	}
}

func TestEncodeSizeHint(t *testing.T) {
	wire, size := wireOfProducts(t)
	enc := encoder(t, hundredProducts(), transcode.Options{})
	if _, err := enc.Append(nil, wire); err != nil {
		t.Fatal(err)
	}
	if hint := int64(enc.SizeHint(len(wire))); hint < size || hint > 2*size {
		t.Errorf("hint = %d for %d bytes of JSON", hint, size)
	}
}
