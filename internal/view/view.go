// Package view looks into protobuf messages without decoding them.
//
// A [Message] is a view of wire bytes: a field is found when it is asked for,
// and where it was found is noted. So a view takes memory for what is looked at
// and no tree of objects is made of what a client sends. Bytes are checked before
// they are looked at ([Type.Measure]), for what a parser would refuse must not
// reach a condition. A field has the value that google.golang.org/protobuf/proto
// would give it.
//
// buf.build/go/hyperpb v0.1.3, which was meant for this, cuts 64-bit members of a
// oneof to 32 bits, and takes what one member of a oneof holds for the address of
// another: a google.protobuf.Value of a few bytes ends the process, or worse.
package view

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// How deep messages may nest, groups among them, and how deep groups alone, as in
// package transcode. Go's parser takes 10,000, those of C++ and Java take 100.
const (
	MaxDepth  = 1000
	MaxGroups = 100
)

// maxLen is how long a message may be, for places in it are 32 bits.
const maxLen = 1<<31 - 1

// Types are types of messages that can be looked into. The zero value is ready;
// it is safe for concurrent use.
type Types struct {
	mu    sync.Mutex
	known map[protoreflect.MessageDescriptor]*Type
}

// Of returns the type of messages that desc describes.
func (ts *Types) Of(desc protoreflect.MessageDescriptor) *Type {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.known == nil {
		ts.known = map[protoreflect.MessageDescriptor]*Type{}
	}
	return ts.of(desc)
}

func (ts *Types) of(desc protoreflect.MessageDescriptor) *Type {
	if t := ts.known[desc]; t != nil {
		return t
	}
	t := &Type{desc: desc, isAny: desc.FullName() == "google.protobuf.Any", fields: make([]field, desc.Fields().Len())}
	lists := 0
	ts.known[desc] = t // before its fields, which may hold messages of the same type
	for i := range t.fields {
		fd := desc.Fields().Get(i)
		t.fields[i] = newField(fd)
		if fd.Message() != nil {
			t.fields[i].message = ts.of(fd.Message())
		}
		if t.fields[i].list && lists < 64 {
			t.fields[i].bit = 1 << lists
			lists++
		}
		t.number(fd.Number(), i)
	}
	return t
}

// Type is the type of a message. It is immutable.
type Type struct {
	desc   protoreflect.MessageDescriptor
	isAny  bool
	fields []field                  // in the order of the descriptor
	low    []int16                  // by number: the place in fields, plus one
	high   map[protowire.Number]int // of numbers that are not in low
}

// Descriptor describes the messages of the type.
func (t *Type) Descriptor() protoreflect.MessageDescriptor { return t.desc }

func (t *Type) number(num protowire.Number, at int) {
	const lowest = 256
	if num >= lowest {
		if t.high == nil {
			t.high = map[protowire.Number]int{}
		}
		t.high[num] = at
		return
	}
	for len(t.low) <= int(num) {
		t.low = append(t.low, 0)
	}
	t.low[num] = int16(at + 1)
}

// field finds a field by its number; nil for one that is not known.
func (t *Type) field(num protowire.Number) *field {
	if int(num) < len(t.low) {
		if at := t.low[num]; at > 0 {
			return &t.fields[at-1]
		}
		return nil
	}
	if at, ok := t.high[num]; ok {
		return &t.fields[at]
	}
	return nil
}

// field is a field as the wire has it. It is immutable.
type field struct {
	desc    protoreflect.FieldDescriptor
	num     protowire.Number
	typ     protowire.Type // of one value
	kind    protoreflect.Kind
	list    bool // also a map, which is a list of entries
	isMap   bool
	packs   bool // a list that may be packed
	text    bool // must be UTF-8
	rivals  protoreflect.OneofDescriptor
	message *Type  // of what it holds; nil for a scalar
	bit     uint64 // of a list: tells it from the others of the message; 0 for those after the 64th
}

func newField(fd protoreflect.FieldDescriptor) field {
	f := field{
		desc: fd, num: fd.Number(), kind: fd.Kind(), typ: WireType(fd.Kind()), list: fd.Cardinality() == protoreflect.Repeated, isMap: fd.IsMap(),
	}
	f.packs = f.list && f.typ != protowire.BytesType && f.typ != protowire.StartGroupType
	if fd.Kind() == protoreflect.StringKind {
		strict, ok := fd.(interface{ EnforceUTF8() bool })
		f.text = fd.Syntax() == protoreflect.Proto3 || ok && strict.EnforceUTF8()
	}
	if o := fd.ContainingOneof(); o != nil && o.Fields().Len() > 1 {
		f.rivals = o
	}
	return f
}

// WireType is how a value of that kind stands on the wire, one that is not packed.
func WireType(kind protoreflect.Kind) protowire.Type {
	switch kind {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	default:
		return protowire.VarintType
	}
}

// The reasons why bytes are no message.
var (
	errTruncated = errors.New("it ends within a field")
	errTag       = errors.New("a field has an invalid number or wire type")
	errVarint    = errors.New("a number has more than 64 bits")
	errGroup     = errors.New("a group does not end as it began")
	errDeep      = fmt.Errorf("messages nest more than %d deep, or groups more than %d", MaxDepth, MaxGroups)
	errText      = errors.New("a text is not UTF-8")
	errTooLong   = errors.New("it is longer than 2 GiB")
)

// varint reads a number at i of wire, and returns what follows; before i it
// returns why there is none.
func varint(wire string, i int) (v uint64, next int, err error) {
	if i < len(wire) && wire[i] < 0x80 { // by far the most frequent
		return uint64(wire[i]), i + 1, nil
	}
	for shift := uint(0); i < len(wire); shift += 7 {
		c := wire[i]
		i++
		if shift == 63 && c > 1 {
			return 0, 0, errVarint
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, i, nil
		}
	}
	return 0, 0, errTruncated
}

// tag reads what stands before each value.
func tag(wire string, i int) (protowire.Number, protowire.Type, int, error) {
	v, next, err := varint(wire, i)
	if err != nil {
		return 0, 0, 0, err
	}
	num := v >> 3
	if num < uint64(protowire.MinValidNumber) || num > math.MaxInt32 {
		return 0, 0, 0, errTag
	}
	return protowire.Number(num), protowire.Type(v & 7), next, nil
}

// record is a value on the wire, without its tag and its length.
type record struct {
	num        protowire.Number
	typ        protowire.Type
	start, end int // of the value; of a group, what is within
}

// next reads the record at i, and returns where the one after it begins. wire has
// been checked, so that this cannot fail.
func next(wire string, i int) (record, int) {
	r := record{}
	if c := wire[i]; c < 0x80 { // by far the most frequent
		r.num, r.typ, r.start = protowire.Number(c>>3), protowire.Type(c&7), i+1
	} else {
		r.num, r.typ, r.start, _ = tag(wire, i)
	}
	i = r.start
	switch r.typ {
	case protowire.VarintType:
		_, r.end, _ = varint(wire, i)
	case protowire.Fixed32Type:
		r.end = i + 4
	case protowire.Fixed64Type:
		r.end = i + 8
	case protowire.BytesType:
		n, from := uint64(wire[i]), i+1
		if n >= 0x80 {
			n, from, _ = varint(wire, i)
		}
		r.start, r.end = from, from+int(n)
	case protowire.StartGroupType:
		return groupAt(wire, r)
	default:
		return record{}, len(wire)
	}
	return r, r.end
}

// groupAt finds the end of a group.
func groupAt(wire string, r record) (record, int) {
	for i, depth := r.start, 1; i < len(wire); {
		_, typ, after, err := tag(wire, i)
		if err != nil {
			break
		}
		switch typ {
		case protowire.StartGroupType:
			depth++
			i = after
		case protowire.EndGroupType:
			depth--
			if depth == 0 {
				r.end = i
				return r, after
			}
			i = after
		default:
			_, i = next(wire, i)
		}
	}
	return record{}, len(wire)
}
