package contract

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// message compares two messages of one name, and all that is in them.
func (c *checker) message(was, is protoreflect.MessageDescriptor) {
	if key := "message " + string(was.FullName()); was == is || c.seen[key] {
		return
	} else {
		c.seen[key] = true
	}
	at := was.FullName()
	for i := range was.Fields().Len() {
		a := was.Fields().Get(i)
		if b := is.Fields().ByNumber(a.Number()); b != nil {
			c.field(a, b)
			continue
		}
		if !is.ReservedRanges().Has(a.Number()) {
			c.report(at, "FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED", "field %d (%s) is gone, and its number is not reserved", a.Number(), a.Name())
		}
		if !is.ReservedNames().Has(a.Name()) {
			c.report(at, "FIELD_NO_DELETE_UNLESS_NAME_RESERVED", "field %s is gone, and its name is not reserved", a.Name())
		}
	}
	c.required(was, is)
	if jsonAllowed(was) && !jsonAllowed(is) {
		c.report(at, "MESSAGE_SAME_JSON_FORMAT", "its form in JSON is not checked any more")
	}
	c.reserved(at, "RESERVED_MESSAGE_NO_DELETE", fieldRanges(was.ReservedRanges()), fieldRanges(is.ReservedRanges()), was.ReservedNames(), is.ReservedNames())
}

// required finds fields that must be sent, by one side only.
func (c *checker) required(was, is protoreflect.MessageDescriptor) {
	a, b := requiredOf(was), requiredOf(is)
	for _, number := range slices.Sorted(maps.Keys(a)) {
		if !b[number] {
			c.report(was.FullName(), "MESSAGE_SAME_REQUIRED_FIELDS", "field %d is not required any more", number)
		}
	}
	for _, number := range slices.Sorted(maps.Keys(b)) {
		if !a[number] {
			c.report(was.FullName(), "MESSAGE_SAME_REQUIRED_FIELDS", "field %d is required now", number)
		}
	}
}

func requiredOf(m protoreflect.MessageDescriptor) map[protoreflect.FieldNumber]bool {
	numbers := map[protoreflect.FieldNumber]bool{}
	for i := range m.RequiredNumbers().Len() {
		numbers[m.RequiredNumbers().Get(i)] = true
	}
	return numbers
}

// field compares two fields of one number.
func (c *checker) field(was, is protoreflect.FieldDescriptor) {
	at := was.FullName()
	if was.Name() != is.Name() {
		c.report(at, "FIELD_SAME_NAME", "its name is %s", is.Name())
	}
	if was.JSONName() != is.JSONName() {
		c.report(at, "FIELD_SAME_JSON_NAME", "its name in JSON was %s and is %s", was.JSONName(), is.JSONName())
	}
	if a, b := oneofOf(was), oneofOf(is); a != b {
		c.report(at, "FIELD_SAME_ONEOF", "it was %s and is %s", inOneof(a), inOneof(b))
	}
	inMap := was.ContainingMessage().IsMapEntry() && is.ContainingMessage().IsMapEntry()
	if a, b := cardinality(was), cardinality(is); a != b && !inMap {
		c.report(at, "FIELD_WIRE_JSON_COMPATIBLE_CARDINALITY", "it was %s and is %s", a, b)
	}
	if a, b := defaultOf(was), defaultOf(is); a != b {
		c.report(at, "FIELD_SAME_DEFAULT", "its default was %s and is %s", a, b)
	}
	c.fieldType(was, is)
}

// alike are kinds that are the same on the wire and in JSON. Others are alike to
// none but themselves.
var alike = map[protoreflect.Kind]protoreflect.Kind{
	protoreflect.Uint32Kind:   protoreflect.Int32Kind,
	protoreflect.Uint64Kind:   protoreflect.Int64Kind,
	protoreflect.Sfixed32Kind: protoreflect.Fixed32Kind,
	protoreflect.Sfixed64Kind: protoreflect.Fixed64Kind,
}

func group(k protoreflect.Kind) protoreflect.Kind {
	if first, ok := alike[k]; ok {
		return first
	}
	return k
}

func (c *checker) fieldType(was, is protoreflect.FieldDescriptor) {
	const rule = "FIELD_WIRE_JSON_COMPATIBLE_TYPE"
	at := was.FullName()
	if group(was.Kind()) != group(is.Kind()) {
		c.report(at, rule, "its type was %s and is %s", typeOf(was), typeOf(is))
		return
	}
	switch {
	case is.Enum() != nil && was.Enum().FullName() == is.Enum().FullName():
		c.enum(was.Enum(), is.Enum())
	case is.Enum() != nil && (was.Enum().Name() != is.Enum().Name() || !within(was.Enum(), is.Enum())),
		is.Message() != nil && was.Message().FullName() != is.Message().FullName():
		c.report(at, rule, "its type was %s and is %s", typeOf(was), typeOf(is))
	case is.Message() != nil:
		c.message(was.Message(), is.Message())
	}
}

func typeOf(f protoreflect.FieldDescriptor) string {
	switch {
	case f.Enum() != nil:
		return string(f.Enum().FullName())
	case f.Message() != nil:
		return string(f.Message().FullName())
	default:
		return f.Kind().String()
	}
}

func oneofOf(f protoreflect.FieldDescriptor) protoreflect.Name {
	if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
		return o.Name()
	}
	return ""
}

func inOneof(name protoreflect.Name) string {
	if name == "" {
		return "in no oneof"
	}
	return "in oneof " + string(name)
}

func cardinality(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return "a map"
	case f.IsList():
		return "repeated"
	case f.Cardinality() == protoreflect.Required:
		return "required"
	default:
		return "single"
	}
}

// defaultOf is "" for the type's own default, and for what can have none. Numbers
// that are the same are so whatever their types.
func defaultOf(f protoreflect.FieldDescriptor) string {
	if f.Message() != nil || f.Cardinality() == protoreflect.Repeated {
		return ""
	}
	switch v := f.Default().Interface().(type) {
	case bool:
		if v {
			return "1"
		}
		return ""
	case string:
		if v == "" {
			return ""
		}
		return fmt.Sprintf("%q", v)
	case []byte:
		if len(v) == 0 {
			return ""
		}
		return fmt.Sprintf("%q", v)
	case float64:
		return number(fmt.Sprint(float32(v)))
	default:
		return number(fmt.Sprint(v))
	}
}

func number(text string) string {
	if text == "0" {
		return ""
	}
	return text
}

func idempotency(m protoreflect.MethodDescriptor) string {
	options, _ := m.Options().(*descriptorpb.MethodOptions)
	return options.GetIdempotencyLevel().String()
}
