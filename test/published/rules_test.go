package published_test

import (
	"fmt"
	"slices"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// rules are those of requests that a document has in keywords of JSON Schema: REQUIRED
// fields, and rules of protovalidate. What it has in words only is not looked at: no
// generator of requests could keep it.
type rules struct {
	validator protovalidate.Validator
}

func newRules(t *testing.T) rules {
	t.Helper()
	validator, err := protovalidate.New()
	if err != nil {
		t.Fatal(err)
	}
	return rules{validator}
}

func (r rules) check(m protoreflect.ProtoMessage) error {
	partial := isPartial(m.ProtoReflect().Descriptor())
	if err := missing(m.ProtoReflect(), partial); err != nil || partial {
		return err
	}
	return r.validator.Validate(m, protovalidate.WithFilter(protovalidate.FilterFunc(isInKeywords)))
}

// isPartial reports whether a request may have some fields of a resource only.
func isPartial(md protoreflect.MessageDescriptor) bool {
	return md.Fields().ByName("update_mask") != nil
}

// isInKeywords reports whether the rules of a field all are keywords.
func isInKeywords(_ protoreflect.Message, d protoreflect.Descriptor) bool {
	fd, isField := d.(protoreflect.FieldDescriptor)
	if !isField {
		return false // rules of messages and oneofs
	}
	field, _ := proto.GetExtension(fd.Options(), validate.E_Field).(*validate.FieldRules)
	if len(field.GetCel())+len(field.GetCelExpression()) > 0 {
		return false
	}
	switch fd.Kind() {
	case protoreflect.StringKind, protoreflect.Int32Kind, protoreflect.BoolKind, protoreflect.DoubleKind:
		return true
	default:
		return fd.IsList() || fd.IsMap() // not numbers in strings, bytes in base64, enums, and messages
	}
}

// missing tells which REQUIRED field is not set. What is empty is not there (AIP-203). Of
// a message that is partial, and those in it, any field may be missing.
func missing(m protoreflect.Message, partial bool) error {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		behavior, _ := proto.GetExtension(fd.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
		isRequired := slices.Contains(behavior, annotations.FieldBehavior_REQUIRED) && !slices.Contains(behavior, annotations.FieldBehavior_OUTPUT_ONLY)
		if isRequired && !partial && !m.Has(fd) {
			return fmt.Errorf("%s is required", fd.Name())
		}
	}
	var err error
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					err = missing(v.Message(), false)
					return err == nil
				})
			}
		case fd.Message() == nil:
		case fd.IsList():
			for i := 0; i < v.List().Len() && err == nil; i++ {
				err = missing(v.List().Get(i).Message(), false)
			}
		default:
			err = missing(v.Message(), partial)
		}
		return err == nil
	})
	return err
}
