package compare

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// schema is a JSON Schema, as far as documents of Gatehouse use it.
type schema struct {
	Ref           string             `json:"$ref"`
	Type          any                `json:"type"`
	Format        string             `json:"format"`
	Enum          []any              `json:"enum"`
	Const         any                `json:"const"`
	Pattern       string             `json:"pattern"`
	ReadOnly      bool               `json:"readOnly"`
	WriteOnly     bool               `json:"writeOnly"`
	Items         *schema            `json:"items"`
	UniqueItems   bool               `json:"uniqueItems"`
	Properties    map[string]*schema `json:"properties"`
	PropertyNames *schema            `json:"propertyNames"`
	Additional    json.RawMessage    `json:"additionalProperties"`
	Required      []string           `json:"required"`
	Dependent     map[string]*schema `json:"dependentSchemas"`
	AnyOf         []*schema          `json:"anyOf"`
	OneOf         []*schema          `json:"oneOf"`
	AllOf         []*schema          `json:"allOf"`
	Not           *schema            `json:"not"`

	Minimum          json.RawMessage `json:"minimum"`
	ExclusiveMinimum json.RawMessage `json:"exclusiveMinimum"`
	MinLength        json.RawMessage `json:"minLength"`
	MinItems         json.RawMessage `json:"minItems"`
	MinProperties    json.RawMessage `json:"minProperties"`
	Maximum          json.RawMessage `json:"maximum"`
	ExclusiveMaximum json.RawMessage `json:"exclusiveMaximum"`
	MaxLength        json.RawMessage `json:"maxLength"`
	MaxItems         json.RawMessage `json:"maxItems"`
	MaxProperties    json.RawMessage `json:"maxProperties"`
}

const (
	typeNull   = "null"
	typeObject = "object"
)

// types are those that a schema takes, sorted; none: all.
func (s *schema) types() []string {
	switch t := s.Type.(type) {
	case string:
		return []string{t}
	case []any:
		var list []string
		for _, one := range t {
			list = append(list, fmt.Sprint(one))
		}
		slices.Sort(list)
		return list
	}
	return nil
}

func (s *schema) typeName() string {
	inner, nullable := s.withoutNull()
	switch {
	case nullable:
		return inner.typeName() + orNull(true)
	case s.Ref != "":
		return nameOf(s.Ref)
	case s.Type == nil:
		return "any value"
	}
	return strings.Join(s.types(), " or ")
}

// values are those that a schema names, as JSON; nil: it takes others too.
func (s *schema) values() []string {
	list := s.Enum
	if s.Const != nil {
		list = []any{s.Const}
	}
	var values []string
	for _, v := range list {
		if v == nil {
			continue // the types tell
		}
		text, _ := json.Marshal(v) // it was read from JSON
		values = append(values, string(text))
	}
	return values
}

// additional is whether an object may have other members, and of what schema.
func (s *schema) additional() (allowed bool, of *schema) {
	switch string(s.Additional) {
	case "", "true":
		return true, nil
	case "false":
		return false, nil
	}
	of = new(schema)
	_ = json.Unmarshal(s.Additional, of) // something else is no schema
	return true, of
}

func nameOf(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// withoutNull is a schema without the null that it takes beside others in anyOf.
func (s *schema) withoutNull() (_ *schema, nullable bool) {
	if len(s.AnyOf) != 2 {
		return s, false
	}
	for i, one := range s.AnyOf {
		if one.Type == typeNull {
			return s.AnyOf[1-i], true
		}
	}
	return s, false
}

// differ compares what is sent, or what is answered. Clients break where less is taken
// than before, and where more is answered.
type differ struct {
	*comparer
	*result
	answer bool
}

// schema compares two schemas. One that is not there takes everything.
func (d *differ) schema(old, next *schema, what string) {
	if old == nil || next == nil {
		old, next = orAny(old), orAny(next)
	}
	old, oldNull := old.withoutNull()
	next, nextNull := next.withoutNull()
	if oldNull != nextNull && oldNull != d.answer {
		d.add(Breaking, d.rule("SAME_TYPE"), what, old.typeName()+orNull(oldNull), next.typeName()+orNull(nextNull), d.why("null is refused", "clients do not expect null"))
	}
	if old.Ref != "" && next.Ref != "" {
		d.inner = append(d.inner, pair{nameOf(old.Ref), nameOf(next.Ref), d.answer})
		return
	}
	old, next = d.old.resolve(old), d.next.resolve(next)
	if !d.types(old, next, what) {
		return
	}
	d.format(old, next, what)
	d.enum(old, next, what)
	d.bounds(old, next, what)
	if old.Items != nil || next.Items != nil {
		d.schema(old.Items, next.Items, what+"[]")
	}
	d.object(old, next, what)
	d.choices(old, next, what)
}

func orAny(s *schema) *schema {
	if s == nil {
		return &schema{}
	}
	return s
}

func orNull(nullable bool) string {
	if nullable {
		return " or null"
	}
	return ""
}

// resolve follows references.
func (d *Published) resolve(s *schema) *schema {
	for range 10 { // a reference to itself has no end
		if s == nil || s.Ref == "" {
			break
		}
		s = d.Components.Schemas[nameOf(s.Ref)]
	}
	return orAny(s)
}

// rule names a kind of change by its direction.
func (d *differ) rule(name string) string {
	if d.answer {
		return "RESPONSE_" + name
	}
	return "REQUEST_" + name
}

func (d *differ) why(sent, answered string) string {
	if d.answer {
		return answered
	}
	return sent
}

// types reports whether the two can be compared further.
func (d *differ) types(old, next *schema, what string) bool {
	was, is := old.types(), next.types()
	if d.answer {
		was, is = is, was
	}
	if takes(is, was) {
		return len(was)+len(is) == 0 || overlap(was, is)
	}
	d.add(Breaking, d.rule("SAME_TYPE"), what, old.typeName(), next.typeName(), d.why("values of the type of before are refused", "clients read it as what it was"))
	return overlap(was, is)
}

// takes reports whether all of some types are among others.
func takes(all, some []string) bool {
	if len(all) == 0 {
		return true
	}
	return len(some) > 0 && !slices.ContainsFunc(some, func(t string) bool {
		return !slices.Contains(all, t) && (t != "integer" || !slices.Contains(all, "number"))
	})
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(t string) bool { return t != typeNull && slices.Contains(b, t) })
}

// wider are formats that hold all that another one holds.
var wider = map[string]string{"int32": "int64", "float": "double"}

func (d *differ) format(old, next *schema, what string) {
	from, to := old.Format, next.Format
	if d.answer {
		from, to = to, from
	}
	if from == to || to == "" || wider[from] == to {
		return
	}
	d.add(Breaking, d.rule("SAME_FORMAT"), what+" format", old.Format, next.Format, d.why("values of the form of before are refused", "clients read the form that it had"))
}

func (d *differ) enum(old, next *schema, what string) {
	was, is := old.values(), next.values()
	if d.answer {
		added := without(is, was)
		if is == nil {
			added = []string{"any value"}
		}
		if len(was) > 0 && len(added) > 0 {
			d.add(Risky, "RESPONSE_ENUM_NO_NEW_VALUE", what+" value", "", strings.Join(added, ", "), "clients may not know it")
		}
		return
	}
	switch removed := without(was, is); {
	case is == nil:
	case was == nil:
		d.add(Breaking, "REQUEST_ENUM_NO_DELETE", what, "any value", strings.Join(is, ", "), "others are refused")
	case len(removed) > 0:
		d.add(Breaking, "REQUEST_ENUM_NO_DELETE", what+" value", strings.Join(removed, ", "), "", "requests with it are refused")
	}
}

// without are the values that others do not have.
func without(values, others []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return slices.Contains(others, v) })
}

// bounds compares the bounds of request values; a tighter one breaks clients. Those of
// answers are not compared.
func (d *differ) bounds(old, next *schema, what string) {
	if d.answer {
		return
	}
	tighter := func(name, from, to string, is bool) {
		if is {
			d.add(Breaking, "REQUEST_NO_TIGHTER_BOUND", what+" "+name, from, to, "values that were taken are refused")
		}
	}
	was := old.numbers() // a new int32 is reported as a changed format, so next.numbers is not used
	for _, b := range []struct {
		name     string
		old, new json.RawMessage
		sign     float64
	}{
		{"minimum", was[0], next.Minimum, 1}, {"exclusiveMinimum", old.ExclusiveMinimum, next.ExclusiveMinimum, 1},
		{"minLength", old.MinLength, next.MinLength, 1}, {"minItems", old.MinItems, next.MinItems, 1}, {"minProperties", old.MinProperties, next.MinProperties, 1},
		{"maximum", was[1], next.Maximum, -1}, {"exclusiveMaximum", old.ExclusiveMaximum, next.ExclusiveMaximum, -1},
		{"maxLength", old.MaxLength, next.MaxLength, -1}, {"maxItems", old.MaxItems, next.MaxItems, -1}, {"maxProperties", old.MaxProperties, next.MaxProperties, -1},
	} {
		tighter(b.name, string(b.old), string(b.new), b.new != nil && (b.old == nil || b.sign*number(b.new) > b.sign*number(b.old)))
	}
	tighter("pattern", old.Pattern, next.Pattern, next.Pattern != "" && next.Pattern != old.Pattern)
	tighter("items", "any", "unique", next.UniqueItems && !old.UniqueItems)
	tighter("excluded", text(old.Not), text(next.Not), next.Not != nil && text(old.Not) != text(next.Not))
}

// numbers are the least and the greatest number, if not of the type then of the format.
func (s *schema) numbers() [2]json.RawMessage {
	bounds := [2]json.RawMessage{s.Minimum, s.Maximum}
	if s.Format != "int32" {
		return bounds
	}
	for i, end := range []int{math.MinInt32, math.MaxInt32} {
		if bounds[i] == nil {
			bounds[i] = json.RawMessage(strconv.Itoa(end))
		}
	}
	return bounds
}

func number(raw json.RawMessage) float64 {
	n, _ := json.Number(raw).Float64()
	return n
}

// text is a schema as JSON, "" for none.
func text(s *schema) string {
	if s == nil {
		return ""
	}
	b, _ := json.Marshal(s.values()) // text can be written
	return string(b)
}

// object compares members.
func (d *differ) object(old, next *schema, what string) {
	oldAllowed, oldOf := old.additional()
	nextAllowed, nextOf := next.additional()
	for _, name := range slices.Sorted(maps.Keys(old.Properties)) {
		was, is, field := old.Properties[name], next.Properties[name], what+"."+name
		switch {
		case is == nil && d.answer && !was.WriteOnly:
			d.add(Breaking, "RESPONSE_FIELD_NO_DELETE", field, was.typeName(), "", "clients that read it find nothing")
		case is == nil && !d.answer && !was.ReadOnly && !nextAllowed:
			d.add(Breaking, "REQUEST_FIELD_NO_DELETE", field, was.typeName(), "", "requests with it are refused")
		case is == nil && !d.answer && !was.ReadOnly:
			d.add(Risky, "REQUEST_FIELD_NO_DELETE", field, was.typeName(), "", "what clients send in it is not read")
		case is == nil:
		default:
			d.schema(was, is, field)
			d.access(was, is, field)
		}
	}
	d.required(old, next, what)
	if !d.answer && oldAllowed && !nextAllowed && slices.Contains(old.types(), typeObject) {
		d.add(Breaking, "REQUEST_NO_CLOSING", what, "unknown fields are ignored", "unknown fields are refused", "requests with unknown fields are refused")
	}
	if oldOf != nil && nextOf != nil {
		d.schema(oldOf, nextOf, what+"{}")
	}
	if old.PropertyNames != nil || next.PropertyNames != nil {
		d.schema(old.PropertyNames, next.PropertyNames, what+" key")
	}
}

// access compares in which direction a field goes.
func (d *differ) access(was, is *schema, field string) {
	if !d.answer && is.ReadOnly && !was.ReadOnly {
		d.add(Risky, "REQUEST_FIELD_NO_READ_ONLY", field, "read and written", "read only", "what clients send in it is not taken")
	}
	if d.answer && is.WriteOnly && !was.WriteOnly {
		d.add(Breaking, "RESPONSE_FIELD_NO_WRITE_ONLY", field, "read and written", "write only", "clients that read it find nothing")
	}
}

func (d *differ) required(old, next *schema, what string) {
	from, to := old.Required, next.Required
	if d.answer {
		from, to = to, from
	}
	for _, name := range without(to, from) {
		switch {
		case !d.answer && old.Properties[name] == nil:
			d.add(Breaking, "REQUEST_FIELD_NO_NEW_REQUIRED", what+"."+name, "", "required", "requests without it are refused")
		case !d.answer:
			d.add(Breaking, "REQUEST_FIELD_NO_NEW_REQUIRED", what+"."+name, "optional", "required", "requests without it are refused")
		case next.Properties[name] != nil:
			d.add(Breaking, "RESPONSE_FIELD_SAME_REQUIRED", what+"."+name, "always there", "optional", "clients rely on finding it")
		}
	}
}

// choices compares members of which one may be set, and schemas of which one must hold.
func (d *differ) choices(old, next *schema, what string) {
	if !d.answer {
		before := old.exclusive()
		for _, both := range next.exclusive() {
			if !slices.Contains(before, both) && old.Properties[both[0]] != nil && old.Properties[both[1]] != nil {
				d.add(Breaking, "REQUEST_FIELD_NO_NEW_ONEOF", what+"."+both[0]+" and "+both[1], "both may be set", "one may be set", "requests with both are refused")
			}
		}
	}
	for _, lists := range [][2][]*schema{{old.AnyOf, next.AnyOf}, {old.OneOf, next.OneOf}, {old.AllOf, next.AllOf}} {
		if len(lists[0]) != len(lists[1]) {
			d.add(Risky, d.rule("SAME_ALTERNATIVES"), what, count(lists[0]), count(lists[1]), "the alternatives differ in number")
			continue
		}
		for i := range lists[0] {
			d.schema(lists[0][i], lists[1][i], what)
		}
	}
}

func count(list []*schema) string { return fmt.Sprintf("%d alternatives", len(list)) }

// exclusive are the pairs of members of which only one may be set.
func (s *schema) exclusive() [][2]string {
	var pairs [][2]string
	for _, name := range slices.Sorted(maps.Keys(s.Dependent)) {
		not := s.Dependent[name].Not
		if not == nil {
			continue
		}
		for _, other := range append([]*schema{not}, not.AnyOf...) {
			for _, second := range other.Required {
				pair := [2]string{name, second}
				slices.Sort(pair[:])
				pairs = append(pairs, pair)
			}
		}
	}
	return pairs
}
