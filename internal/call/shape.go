package call

import (
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Shape is what the wire bytes of a message type look like, compiled from its
// descriptor for [Message.ReadableAs]. It is immutable once [Shapes] has made it.
type Shape struct {
	fields   []shapeField                     // by number, for the small ones
	others   map[protowire.Number]*shapeField // nil where there are none
	required uint64                           // all required fields, a bit each
}

// shapeField is a field of a Shape. The zero value is one that nobody knows.
type shapeField struct {
	message  *Shape // of a message or group
	required uint64 // its bit, 0 if it may be left out
	wire     protowire.Type
	kind     fieldKind
}

// fieldKind is what a field has in its wire type.
type fieldKind uint8

const (
	unknown fieldKind = iota
	scalar            // anything that its wire type can hold
	text              // UTF-8
	message           // or a group
	packedVarints
	packed32
	packed64
)

// smallNumbers is how large a number may be beyond the count of fields to stand in
// the slice.
const smallNumbers = 32

// maxRequired is how many required fields are looked for: the first ones.
const maxRequired = 64

// anything is the Shape of a group that nobody knows, nobodys a field.
var (
	anything Shape
	nobodys  shapeField
)

// field finds a field by its number.
func (s *Shape) field(number uint64) *shapeField {
	if number < uint64(len(s.fields)) {
		return &s.fields[number]
	}
	if f, ok := s.others[protowire.Number(number)]; ok {
		return f
	}
	return &nobodys
}

// Shapes makes the Shapes of message types, each once. The zero value is ready. It is
// safe for concurrent use, as the Shapes are.
type Shapes struct {
	mu   sync.Mutex
	made map[protoreflect.MessageDescriptor]*Shape
}

// Later returns a function that returns the Shape of md, which is made by its first
// call.
func (all *Shapes) Later(md protoreflect.MessageDescriptor) func() *Shape {
	return sync.OnceValue(func() *Shape { return all.Of(md) })
}

// Of returns the Shape of md.
func (all *Shapes) Of(md protoreflect.MessageDescriptor) *Shape {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.of(md)
}

// of enters the Shape before its fields, so that types may contain themselves.
func (all *Shapes) of(md protoreflect.MessageDescriptor) *Shape {
	if s, ok := all.made[md]; ok {
		return s
	}
	if all.made == nil {
		all.made = map[protoreflect.MessageDescriptor]*Shape{}
	}
	s := new(Shape)
	all.made[md] = s
	list, small := md.Fields(), protowire.Number(0)
	for i := range list.Len() {
		if n := list.Get(i).Number(); int(n) < list.Len()+smallNumbers {
			small = max(small, n+1)
		}
	}
	s.fields = make([]shapeField, small)
	required := 0
	for i := range list.Len() {
		fd := list.Get(i)
		f := all.field(fd)
		if fd.Cardinality() == protoreflect.Required && required < maxRequired {
			f.required = 1 << required
			s.required |= f.required
			required++
		}
		if int(fd.Number()) < len(s.fields) {
			s.fields[fd.Number()] = f
			continue
		}
		if s.others == nil {
			s.others = map[protowire.Number]*shapeField{}
		}
		s.others[fd.Number()] = &f
	}
	return s
}

// field compiles a field. One of numbers may come packed even where it is not
// declared so; its single values are not looked at then.
func (all *Shapes) field(fd protoreflect.FieldDescriptor) shapeField {
	f := shapeField{kind: scalar, wire: protowire.BytesType}
	switch kind := fd.Kind(); kind {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		f.kind, f.message = message, all.of(fd.Message())
		if kind == protoreflect.GroupKind {
			f.wire = protowire.StartGroupType
		}
	case protoreflect.StringKind:
		if EnforcesUTF8(fd) {
			f.kind = text
		}
	case protoreflect.BytesKind:
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		f.wire, f.kind = numeric(fd, protowire.Fixed32Type, packed32)
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		f.wire, f.kind = numeric(fd, protowire.Fixed64Type, packed64)
	default:
		f.wire, f.kind = numeric(fd, protowire.VarintType, packedVarints)
	}
	return f
}

// numeric is how a field of numbers is looked at.
func numeric(fd protoreflect.FieldDescriptor, single protowire.Type, packed fieldKind) (protowire.Type, fieldKind) {
	if fd.IsList() {
		return protowire.BytesType, packed
	}
	return single, scalar
}

// EnforcesUTF8 reports whether a string that is not UTF-8 is an error: always in
// proto3, never in proto2, and in editions as a feature says.
func EnforcesUTF8(fd protoreflect.FieldDescriptor) bool {
	if fd.Syntax() == protoreflect.Editions {
		if fd, ok := fd.(interface{ EnforceUTF8() bool }); ok {
			return fd.EnforceUTF8()
		}
	}
	return fd.Syntax() == protoreflect.Proto3
}
