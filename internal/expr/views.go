package expr

import (
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/pb"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gatehouse-dev/gatehouse/internal/view"
)

// views gives expressions what is in a view.Message as they ask for it. CEL's own
// types copy a google.protobuf.Struct, Value or Any whole each time that an
// expression names it.
type views struct {
	*types.Registry
	files *protoregistry.Files
	known view.Types
}

var (
	_ types.Provider = (*views)(nil)
	_ types.Adapter  = (*views)(nil)
)

// withViews is an option that must come after those which add types. files has
// the types that an Any may hold.
func withViews(files *protoregistry.Files) cel.EnvOption {
	return func(e *cel.Env) (*cel.Env, error) {
		registry, ok := e.CELTypeProvider().(*types.Registry)
		if !ok {
			return e, nil // has views already
		}
		v := &views{Registry: registry, files: files}
		e, err := cel.CustomTypeProvider(v)(e)
		if err != nil {
			return nil, err
		}
		return cel.CustomTypeAdapter(v)(e)
	}
}

// FindStructFieldType tells how a field is read.
func (v *views) FindStructFieldType(message, name string) (*types.FieldType, bool) {
	found, ok := v.Registry.FindStructFieldType(message, name)
	if !ok {
		return nil, false
	}
	field := *found
	field.GetFrom = func(target any) (any, error) {
		m, ok := target.(*view.Message)
		if !ok {
			return found.GetFrom(target)
		}
		fd := m.Descriptor().Fields().ByName(protoreflect.Name(name))
		if fd == nil || fd.Message() == nil || fd.IsList() || fd.IsMap() {
			return found.GetFrom(target)
		}
		return v.unwrap(m.Get(fd).Message())
	}
	return &field, true
}

// NativeToValue makes a value of CEL's.
func (v *views) NativeToValue(value any) ref.Val {
	switch value := value.(type) {
	case *view.Message:
		return v.message(value)
	case *view.List:
		return types.NewProtoList(v, value)
	case *pb.Map:
		return types.NewProtoMap(v, value)
	case []any:
		return types.NewDynamicList(v, value)
	default:
		return v.Registry.NativeToValue(value)
	}
}

func (v *views) message(m *view.Message) ref.Val {
	value, err := v.unwrap(m)
	if err != nil {
		return types.WrapErr(err)
	}
	m, ok := value.(*view.Message)
	if !ok {
		return v.NativeToValue(value)
	}
	typ, ok := v.FindIdent(string(m.Descriptor().FullName()))
	if !ok {
		return types.NewErr("unknown type: '%s'", m.Descriptor().FullName())
	}
	return &object{Message: m, views: v, typ: typ}
}

// unwrap is what CEL shows in the place of a message: of those that stand for a
// plain value or for JSON, the value; of all others, the message.
func (v *views) unwrap(in protoreflect.Message) (any, error) {
	m, ok := in.(*view.Message)
	if !ok {
		return in.Interface(), nil
	}
	name := m.Descriptor().FullName()
	get := func(field protoreflect.Name) protoreflect.Value {
		return m.Get(m.Descriptor().Fields().ByName(field))
	}
	switch {
	case wrappers[name] && !m.IsValid():
		return types.NullValue, nil
	case wrappers[name]:
		return get("value").Interface(), nil
	case m.IsAny():
		content, err := m.Content(v.typeOf)
		if err != nil {
			return nil, err
		}
		return v.unwrap(content)
	}
	switch name {
	case "google.protobuf.Duration":
		d := durationpb.Duration{Seconds: get("seconds").Int(), Nanos: int32(get("nanos").Int())}
		return d.AsDuration(), nil
	case "google.protobuf.Timestamp":
		t := timestamppb.Timestamp{Seconds: get("seconds").Int(), Nanos: int32(get("nanos").Int())}
		return t.AsTime(), nil
	case structName:
		return types.NewProtoMap(v, &pb.Map{Map: get("fields").Map(), KeyType: structFields.KeyType, ValueType: structFields.ValueType}), nil
	case listName:
		return types.NewProtoList(v, get("values").List()), nil
	case valueName:
		return v.json(m)
	default:
		return m, nil
	}
}

// structFields describes the fields of a google.protobuf.Struct.
var structFields = func() *pb.FieldDescription {
	td, _ := pb.DefaultDb.DescribeType(structName)
	fd, _ := td.FieldByName("fields")
	return fd
}()

// json is what a google.protobuf.Value holds.
func (v *views) json(m *view.Message) (any, error) {
	switch kind := m.WhichOneof(m.Descriptor().Oneofs().Get(0)); {
	case kind == nil || kind.Kind() == protoreflect.EnumKind:
		return types.NullValue, nil
	case kind.Message() != nil:
		return v.unwrap(m.Get(kind).Message())
	default:
		return m.Get(kind).Interface(), nil
	}
}

// typeOf finds the type of what an Any holds. A long name is none: it is looked up with
// each of its parts left out, which would take seconds for what a client may send.
func (v *views) typeOf(name protoreflect.FullName) *view.Type {
	const longest = 512
	if len(name) > longest {
		return nil
	}
	d, err := v.files.FindDescriptorByName(name)
	if err != nil {
		d, err = protoregistry.GlobalFiles.FindDescriptorByName(name)
	}
	if md, ok := d.(protoreflect.MessageDescriptor); ok && err == nil {
		return v.known.Of(md)
	}
	return nil
}

// object is a message as a value of CEL's.
type object struct {
	*view.Message
	views *views
	typ   ref.Val
}

var (
	_ ref.Val            = (*object)(nil)
	_ traits.Indexer     = (*object)(nil)
	_ traits.FieldTester = (*object)(nil)
	_ traits.Zeroer      = (*object)(nil)
)

// Get gives a field by its name.
func (o *object) Get(index ref.Val) ref.Val {
	field, err := o.field(index)
	if err != nil {
		return err
	}
	value, failed := field.GetFrom(o.Message)
	if failed != nil {
		return types.WrapErr(failed)
	}
	return o.views.NativeToValue(value)
}

// IsSet tells whether a field was sent.
func (o *object) IsSet(index ref.Val) ref.Val {
	field, err := o.field(index)
	if err != nil {
		return err
	}
	return types.Bool(field.IsSet(o.Message))
}

func (o *object) field(index ref.Val) (*types.FieldType, ref.Val) {
	name, ok := index.(types.String)
	if !ok {
		return nil, types.MaybeNoSuchOverloadErr(index)
	}
	field, ok := o.views.FindStructFieldType(string(o.Descriptor().FullName()), string(name))
	if !ok {
		return nil, types.NewErr("no such field '%s'", name)
	}
	return field, nil
}

// ConvertToNative makes a copy that does not know of views.
func (o *object) ConvertToNative(want reflect.Type) (any, error) {
	if reflect.TypeOf(o.Message).AssignableTo(want) {
		return o.Message, nil
	}
	copied := dynamicpb.NewMessage(o.Descriptor())
	proto.Merge(copied, o.Message)
	return o.views.Registry.NativeToValue(copied).ConvertToNative(want)
}

// ConvertToType gives the type of the message, or the message if it has the type.
func (o *object) ConvertToType(want ref.Type) ref.Val {
	switch {
	case want == types.TypeType:
		return o.typ
	case want.TypeName() == o.Type().TypeName():
		return o
	default:
		return types.NewErr("type conversion error from '%s' to '%s'", o.Type().TypeName(), want.TypeName())
	}
}

// Equal compares field by field.
func (o *object) Equal(other ref.Val) ref.Val {
	m, ok := other.Value().(proto.Message)
	return types.Bool(ok && pb.Equal(o.Message, m))
}

// IsZeroValue tells whether nothing was sent in the message.
func (o *object) IsZeroValue() bool {
	empty := len(o.GetUnknown()) == 0
	o.Range(func(protoreflect.FieldDescriptor, protoreflect.Value) bool {
		empty = false
		return false
	})
	return empty
}

// Type is the type of the message.
func (o *object) Type() ref.Type {
	if t, ok := o.typ.(ref.Type); ok {
		return t
	}
	return types.ErrType
}

// Value is the message.
func (o *object) Value() any { return o.Message }
