package contract

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// enum compares two enums of one name.
func (c *checker) enum(was, is protoreflect.EnumDescriptor) {
	if key := "enum " + string(was.FullName()); was == is || c.seen[key] {
		return
	} else {
		c.seen[key] = true
	}
	at := was.FullName()
	before, now := valuesOf(was), valuesOf(is)
	for _, number := range slices.Sorted(maps.Keys(before)) {
		c.value(is, number, before[number], now[number])
	}
	if jsonAllowed(was) && !jsonAllowed(is) {
		c.report(at, "ENUM_SAME_JSON_FORMAT", "its form in JSON is not checked any more")
	}
	c.reserved(at, "RESERVED_ENUM_NO_DELETE", enumRanges(was.ReservedRanges()), enumRanges(is.ReservedRanges()), was.ReservedNames(), is.ReservedNames())
}

// value compares the names that a number has. All of them must stay.
func (c *checker) value(is protoreflect.EnumDescriptor, number protoreflect.EnumNumber, before, now []string) {
	at, names := is.FullName(), strings.Join(before, ", ")
	if len(now) > 0 {
		if slices.ContainsFunc(before, func(name string) bool { return !slices.Contains(now, name) }) {
			c.report(at, "ENUM_VALUE_SAME_NAME", "value %d was %s and is %s", number, names, strings.Join(now, ", "))
		}
		return
	}
	if !is.ReservedRanges().Has(number) {
		c.report(at, "ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED", "value %d (%s) is gone, and its number is not reserved", number, names)
	}
	if slices.ContainsFunc(before, func(name string) bool { return !is.ReservedNames().Has(protoreflect.Name(name)) }) {
		c.report(at, "ENUM_VALUE_NO_DELETE_UNLESS_NAME_RESERVED", "value %s is gone, and its name is not reserved", names)
	}
}

// valuesOf are the names by their numbers, of which one may have several.
func valuesOf(e protoreflect.EnumDescriptor) map[protoreflect.EnumNumber][]string {
	values := map[protoreflect.EnumNumber][]string{}
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		values[v.Number()] = append(values[v.Number()], string(v.Name()))
	}
	return values
}

// within tells whether an enum of another name has all values of this one.
func within(was, is protoreflect.EnumDescriptor) bool {
	for i := range was.Values().Len() {
		a := was.Values().Get(i)
		if b := is.Values().ByName(a.Name()); b == nil || b.Number() != a.Number() {
			return false
		}
	}
	return true
}

// span is a range of numbers, both ends of it included.
type span struct{ first, last int64 }

func fieldRanges(r protoreflect.FieldRanges) []span {
	list := make([]span, r.Len())
	for i := range list {
		list[i] = span{int64(r.Get(i)[0]), int64(r.Get(i)[1]) - 1}
	}
	return list
}

func enumRanges(r protoreflect.EnumRanges) []span {
	list := make([]span, r.Len())
	for i := range list {
		list[i] = span{int64(r.Get(i)[0]), int64(r.Get(i)[1])}
	}
	return list
}

// reserved finds what was kept from being used again, and is not any more.
func (c *checker) reserved(at protoreflect.FullName, rule string, was, is []span, names, now protoreflect.Names) {
	for _, s := range was {
		if missing, ok := uncovered(s, is); ok {
			c.report(at, rule, "number %d is not reserved any more", missing)
		}
	}
	for i := range names.Len() {
		if !now.Has(names.Get(i)) {
			c.report(at, rule, "the name %s is not reserved any more", names.Get(i))
		}
	}
}

// uncovered finds the first number of s that is in none of list.
func uncovered(s span, list []span) (int64, bool) {
	at := s.first
	for at <= s.last {
		i := slices.IndexFunc(list, func(o span) bool { return o.first <= at && at <= o.last })
		if i < 0 {
			return at, true
		}
		at = list[i].last + 1
	}
	return 0, false
}

// jsonAllowed tells whether compilers see to it that a message or an enum has one
// form in JSON: always, but in proto2, and where a feature says otherwise.
func jsonAllowed(d protoreflect.Descriptor) bool {
	for ; d != nil; d = d.Parent() {
		if f := featuresOf(d.Options()); f != nil && f.JsonFormat != nil {
			return f.GetJsonFormat() == descriptorpb.FeatureSet_ALLOW
		}
		if file, ok := d.(protoreflect.FileDescriptor); ok {
			return file.Syntax() != protoreflect.Proto2
		}
	}
	return true
}

func featuresOf(options proto.Message) *descriptorpb.FeatureSet {
	switch o := options.(type) {
	case *descriptorpb.MessageOptions:
		return o.GetFeatures()
	case *descriptorpb.EnumOptions:
		return o.GetFeatures()
	case *descriptorpb.FileOptions:
		return o.GetFeatures()
	default:
		return nil
	}
}
