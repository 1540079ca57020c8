package openapi

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// applyRules writes protovalidate's rules of a field into its schema. What JSON Schema
// has no keyword for is returned in words.
func applyRules(s *schema, fd protoreflect.FieldDescriptor, rules *validate.FieldRules) []string {
	a := applier{schema: s, kind: fd.Kind(), enum: fd.Enum()}
	switch {
	case fd.IsMap():
		a.mapping(rules.GetMap(), fd)
	case fd.IsList():
		a.list(rules.GetRepeated(), fd)
	default:
		a.apply(rules)
	}
	return append(a.notes, celNotes(rules.GetCel(), rules.GetCelExpression())...)
}

// celNotes are the rules in CEL in words.
func celNotes(rules []*validate.Rule, expressions []string) []string {
	var notes []string
	for _, rule := range rules {
		text := "Rule: `" + rule.GetExpression() + "`"
		if rule.GetMessage() != "" {
			text = "Rule: " + rule.GetMessage() + " (`" + rule.GetExpression() + "`)"
		}
		notes = append(notes, text)
	}
	for _, expression := range expressions {
		notes = append(notes, "Rule: `"+expression+"`")
	}
	return notes
}

// applier writes rules into the schema of one value.
type applier struct {
	schema *schema
	kind   protoreflect.Kind
	enum   protoreflect.EnumDescriptor
	notes  []string
}

func (a *applier) list(rules *validate.RepeatedRules, fd protoreflect.FieldDescriptor) {
	a.schema.MinItems = rules.GetMinItems()
	a.schema.MaxItems = optional(rules.GetMaxItems(), rules.HasMaxItems())
	a.schema.UniqueItems = rules.GetUnique()
	if items := rules.GetItems(); items != nil {
		a.within(a.schema.Items, fd, items, "Each")
	}
}

func (a *applier) mapping(rules *validate.MapRules, fd protoreflect.FieldDescriptor) {
	a.schema.MinProperties = rules.GetMinPairs()
	a.schema.MaxProperties = optional(rules.GetMaxPairs(), rules.HasMaxPairs())
	if keys := rules.GetKeys(); keys != nil && fd.MapKey().Kind() == protoreflect.StringKind {
		a.schema.PropertyNames = &schema{}
		a.within(a.schema.PropertyNames, fd.MapKey(), keys, "Each key")
	}
	if values, inner := rules.GetValues(), a.schema.Additional; values != nil {
		a.within(inner.(*schema), fd.MapValue(), values, "Each value") //nolint:forcetypeassert // a map's schema has one
	}
}

// within applies the rules of the values in a list or map.
func (a *applier) within(s *schema, fd protoreflect.FieldDescriptor, rules *validate.FieldRules, what string) {
	inner := applier{schema: s, kind: fd.Kind(), enum: fd.Enum()}
	inner.apply(rules)
	for _, note := range append(inner.notes, celNotes(rules.GetCel(), rules.GetCelExpression())...) {
		a.notes = append(a.notes, what+": "+note)
	}
}

func optional(n uint64, set bool) *uint64 {
	if !set {
		return nil
	}
	return &n
}

// apply writes the rules of a type, of which there are many alike, by their names.
func (a *applier) apply(rules *validate.FieldRules) {
	m := rules.ProtoReflect()
	typed := m.WhichOneof(m.Descriptor().Oneofs().ByName("type"))
	if typed == nil {
		return
	}
	m.Get(typed).Message().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.IsExtension() || !a.keyword(string(fd.Name()), v) {
			a.note(fd, v)
		}
		return true
	})
	slices.Sort(a.notes) // Range has no order
}

// keyword writes a rule as a keyword of JSON Schema, if there is one for it.
func (a *applier) keyword(name string, v protoreflect.Value) bool {
	if name == "example" || name == "strict" {
		return true
	}
	switch a.kind {
	case protoreflect.StringKind:
		return a.text(name, v)
	case protoreflect.EnumKind:
		return a.enumerated(name, v)
	case protoreflect.BoolKind:
		a.schema.Const = v.Bool()
		return name == "const"
	case protoreflect.BytesKind:
		return a.bytes(name, v)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind, protoreflect.Uint32Kind,
		protoreflect.Fixed32Kind, protoreflect.FloatKind, protoreflect.DoubleKind:
		return a.number(name, v)
	default:
		return false // numbers in strings, and messages
	}
}

func (a *applier) text(name string, v protoreflect.Value) bool {
	s := a.schema
	switch name {
	case "const":
		s.Const = v.String()
	case "in":
		s.Enum = valuesOf(v.List(), func(v protoreflect.Value) any { return v.String() })
	case "not_in":
		s.Not = &schema{Enum: valuesOf(v.List(), func(v protoreflect.Value) any { return v.String() })}
	case "len":
		s.MinLength, s.MaxLength = v.Uint(), new(v.Uint())
	case "min_len":
		s.MinLength = v.Uint()
	case "max_len":
		s.MaxLength = new(v.Uint())
	case "pattern":
		return a.pattern(v.String())
	case "prefix":
		return a.pattern("^" + regexp.QuoteMeta(v.String()))
	case "suffix":
		return a.pattern(regexp.QuoteMeta(v.String()) + "$")
	case "contains":
		return a.pattern(regexp.QuoteMeta(v.String()))
	default:
		format, known := formats[name]
		if known {
			s.Format = format
		}
		return known
	}
	return true
}

// formats are those of JSON Schema that mean what a rule means.
var formats = map[string]string{
	"email": "email", "hostname": "hostname", "ipv4": "ipv4", "ipv6": "ipv6",
	"uri": "uri", "uri_ref": "uri-reference", "uuid": "uuid",
}

// notEverywhere is what RE2 has and the regular expressions of ECMA-262 do not have, or
// have with another meaning.
var notEverywhere = regexp.MustCompile(`\(\?[a-zA-Z-]|\(\?P<|\\[AzQEpPC]|\[\[:|\\x\{`)

func (a *applier) pattern(text string) bool {
	if a.schema.Pattern != "" || notEverywhere.MatchString(text) {
		return false
	}
	a.schema.Pattern = text
	return true
}

func (a *applier) enumerated(name string, v protoreflect.Value) bool {
	if name == "defined_only" {
		return true // no other can be written by its name
	}
	var numbers []protoreflect.EnumNumber
	switch name {
	case "in", "not_in":
		for i := range v.List().Len() {
			numbers = append(numbers, protoreflect.EnumNumber(v.List().Get(i).Int()))
		}
	case "const":
		numbers = append(numbers, protoreflect.EnumNumber(v.Int()))
	}
	var names []string
	for _, n := range numbers {
		if value := a.enum.Values().ByNumber(n); value != nil {
			names = append(names, "`"+string(value.Name())+"`")
		}
	}
	if len(names) == 0 {
		return false
	}
	words := map[string]string{"in": "One of ", "not_in": "None of ", "const": "Must be "}
	a.notes = append(a.notes, words[name]+strings.Join(names, ", ")+".")
	return true
}

// bytes applies lengths, which base64 stretches by a third.
func (a *applier) bytes(name string, v protoreflect.Value) bool {
	if name == "max_len" || name == "len" {
		a.schema.MaxLength = new(uint64(base64.StdEncoding.EncodedLen(int(v.Uint())))) // nobody means a length beyond 63 bits
	}
	return false // in words too
}

func (a *applier) number(name string, v protoreflect.Value) bool {
	s, n := a.schema, v.Interface()
	switch name {
	case "const":
		s.Const = n
	case "in":
		s.Enum = valuesOf(v.List(), protoreflect.Value.Interface)
	case "not_in":
		s.Not = &schema{Enum: valuesOf(v.List(), protoreflect.Value.Interface)}
	case "gt":
		s.ExclusiveMinimum, s.Minimum = n, nil
	case "gte":
		s.Minimum = n
	case "lt":
		s.ExclusiveMaximum, s.Maximum = n, nil
	case "lte":
		s.Maximum = n
	case "finite":
	default:
		return false
	}
	return true
}

func valuesOf(list protoreflect.List, value func(protoreflect.Value) any) []any {
	all := make([]any, list.Len())
	for i := range all {
		all[i] = value(list.Get(i))
	}
	return all
}

// note says a rule in words: its name, and what it is compared with.
func (a *applier) note(fd protoreflect.FieldDescriptor, v protoreflect.Value) {
	words := map[string]string{
		"const": "Must be", "gt": "Greater than", "gte": "At least", "lt": "Less than", "lte": "At most", "in": "One of", "not_in": "None of",
		"min_len": "At least this many bytes:", "max_len": "At most this many bytes:", "len": "This many bytes:",
		"min_bytes": "At least this many bytes in UTF-8:", "max_bytes": "At most this many bytes in UTF-8:", "len_bytes": "This many bytes in UTF-8:",
		"not_contains": "Does not contain", "pattern": "Matches the regular expression",
	}
	name := string(fd.Name())
	word := words[name]
	if word == "" {
		word = "Rule " + name + ":"
	}
	a.notes = append(a.notes, fmt.Sprintf("%s `%s`.", word, textOf(fd, v)))
}

// textOf is a value as JSON has it.
func textOf(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	if fd.IsList() {
		var texts []string
		for i := range v.List().Len() {
			texts = append(texts, oneText(fd, v.List().Get(i)))
		}
		return strings.Join(texts, "`, `")
	}
	return oneText(fd, v)
}

func oneText(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	if fd.Message() != nil {
		text, err := protojson.Marshal(v.Message().Interface())
		if err != nil {
			return ""
		}
		if unquoted, err := strconv.Unquote(string(text)); err == nil {
			return unquoted
		}
		return string(text)
	}
	if fd.Kind() == protoreflect.BytesKind {
		return base64.StdEncoding.EncodeToString(v.Bytes())
	}
	return v.String()
}

// messageRules writes the rules of a whole message.
func (b *builder) messageRules(md protoreflect.MessageDescriptor, dir direction) []string {
	if dir != input {
		return nil
	}
	rules := extension[*validate.MessageRules](reread(md), validate.E_Message)
	var notes []string
	names := b.fieldNames(md)
	for _, oneof := range rules.GetOneof() {
		var members []string
		for _, field := range oneof.GetFields() {
			if fd := md.Fields().ByName(protoreflect.Name(field)); fd != nil {
				members = append(members, names[fd.Index()])
			}
		}
		quantity := "At most one"
		if oneof.GetRequired() {
			quantity = "Exactly one"
		}
		notes = append(notes, fmt.Sprintf("%s of `%s` is set.", quantity, strings.Join(members, "`, `")))
	}
	return append(notes, celNotes(rules.GetCel(), rules.GetCelExpression())...)
}

// refusesZero reports whether rules refuse the zero value. A field without presence must
// be there then: protovalidate cannot tell one that is not set from one that is zero.
func refusesZero(rules *validate.FieldRules) bool {
	m := rules.ProtoReflect()
	typed := m.WhichOneof(m.Descriptor().Oneofs().ByName("type"))
	if typed == nil || rules.GetIgnore() == validate.Ignore_IGNORE_IF_ZERO_VALUE {
		return false
	}
	refused := false
	m.Get(typed).Message().Range(func(rule protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		refused = !rule.IsExtension() && ruleRefusesZero(rule, v)
		return !refused
	})
	return refused
}

func ruleRefusesZero(rule protoreflect.FieldDescriptor, v protoreflect.Value) bool {
	hasZero := func() bool {
		return rule.IsList() && slices.ContainsFunc(valuesOf(v.List(), protoreflect.Value.Interface), isZero)
	}
	switch rule.Name() {
	case "in":
		return !hasZero()
	case "not_in":
		return hasZero()
	case "gt":
		return !isNegative(v)
	case "gte":
		return !isNegative(v) && !isZero(v.Interface())
	case "lt":
		return isNegative(v) || isZero(v.Interface())
	case "lte":
		return isNegative(v)
	case "pattern":
		expression, err := regexp.Compile(v.String())
		return err == nil && !expression.MatchString("")
	case "const", "len", "min_len", "len_bytes", "min_bytes", "min_items", "min_pairs", "prefix", "suffix", "contains":
		return !isZero(v.Interface())
	case "uri_ref", "strict", "finite", "unique", "defined_only":
		return false
	default: // the formats of strings
		return rule.Kind() == protoreflect.BoolKind && !rule.IsList() && v.Bool()
	}
}

func isZero(value any) bool {
	v := reflect.ValueOf(value)
	return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0
}

func isNegative(v protoreflect.Value) bool {
	switch n := v.Interface().(type) {
	case int32:
		return n < 0
	case int64:
		return n < 0
	case float32:
		return n < 0
	case float64:
		return n < 0
	default:
		return false
	}
}
