package call

import (
	"unicode/utf8"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxNesting is how deep messages may be nested for protobuf's libraries of C++,
// Java and others. Go's takes more.
const maxNesting = 100

// ReadableAs reports whether the message is one of that type for every library of
// protobuf: it is well-formed, its strings are UTF-8 where they must be, no required
// field is missing, and it is not nested too deep. It decodes nothing, and allocates
// only where the type has required fields or the bytes are in several pieces.
func (m *Message) ReadableAs(md protoreflect.MessageDescriptor) bool {
	if len(m.Data) == 1 {
		return readableMessage(m.Data[0].ReadOnlyData(), md, maxNesting)
	}
	whole := m.Data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	return readableMessage(whole.ReadOnlyData(), md, maxNesting)
}

func readableMessage(b []byte, md protoreflect.MessageDescriptor, depth int) bool {
	if depth == 0 {
		return false
	}
	fields, required := md.Fields(), requiredOf(md)
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || number > protowire.MaxValidNumber {
			return false
		}
		b = b[n:]
		size := protowire.ConsumeFieldValue(number, kind, b)
		if size < 0 {
			return false
		}
		if fd := fields.ByNumber(number); fd != nil {
			if !readableField(b[:size], kind, fd, depth) {
				return false
			}
			delete(required, number)
		}
		b = b[size:]
	}
	return len(required) == 0
}

// requiredOf are the required fields of a message, nil for none: only proto2 has
// them.
func requiredOf(md protoreflect.MessageDescriptor) map[protowire.Number]bool {
	numbers := md.RequiredNumbers()
	if numbers.Len() == 0 {
		return nil
	}
	required := make(map[protowire.Number]bool, numbers.Len())
	for i := range numbers.Len() {
		required[numbers.Get(i)] = true
	}
	return required
}

// readableField looks at the value of a field, which is well-formed for its wire
// type. One in another wire type than the field's is an unknown field, and passes.
func readableField(b []byte, kind protowire.Type, fd protoreflect.FieldDescriptor, depth int) bool {
	switch kind {
	case protowire.StartGroupType:
		if fd.Kind() != protoreflect.GroupKind {
			return true
		}
		inner, n := protowire.ConsumeGroup(fd.Number(), b)
		return n >= 0 && readableMessage(inner, fd.Message(), depth-1)
	case protowire.BytesType:
		inner, n := protowire.ConsumeBytes(b)
		return n >= 0 && readableBytes(inner, fd, depth)
	default:
		return true
	}
}

func readableBytes(b []byte, fd protoreflect.FieldDescriptor, depth int) bool {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		return readableMessage(b, fd.Message(), depth-1)
	case protoreflect.StringKind:
		return !EnforcesUTF8(fd) || utf8.Valid(b)
	case protoreflect.BytesKind, protoreflect.GroupKind:
		return true
	default:
		return !fd.IsList() || readablePacked(b, fd.Kind())
	}
}

// readablePacked looks at the numbers of a packed field.
func readablePacked(b []byte, kind protoreflect.Kind) bool {
	switch kind {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return len(b)%4 == 0
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return len(b)%8 == 0
	default:
		for len(b) > 0 {
			_, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return false
			}
			b = b[n:]
		}
		return true
	}
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
