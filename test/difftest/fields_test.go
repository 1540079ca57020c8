package difftest

import (
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// text is a value as it stands in a query, and what is special about it.
type text struct{ value, trait string }

// texts are values to try on a field of a kind, good and bad.
func texts(fd protoreflect.FieldDescriptor) []text {
	if fd.Message() != nil {
		return wellKnownTexts(fd.Message().FullName())
	}
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return boolTexts
	case protoreflect.EnumKind:
		last := fd.Enum().Values().Get(fd.Enum().Values().Len() - 1)
		return append([]text{
			{string(last.Name()), ""}, {fmt.Sprint(last.Number()), ""}, {strings.ToLower(string(last.Name())), ""},
		}, enumTexts...)
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return floatTexts
	case protoreflect.StringKind:
		return stringTexts
	case protoreflect.BytesKind:
		return bytesTexts
	}
	return integerTexts
}

var (
	boolTexts = []text{
		{"true", ""}, {"false", ""}, {"1", "short boolean"}, {"0", "short boolean"}, {"T", "short boolean"}, {"True", "short boolean"},
		{"yes", ""}, {"", ""}, {"2", ""}, {"null", ""},
	}
	enumTexts    = []text{{"0", ""}, {"99", "unknown enum number"}, {"-1", "unknown enum number"}, {"NOPE", ""}, {"", ""}, {"1.0", "whole number with a point"}}
	integerTexts = []text{
		{"7", ""}, {"0", ""}, {"-1", ""}, {"2147483647", ""}, {"x", ""}, {"", ""}, {"1.5", ""}, {"99999999999999999999", ""},
		{"9999999999", ""}, {"1.0", "whole number with a point"}, {"1e2", "whole number with a point"}, {"%2B5", "number with a plus"},
		{"007", "leading zeros"}, {"0x10", ""}, {"1_000", ""}, {"%207", ""}, {"%22" + "7" + "%22", ""},
	}
	floatTexts = []text{
		{"4.5", ""}, {"-1", ""}, {"0", ""}, {"1e-3", ""}, {"NaN", ""}, {"Infinity", ""}, {"-Infinity", ""}, {"inf", "other spelling of infinity"},
		{"nan", "other spelling of infinity"}, {"x", ""}, {"", ""}, {"1e400", ""}, {"0x1p4", "hexadecimal float"}, {"1_0", ""},
		{".5", "incomplete number"}, {"5.", "incomplete number"}, {"%2B5", "number with a plus"},
	}
	stringTexts = []text{
		{"x", ""}, {"", ""}, {"a%20b", ""}, {"a+b", ""}, {"a%2Bb", ""}, {"%C3%A4", ""}, {"%26%3D%23", ""}, {"a=b=c", ""},
		{"%ff", "bad UTF-8 in the query"}, {"%zz", "bad percent-encoding in the query"}, {"a;b", "semicolon in the query"}, {"%00", ""},
	}
	bytesTexts = []text{{"aGk=", ""}, {"aGk", "base64 without padding"}, {"_-8=", ""}, {"!", ""}, {"", ""}}
)

func wellKnownTexts(name protoreflect.FullName) []text {
	switch name {
	case "google.protobuf.Timestamp":
		return []text{
			{"2026-02-03T04:05:06Z", ""}, {"2026-02-03T04:05:06.123456789Z", ""}, {"2026-02-03T04:05:06%2B02:00", ""},
			{"2026-02-03T04:05:06+02:00", ""}, {"2026-02-03", ""}, {"", ""}, {"2026-02-30T00:00:00Z", ""}, {"1770000000", ""},
			{"0000-01-01T00:00:00Z", ""}, {"9999-12-31T23:59:59Z", ""}, {"10000-01-01T00:00:00Z", ""},
			{"2026-02-03t04:05:06z", ""}, {"2026-02-03T04:05Z", ""}, {"2026-02-03T04:05:06.1234567891Z", "digits past the nanosecond"},
			{"2026-02-03T04:05:06,5Z", "comma in a timestamp"}, {"2026-02-03T4:05:06Z", "hour of one digit"},
		}
	case "google.protobuf.Duration":
		return []text{
			{"3600s", ""}, {"1.5s", ""}, {"-2s", ""}, {"0.000000001s", ""}, {"1h", "duration of Go"}, {"1h30m", "duration of Go"}, {"5ms", "duration of Go"},
			{"0", "duration of Go"}, {"s", ""}, {"", ""}, {"5", ""}, {"1e3s", ""}, {".5s", "incomplete number"}, {"99999999999999s", ""}, {"300000000000s", "duration of 9,500 years"},
		}
	case "google.protobuf.FieldMask":
		return []text{
			{"display_name", ""}, {"displayName", "mask in camel case"}, {"title,body", ""}, {"*", ""}, {"", "empty mask"}, {"no.such", ""},
			{"a..b", "broken mask"}, {"a,,b", "broken mask"}, {"%20title", "broken mask"},
		}
	case "google.protobuf.BoolValue":
		return boolTexts
	case "google.protobuf.DoubleValue":
		return floatTexts
	case "google.protobuf.Int64Value", "google.protobuf.Int32Value", "google.protobuf.UInt32Value":
		return integerTexts
	}
	return []text{{"x", "message as one parameter"}, {"%7B%7D", "message as one parameter"}}
}

// parameters varies the query, field by field.
func (b *binding) parameters() []request {
	ask := func(trait, query string) request {
		target, given, _ := strings.Cut(b.target, "?")
		sized := strings.HasPrefix(query, "pageSize") || strings.HasPrefix(query, "page_size") // which is given once
		if given != "" && (!sized || !strings.HasPrefix(given, "pageSize")) {
			query = given + "&" + query
		}
		return b.with(trait, target+"?"+query)
	}
	all := "parameter where the body is all"
	list := []request{
		ask("unknown parameter", "utm_source=x"), ask("unknown parameter", "page_sizes=3"), ask("", "&&"), ask("unknown parameter", "=x"),
		ask("bad percent-encoding in the query", "%zz=1"), ask("semicolon in the query", "a=1;b=2"),
	}
	fields := b.rpc.Input().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		name := string(fd.Name())
		switch {
		case b.Body == "*":
			if !strings.Contains(b.Path, "{"+name+"=") {
				list = append(list, ask(all, name+"=1"))
			}
		case b.Body == name:
			list = append(list, ask("parameter of the body", name+"=1"), ask("parameter of the body", name+"."+inside(fd)+"=1"))
		case strings.Contains(b.Path, "{"+name+"="):
			list = append(list, ask("parameter of the path", name+"=x"))
		default:
			list = append(list, b.parameter(fd, ask)...)
		}
	}
	return list
}

// inside names a field in the message of a field.
func inside(fd protoreflect.FieldDescriptor) string {
	if fd.Message() == nil || fd.Message().Fields().Len() == 0 {
		return "x"
	}
	return string(fd.Message().Fields().Get(0).Name())
}

// kindOf tells fields apart as far as their values go.
func kindOf(place string, fd protoreflect.FieldDescriptor) string {
	kind := fmt.Sprint(place, fd.Kind(), fd.Cardinality(), fd.IsMap())
	if m := fd.Message(); m != nil && !fd.IsMap() && strings.HasPrefix(string(m.FullName()), "google.") {
		kind += string(m.FullName()) // the others are alike: messages with fields
	}
	return kind
}

// few are enough of a list for a field of a kind that was tried before.
func few[T any](seen map[string]bool, kind string, list []T) []T {
	if seen[kind] && len(list) > fewest {
		return list[:fewest]
	}
	seen[kind] = true
	return list
}

const fewest = 2

func (b *binding) parameter(fd protoreflect.FieldDescriptor, ask func(trait, query string) request) []request {
	name, proto := fd.JSONName(), string(fd.Name())
	if fd.IsMap() {
		return []request{
			ask("", name+"[material]=steel"), ask("", name+"[a]=b&"+name+"[c]=d"), ask("", name+"[]=b"), ask("", name+"%5Ba%5D=b"),
			ask("", name+"=b"), ask("broken map key", name+"[a=b"), ask("", name+"[a]=b&"+name+"[a]=c"), ask("", name+".a=b"), ask("key with brackets", name+"[a[b]]=c"),
		}
	}
	if m := fd.Message(); m != nil && !strings.HasPrefix(string(m.FullName()), "google.protobuf.") && !fd.IsList() {
		list := []request{ask("message as one parameter", name+"=x"), ask("", name+".nope.nope=x")}
		list[1].trait = "unknown parameter"
		for i := range m.Fields().Len() {
			leaf := m.Fields().Get(i)
			for _, v := range few(b.seen, kindOf("inner", leaf), texts(leaf)) {
				list = append(list, ask(v.trait, name+"."+leaf.JSONName()+"="+v.value))
			}
		}
		return list
	}
	var list []request
	for _, v := range few(b.seen, kindOf("query", fd), texts(fd)) {
		list = append(list, ask(v.trait, name+"="+v.value))
	}
	good, valueless := texts(fd)[0], ""
	if fd.Message() != nil && fd.Message().FullName() == "google.protobuf.FieldMask" {
		valueless = "empty mask"
	}
	return append(list,
		ask(good.trait, proto+"="+good.value),
		ask("", name+"="+good.value+"&"+name+"="+good.value),
		ask("", name+"="+good.value+"&"+proto+"="+good.value),
		ask("", name+"[x]="+good.value),
		ask("parameter inside a scalar", name+".x="+good.value),
		ask("unknown parameter", strings.ToUpper(proto)+"="+good.value),
		ask(valueless, name),
	)
}

// jsonValues are tried on every field of a body.
var jsonValues = []text{
	{"null", "null member"}, {"true", ""}, {"false", ""}, {"0", ""}, {"7", ""}, {"-1", ""}, {"1.5", ""}, {"1.0", ""}, {"1e2", ""}, {"1e400", ""},
	{"99999999999999999999", ""}, {"-9223372036854775808", ""}, {"01", ""}, {"+1", ""}, {".5", ""}, {"NaN", ""},
	{`""`, ""}, {`"7"`, ""}, {`"-1"`, ""}, {`"1.0"`, ""}, {`"1e2"`, ""}, {`" 7"`, ""}, {`"x"`, ""}, {`"NaN"`, ""}, {`"Infinity"`, ""}, {`"true"`, ""},
	{`"aGk="`, ""}, {`"aGk"`, ""}, {`"_-8="`, ""}, {`"+/8="`, ""}, {`"a=b"`, ""},
	{`"2026-02-03T04:05:06.5Z"`, ""}, {`"2026-02-03T04:05:06+02:00"`, ""}, {`"2026-02-30T00:00:00Z"`, ""}, {`"90s"`, ""}, {`"1h"`, ""}, {`"1.0000000001s"`, ""},
	{`"\u00e4\ud83d\ude00"`, ""}, {`"\ud83d"`, "lone surrogate"}, {`"\x"`, ""}, {"\"a\nb\"", ""}, {`"a\u0000b"`, ""},
	{"[]", ""}, {"[null]", ""}, {`["x"]`, ""}, {"[1,2]", ""}, {"[{}]", ""}, {"[[]]", ""}, {"{}", ""}, {`{"x":"y"}`, "unknown inner field"}, {`{"a":null}`, "unknown inner field"},
	{`{"a":"b","a":"c"}`, "duplicate inner field"}, {`{"units":"5","nanos":3,"currencyCode":"EUR"}`, "unknown inner field"}, {`{"seconds":5}`, "unknown inner field"},
	{`"REASON_LOST"`, ""}, {`"STATE_ACTIVE"`, ""},
}

// patchValues are those of which a mask may make something else.
var patchValues = []text{
	{"null", "null member"}, {"true", ""}, {"0", ""}, {"7", ""}, {"1e2", ""}, {`""`, ""}, {`"x"`, ""}, {`"2026-02-03T04:05:06.5Z"`, ""}, {`"90s"`, ""},
	{"[]", ""}, {"[null]", ""}, {"[{}]", ""}, {"{}", ""}, {`{"x":"y"}`, "unknown inner field"}, {`{"a":null}`, "unknown inner field"}, {`{"a":"b","a":"c"}`, "duplicate inner field"},
	{`{"units":"5","nanos":3,"currencyCode":"EUR"}`, "unknown inner field"}, {`{"seconds":5}`, "unknown inner field"}, {`"STATE_ACTIVE"`, ""}, {`"\ud83d"`, "lone surrogate"},
}

// members varies the body, field by field.
func (b *binding) members() []request {
	message := b.rpc.Input()
	switch b.Body {
	case "":
		return nil
	case "*":
	default:
		message = message.Fields().ByName(protoreflect.Name(b.Body)).Message()
	}
	var list []request
	place, values := "body", jsonValues
	if b.Verb == http.MethodPatch { // where it is the mask that differs
		place, values = b.Verb, patchValues
	}
	for i := range message.Fields().Len() {
		fd := message.Fields().Get(i)
		for _, v := range few(b.seen, kindOf(place, fd), values) {
			trait := v.trait
			if fd.Kind() == protoreflect.EnumKind && strings.HasPrefix(v.value, `"`) && place == b.Verb {
				trait = "unknown enum name in a patch"
			}
			if fd.Message() != nil && fd.Message().FullName() == "google.protobuf.Struct" && place == b.Verb {
				trait = "mask of a Struct"
			}
			if b.binds(fd) {
				trait = "path field in the body"
			}
			list = append(list, request{verb: b.Verb, target: b.target, body: fmt.Sprintf(`{%q:%s}`, fd.JSONName(), v.value), trait: trait})
		}
		list = append(list, request{
			verb: b.Verb, target: b.target, trait: "both names in a body",
			body: fmt.Sprintf(`{%q:null,%q:null}`, fd.JSONName(), fd.Name()),
		})
	}
	return list
}

// binds tells whether the path has a field of the body.
func (b *binding) binds(fd protoreflect.FieldDescriptor) bool {
	name := string(fd.Name())
	if b.Body != "*" {
		name = b.Body + "." + name
	}
	return strings.Contains(b.Path, "{"+name+"=")
}
