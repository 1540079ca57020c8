package openapi

import "google.golang.org/protobuf/reflect/protoreflect"

const (
	httpBody  protoreflect.FullName = "google.api.HttpBody"
	fieldMask protoreflect.FullName = "google.protobuf.FieldMask"
	anyName   protoreflect.FullName = "google.protobuf.Any"
)

// The patterns of strings that well-known messages have.
const (
	// durations are seconds of at most 12 digits, without zeros in front.
	durations  = `^-?(0|[1-9][0-9]{0,10}|[12][0-9]{11}|3(0[0-9]|1[0-4])[0-9]{9}|315[0-4][0-9]{8}|3155[0-6][0-9]{7}|31557[0-5][0-9]{6}|315576000000)(\.[0-9]{1,9})?s$`
	fieldPath  = `[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*)*`
	fieldPaths = `^(` + fieldPath + `(,` + fieldPath + `)*)?$`
	// allPaths are those that a query takes: there a mask may name every field.
	allPaths = `^(\*|` + fieldPath + `(,` + fieldPath + `)*)?$`
)

// wellKnown is the schema of a message that JSON writes in a form of its own, nil for
// all others.
func (b *builder) wellKnown(md protoreflect.MessageDescriptor, dir direction) *schema {
	switch md.FullName() {
	case "google.protobuf.Timestamp":
		return &schema{Type: typeString, Format: "date-time"}
	case "google.protobuf.Duration":
		return &schema{Type: typeString, Pattern: durations, Description: "A duration in seconds, such as `1.5s`; at most 315576000000s."}
	case fieldMask:
		return &schema{Type: typeString, Pattern: fieldPaths, Description: "Names of fields, separated by commas, in lowerCamelCase."}
	case anyName:
		return b.any(dir)
	case "google.protobuf.Empty":
		s := &schema{Type: typeObject}
		if dir == input && !b.json.GetIgnoreUnknownFields() {
			s.Additional = false
		}
		return s
	case "google.protobuf.Struct":
		return &schema{Type: typeObject, Additional: true, Description: "Any JSON object."}
	case "google.protobuf.ListValue":
		return &schema{Type: typeArray, Items: &schema{}, Description: "Any JSON array."}
	case "google.protobuf.Value":
		return &schema{Description: "Any JSON value."}
	}
	if isWrapper(md) {
		return scalar(md.Fields().ByNumber(1).Kind())
	}
	return nil
}

// isWrapper tells the messages of google/protobuf/wrappers.proto, which JSON writes as
// their values.
func isWrapper(md protoreflect.MessageDescriptor) bool {
	switch md.FullName() {
	case "google.protobuf.BoolValue", "google.protobuf.StringValue", "google.protobuf.BytesValue",
		"google.protobuf.Int32Value", "google.protobuf.Int64Value", "google.protobuf.UInt32Value",
		"google.protobuf.UInt64Value", "google.protobuf.FloatValue", "google.protobuf.DoubleValue":
		value := md.Fields().ByNumber(1)
		return value != nil && value.Message() == nil && value.Enum() == nil
	}
	return false
}

// any is a message of any type with the name of the type. One that was never set has no
// type, and backends may send it. The component is not called Any, which hides a type of
// Python's in generated clients.
func (b *builder) any(dir direction) *schema {
	return b.registry.ref(subject{name: anyName}, dir, component{short: "ProtobufAny", full: string(anyName)}, func() *schema {
		s := &schema{
			Type:        typeObject,
			Description: "A message of any type: its fields beside `@type`, which names the type. A type that JSON writes in a form of its own has that form in `value`.",
			Additional:  true,
		}
		text := "The type, such as `type.googleapis.com/google.rpc.ErrorInfo`."
		if dir == input {
			s.Required = []string{"@type"}
			text += " It is one that the contract has."
		}
		s.Properties.add("@type", &schema{Type: typeString, Description: text})
		return s
	})
}

// hasText reports whether one value of a field can be written as plain text, in a path
// or a query.
func hasText(fd protoreflect.FieldDescriptor) bool {
	md := fd.Message()
	if md == nil {
		return true
	}
	if fd.Kind() != protoreflect.MessageKind {
		return false
	}
	switch md.FullName() {
	case "google.protobuf.Timestamp", "google.protobuf.Duration", fieldMask:
		return true
	}
	return isWrapper(md)
}

// isJSONInQuery tells a field that a query parameter holds as JSON.
func isJSONInQuery(md protoreflect.MessageDescriptor) bool {
	switch md.FullName() {
	case "google.protobuf.Struct", "google.protobuf.ListValue", "google.protobuf.Value":
		return true
	}
	return false
}

// nests reports whether the fields of a field's message can be named one by one.
func nests(fd protoreflect.FieldDescriptor) bool {
	md := fd.Message()
	return md != nil && !fd.IsList() && !fd.IsMap() && !hasText(fd) && !isJSONInQuery(md) &&
		md.FullName() != anyName && md.FullName() != "google.protobuf.Empty"
}
