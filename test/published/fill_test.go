package published_test

import (
	"fmt"
	"math"
	"slices"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// mostDepth is how deep messages are filled within one another.
const mostDepth = 3

// fill sets the fields of a message. Of a oneof, of the values of an enum, and of the
// bounds of numbers, the number of the answer chooses one.
func fill(m protoreflect.Message, turn, depth int) {
	md := m.Descriptor()
	if fillWellKnown(m, turn) || depth > mostDepth {
		return
	}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		if oneof := fd.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() {
			fd = oneof.Fields().Get(turn % oneof.Fields().Len())
		}
		maybe := fd.HasPresence() && fd.Cardinality() != protoreflect.Required
		if maybe && (turn+i)%5 == 0 || isInputOnly(fd) {
			continue // what may be absent sometimes is
		}
		setField(m, fd, turn, depth)
	}
}

func isInputOnly(fd protoreflect.FieldDescriptor) bool {
	behavior, _ := proto.GetExtension(fd.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	return slices.Contains(behavior, annotations.FieldBehavior_INPUT_ONLY)
}

func setField(m protoreflect.Message, fd protoreflect.FieldDescriptor, turn, depth int) {
	switch {
	case fd.IsMap():
		if fd.MapValue().Message() != nil && depth == mostDepth {
			return
		}
		entries := m.Mutable(fd).Map()
		entries.Set(scalarOf(fd.MapKey(), turn).MapKey(), valueOf(entries.NewValue, fd.MapValue(), turn, depth))
	case fd.IsList():
		list := m.Mutable(fd).List()
		for n := range turn % 3 {
			list.Append(valueOf(list.NewElement, fd, turn+n, depth))
		}
	case fd.Message() != nil && depth == mostDepth:
	default:
		m.Set(fd, valueOf(func() protoreflect.Value { return m.NewField(fd) }, fd, turn, depth))
	}
}

func valueOf(empty func() protoreflect.Value, fd protoreflect.FieldDescriptor, turn, depth int) protoreflect.Value {
	if fd.Message() == nil {
		return scalarOf(fd, turn)
	}
	v := empty()
	fill(v.Message(), turn, depth+1)
	return v
}

// scalarOf is a value of a kind: in turn the least, the greatest, and one that is odd in
// some other way.
func scalarOf(fd protoreflect.FieldDescriptor, turn int) protoreflect.Value {
	pick := func(values ...any) protoreflect.Value { return protoreflect.ValueOf(values[turn%len(values)]) }
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return pick(true, false)
	case protoreflect.EnumKind:
		values := fd.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(turn % values.Len()).Number())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return pick(int32(math.MinInt32), int32(math.MaxInt32), int32(-1), int32(0))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return pick(int64(math.MinInt64), int64(math.MaxInt64), int64(-1), int64(0))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return pick(uint32(math.MaxUint32), uint32(0), uint32(7))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return pick(uint64(math.MaxUint64), uint64(0), uint64(7))
	case protoreflect.FloatKind:
		return pick(float32(math.MaxFloat32), float32(-0.5), float32(0))
	case protoreflect.DoubleKind:
		return pick(-math.MaxFloat64, 1e-300, 0.0)
	case protoreflect.BytesKind:
		return pick([]byte{0xff, 0xfe, 0xfb}, []byte("x"), []byte(nil))
	default:
		return pick("text", "<\u2028\"\\\x01é😀>", "", "a/b")
	}
}

// fillWellKnown fills messages of which not every value has a form in JSON.
func fillWellKnown(m protoreflect.Message, turn int) bool {
	fields := m.Descriptor().Fields()
	set := func(number protoreflect.FieldNumber, value any) {
		m.Set(fields.ByNumber(number), protoreflect.ValueOf(value))
	}
	switch m.Descriptor().FullName() {
	case "google.protobuf.Timestamp":
		set(1, []int64{-62135596800, 253402300799, 0}[turn%3])
		set(2, []int32{0, 999999999, 500000000}[turn%3])
	case "google.protobuf.Duration":
		set(1, []int64{-315576000000, 315576000000, 0}[turn%3])
		set(2, []int32{0, 0, -1}[turn%3])
	case "google.protobuf.FieldMask":
		m.Mutable(fields.ByNumber(1)).List().Append(protoreflect.ValueOf([]string{"display_name", "a.b_c", "x"}[turn%3]))
	case "google.protobuf.Any":
		set(1, "type.googleapis.com/google.protobuf.Duration")
	case "google.protobuf.Value":
		set(3, fmt.Sprint("text ", turn))
	case "google.protobuf.Struct", "google.protobuf.ListValue":
		return true
	case "google.api.HttpBody":
		set(1, "text/plain")
		set(2, fmt.Append(nil, "file ", turn))
	default:
		return false
	}
	return true
}
