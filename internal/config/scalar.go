package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

const durationName protoreflect.FullName = "google.protobuf.Duration"

// parseScalar reads a value that is not a string.
func parseScalar(n *yaml.Node, field protoreflect.FieldDescriptor) (protoreflect.Value, bool) {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n.Value == "true"), n.Tag == "!!bool" && (n.Value == "true" || n.Value == "false")
	case protoreflect.EnumKind:
		number, ok := enumNumber(field.Enum(), n.Value)
		return protoreflect.ValueOfEnum(number), ok
	case protoreflect.Uint32Kind:
		v, ok := wholeNumber(n.Value)
		return protoreflect.ValueOfUint32(uint32(v)), ok && v <= math.MaxUint32
	case protoreflect.Int64Kind:
		v, ok := size(n.Value)
		return protoreflect.ValueOfInt64(v), ok
	case protoreflect.DoubleKind:
		v, err := strconv.ParseFloat(n.Value, 64)
		return protoreflect.ValueOfFloat64(v), err == nil && (n.Tag == "!!int" || n.Tag == "!!float") && !math.IsInf(v, 0) && !math.IsNaN(v)
	case protoreflect.MessageKind:
		v, ok := duration(n.Value)
		return protoreflect.ValueOfMessage(v.ProtoReflect()), ok
	default: // a test proves that the schema has no others
		return protoreflect.Value{}, false
	}
}

// expected says what a field takes.
func expected(field protoreflect.FieldDescriptor) string {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.EnumKind:
		return oneOf(enumNames(field.Enum()))
	case protoreflect.Uint32Kind:
		return "a whole number up to 4294967295"
	case protoreflect.Int64Kind:
		return `a size such as 65536, "64KiB" or "4MiB"`
	case protoreflect.DoubleKind:
		return "a number such as 0.5"
	case protoreflect.MessageKind:
		return `a duration such as "500ms", "2s" or "1m30s"`
	default:
		return "a string"
	}
}

func oneOf(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}

// enumName is the name of a value in YAML: lower case, without the prefix of
// its enum, with "-" between words and "." between digits.
func enumName(value protoreflect.EnumValueDescriptor) string {
	prefix := upperSnake(string(value.Parent().Name())) + "_"
	name := []byte(strings.ToLower(strings.TrimPrefix(string(value.Name()), prefix)))
	for i, c := range name {
		if c != '_' {
			continue
		}
		name[i] = '-'
		if i > 0 && i+1 < len(name) && isDigit(name[i-1]) && isDigit(name[i+1]) {
			name[i] = '.'
		}
	}
	return string(name)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func upperSnake(camel string) string {
	var b strings.Builder
	for i, c := range camel {
		if i > 0 && c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(c)
	}
	return strings.ToUpper(b.String())
}

// enumNames are the values that can be chosen; zero stands for "not set".
func enumNames(enum protoreflect.EnumDescriptor) []string {
	var list []string
	for i := range enum.Values().Len() {
		if v := enum.Values().Get(i); v.Number() != 0 {
			list = append(list, enumName(v))
		}
	}
	return list
}

// enumNumber takes the name in YAML and the name in the schema.
func enumNumber(enum protoreflect.EnumDescriptor, text string) (protoreflect.EnumNumber, bool) {
	for i := range enum.Values().Len() {
		v := enum.Values().Get(i)
		if v.Number() != 0 && (text == enumName(v) || text == string(v.Name())) {
			return v.Number(), true
		}
	}
	return 0, false
}

// wholeNumber takes decimal digits only: what a leading 0 means differs from
// one version of YAML to the next.
func wholeNumber(text string) (uint64, bool) {
	if len(text) > 1 && text[0] == '0' {
		return 0, false
	}
	v, err := strconv.ParseUint(text, 10, 64)
	return v, err == nil && isDigit(text[0])
}

// unit is a suffix of sizes.
type unit struct {
	name  string
	bytes int64
}

// units are the suffixes, the longer before those that they end in.
func units() []unit {
	return []unit{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}}
}

// size reads a number of bytes, with or without a unit.
func size(text string) (int64, bool) {
	factor := int64(1)
	for _, u := range units() {
		if digits, ok := strings.CutSuffix(text, u.name); ok {
			text, factor = digits, u.bytes
			break
		}
	}
	v, ok := wholeNumber(text)
	if !ok || v > uint64(math.MaxInt64/factor) {
		return 0, false
	}
	return int64(v) * factor, true
}

// formatSize writes a size with the largest binary unit that divides it.
func formatSize(v int64) string {
	for _, u := range []unit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if v != 0 && v%u.bytes == 0 {
			return fmt.Sprintf("%d%s", v/u.bytes, u.name)
		}
	}
	return strconv.FormatInt(v, 10)
}

// duration reads a duration with units; 0 alone needs none, and takes no sign.
func duration(text string) (*durationpb.Duration, bool) {
	v, err := time.ParseDuration(text)
	return durationpb.New(v), err == nil && (text == "0" || strings.Trim(text, "+-0") != "")
}

// formatDuration writes a duration without the zeros that Go adds ("5m0s").
func formatDuration(v *durationpb.Duration) string {
	text := v.AsDuration().String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
