package expr

import (
	"fmt"
	"math"
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/pb"
	"cel.dev/cel-go/common/types/ref"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/gatehouse-dev/gatehouse/internal/view"
)

// fieldType is the type of a field, or of its elements, in CEL.
func fieldType(field protoreflect.FieldDescriptor, element bool) (*cel.Type, error) {
	if field.IsMap() {
		key, err := fieldType(field.MapKey(), false)
		if err != nil {
			return nil, err
		}
		value, err := fieldType(field.MapValue(), false)
		if err != nil {
			return nil, err
		}
		return cel.MapType(key, value), nil
	}
	var t *cel.Type
	var err error
	if field.Message() != nil {
		t = cel.ObjectType(string(field.Message().FullName()))
	} else if t, err = scalarType(field.Kind()); err != nil {
		return nil, err
	}
	if field.IsList() && !element {
		t = cel.ListType(t)
	}
	return t, nil
}

func scalarType(kind protoreflect.Kind) (*cel.Type, error) {
	switch kind {
	case protoreflect.BoolKind:
		return cel.BoolType, nil
	case protoreflect.StringKind:
		return cel.StringType, nil
	case protoreflect.BytesKind:
		return cel.BytesType, nil
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return cel.DoubleType, nil
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return cel.UintType, nil
	case protoreflect.EnumKind, protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Sint32Kind,
		protoreflect.Sint64Kind, protoreflect.Sfixed32Kind, protoreflect.Sfixed64Kind:
		return cel.IntType, nil
	default:
		return nil, fmt.Errorf("a %v has no type in CEL", kind)
	}
}

// valueOf is a value of CEL's as a field has it; not valid for none.
func valueOf(v ref.Val, field protoreflect.FieldDescriptor) (protoreflect.Value, error) {
	if err, ok := v.(*types.Err); ok {
		return protoreflect.Value{}, err
	}
	if field.Message() != nil {
		return messageOf(v, field.Message())
	}
	switch got := v.(type) {
	case types.Bool:
		return protoreflect.ValueOfBool(bool(got)), nil
	case types.String:
		return protoreflect.ValueOfString(string(got)), nil
	case types.Bytes:
		return protoreflect.ValueOfBytes(got), nil
	case types.Double:
		if field.Kind() == protoreflect.FloatKind {
			return protoreflect.ValueOfFloat32(float32(got)), nil
		}
		return protoreflect.ValueOfFloat64(float64(got)), nil
	case types.Int:
		return intOf(int64(got), field.Kind())
	case types.Uint:
		return uintOf(uint64(got), field.Kind())
	default:
		return protoreflect.Value{}, wrongValue(v, field.Kind().String())
	}
}

func intOf(n int64, kind protoreflect.Kind) (protoreflect.Value, error) {
	switch kind {
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(n), nil
	}
	if n < math.MinInt32 || n > math.MaxInt32 {
		return protoreflect.Value{}, fmt.Errorf("gave %d, which is no %v", n, kind)
	}
	if kind == protoreflect.EnumKind {
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(n)), nil
	}
	return protoreflect.ValueOfInt32(int32(n)), nil
}

func uintOf(n uint64, kind protoreflect.Kind) (protoreflect.Value, error) {
	switch kind {
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(n), nil
	}
	if n > math.MaxUint32 {
		return protoreflect.Value{}, fmt.Errorf("gave %d, which is no %v", n, kind)
	}
	return protoreflect.ValueOfUint32(uint32(n)), nil
}

// wrappers are the messages that hold one plain value, which CEL shows as that
// value or null.
var wrappers = map[protoreflect.FullName]bool{
	"google.protobuf.BoolValue": true, "google.protobuf.BytesValue": true, "google.protobuf.DoubleValue": true,
	"google.protobuf.FloatValue": true, "google.protobuf.Int32Value": true, "google.protobuf.Int64Value": true,
	"google.protobuf.StringValue": true, "google.protobuf.UInt32Value": true, "google.protobuf.UInt64Value": true,
}

// messageOf is a value of CEL's as a message of a type.
func messageOf(v ref.Val, desc protoreflect.MessageDescriptor) (protoreflect.Value, error) {
	name := desc.FullName()
	if _, null := v.(types.Null); null && name != valueName {
		return protoreflect.Value{}, nil
	}
	if found := viewOf(v); found != nil && found.Descriptor().FullName() == name {
		return protoreflect.ValueOfMessage(found), nil
	}
	if wrappers[name] {
		into := dynamicpb.NewMessage(desc)
		inner := desc.Fields().ByName("value")
		value, err := valueOf(v, inner)
		if err == nil {
			into.Set(inner, value)
		}
		return protoreflect.ValueOfMessage(into), err
	}
	wire, err := wireOf(v, name)
	if err != nil {
		return protoreflect.Value{}, err
	}
	typ := new(view.Types).Of(desc)
	if _, err := typ.Measure(string(wire)); err != nil {
		return protoreflect.Value{}, fmt.Errorf("gave a %s that is not valid: %w", name, err)
	}
	return protoreflect.ValueOfMessage(typ.New(string(wire))), nil
}

// viewOf is the message that a value of CEL's was found in, nil for a value that an
// expression made.
func viewOf(v ref.Val) *view.Message {
	var owner *view.Message
	switch found := v.Value().(type) {
	case *view.Message:
		return found
	case *view.List:
		owner = found.Owner()
	case *pb.Map:
		if m, ok := found.Map.(*view.Map); ok {
			owner = m.Owner()
		}
	}
	if owner != nil && (owner.Descriptor().FullName() == structName || owner.Descriptor().FullName() == listName) {
		return owner
	}
	return nil // a list or a map that is a field, and no message of its own
}

// Names of messages that CEL shows as something else.
const (
	anyName    = "google.protobuf.Any"
	valueName  = "google.protobuf.Value"
	structName = "google.protobuf.Struct"
	listName   = "google.protobuf.ListValue"
)

// packed is a message in the form of one that can hold any, nil if it cannot.
func packed(found *view.Message, name protoreflect.FullName) ([]byte, error) {
	from := found.Descriptor().FullName()
	if name != anyName && (name != valueName || from != structName && from != listName) {
		return nil, nil
	}
	wire, err := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(found)
	switch {
	case err != nil:
		return nil, err
	case name == anyName:
		return proto.Marshal(&anypb.Any{TypeUrl: "type.googleapis.com/" + string(from), Value: wire})
	case from == structName:
		return protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), wire), nil // struct_value
	default:
		return protowire.AppendBytes(protowire.AppendTag(nil, 6, protowire.BytesType), wire), nil // list_value
	}
}

// wireOf is a message, or what CEL has in the place of one, as wire bytes.
func wireOf(v ref.Val, name protoreflect.FullName) ([]byte, error) {
	if found := viewOf(v); found != nil {
		if wire, err := packed(found, name); err != nil || wire != nil {
			return wire, err
		}
	}
	if m, ok := v.Value().(proto.Message); ok && m.ProtoReflect().Descriptor().FullName() == name {
		return proto.Marshal(m)
	}
	packed, err := v.ConvertToNative(reflect.TypeFor[*anypb.Any]())
	if err != nil {
		return nil, wrongValue(v, string(name))
	}
	if a, ok := packed.(*anypb.Any); ok {
		if name == anyName {
			return proto.Marshal(a)
		}
		if a.MessageName() == name {
			return a.GetValue(), nil
		}
	}
	return nil, wrongValue(v, string(name))
}
