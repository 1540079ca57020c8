package aggregate

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/view"
)

// appendPlain writes a scalar as it stands behind a tag, or, of text and bytes,
// behind the length.
func appendPlain(dst []byte, kind protoreflect.Kind, v protoreflect.Value) []byte {
	switch kind {
	case protoreflect.StringKind:
		return append(dst, v.String()...)
	case protoreflect.BytesKind:
		return append(dst, v.Bytes()...)
	case protoreflect.BoolKind:
		return protowire.AppendVarint(dst, protowire.EncodeBool(v.Bool()))
	case protoreflect.EnumKind:
		return protowire.AppendVarint(dst, uint64(v.Enum()))
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return protowire.AppendVarint(dst, uint64(v.Int()))
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return protowire.AppendVarint(dst, protowire.EncodeZigZag(v.Int()))
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return protowire.AppendVarint(dst, v.Uint())
	case protoreflect.Fixed32Kind:
		return protowire.AppendFixed32(dst, uint32(v.Uint()))
	case protoreflect.Fixed64Kind:
		return protowire.AppendFixed64(dst, v.Uint())
	case protoreflect.Sfixed32Kind:
		return protowire.AppendFixed32(dst, uint32(v.Int()))
	case protoreflect.Sfixed64Kind:
		return protowire.AppendFixed64(dst, uint64(v.Int()))
	case protoreflect.FloatKind:
		return protowire.AppendFixed32(dst, math.Float32bits(float32(v.Float())))
	default: // DoubleKind
		return protowire.AppendFixed64(dst, math.Float64bits(v.Float()))
	}
}

// zero is the value of a scalar that is not set, as an element of a list needs it.
func zero(kind protoreflect.Kind) []byte {
	switch view.WireType(kind) {
	case protowire.BytesType:
		return []byte{}
	case protowire.Fixed32Type:
		return make([]byte, 4)
	case protowire.Fixed64Type:
		return make([]byte, 8)
	default:
		return []byte{0}
	}
}

// readPlain is a scalar in the forms that expressions take.
func readPlain(kind protoreflect.Kind, b []byte) any {
	switch kind {
	case protoreflect.StringKind:
		return string(b)
	case protoreflect.BytesKind:
		return b
	case protoreflect.FloatKind:
		n, _ := protowire.ConsumeFixed32(b)
		return float64(math.Float32frombits(n))
	case protoreflect.DoubleKind:
		n, _ := protowire.ConsumeFixed64(b)
		return math.Float64frombits(n)
	case protoreflect.Fixed32Kind:
		n, _ := protowire.ConsumeFixed32(b)
		return uint64(n)
	case protoreflect.Sfixed32Kind:
		n, _ := protowire.ConsumeFixed32(b)
		return int64(int32(n))
	case protoreflect.Fixed64Kind:
		n, _ := protowire.ConsumeFixed64(b)
		return n
	case protoreflect.Sfixed64Kind:
		n, _ := protowire.ConsumeFixed64(b)
		return int64(n)
	default:
		n, _ := protowire.ConsumeVarint(b)
		return readVarint(kind, n)
	}
}

func readVarint(kind protoreflect.Kind, n uint64) any {
	switch kind {
	case protoreflect.BoolKind:
		return n != 0
	case protoreflect.Uint32Kind:
		return uint64(uint32(n))
	case protoreflect.Uint64Kind:
		return n
	case protoreflect.Sint32Kind:
		return int64(int32(protowire.DecodeZigZag(n & math.MaxUint32)))
	case protoreflect.Sint64Kind:
		return protowire.DecodeZigZag(n)
	case protoreflect.Int64Kind:
		return int64(n)
	default: // Int32Kind, EnumKind
		return int64(int32(n))
	}
}

// plainOf is a value out of an expression as it stands on the wire, by the kinds
// that lists of expressions have.
func plainOf(v any) []byte {
	switch v := v.(type) {
	case string:
		return []byte(v)
	case []byte:
		return append([]byte{}, v...)
	case int64:
		return protowire.AppendVarint(nil, uint64(v))
	case uint64:
		return protowire.AppendVarint(nil, v)
	case float64:
		return protowire.AppendFixed64(nil, math.Float64bits(v))
	default:
		b, _ := v.(bool)
		return protowire.AppendVarint(nil, protowire.EncodeBool(b))
	}
}
