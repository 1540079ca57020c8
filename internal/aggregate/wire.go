package aggregate

import (
	"errors"
	"slices"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/view"
)

// What the wire leaves open is settled here as parsers settle it: of a plain
// field the last value counts, a message that comes in pieces is all of them
// together, a member of a oneof ends the one before it, and a list may be packed
// or not, whatever its declaration says. A field under another wire type than its
// own is an unknown one. Unlike in parsers, text is not checked for UTF-8: whoever
// reads it will.

// scanner goes through the fields of a message. It never reads past its end.
type scanner struct {
	rest []byte

	num protowire.Number
	typ protowire.Type
	val []byte // what follows the tag; of a length-delimited field, what follows the length
	bad bool   // this is no message
}

func (s *scanner) next() bool {
	if len(s.rest) == 0 || s.bad {
		return false
	}
	num, typ, n := protowire.ConsumeTag(s.rest)
	if n < 0 {
		s.bad = true
		return false
	}
	s.num, s.typ, s.rest = num, typ, s.rest[n:]
	if typ == protowire.BytesType {
		s.val, n = protowire.ConsumeBytes(s.rest)
	} else if n = protowire.ConsumeFieldValue(num, typ, s.rest); n >= 0 {
		s.val = s.rest[:n]
	}
	if n < 0 {
		s.bad = true
		return false
	}
	s.rest = s.rest[n:]
	return true
}

// errNotValid is of bytes that are no message. It is told as whose they are.
var errNotValid = errors.New("not a valid message")

// wireField is a field as the wire has it. It is immutable.
type wireField struct {
	num    protowire.Number
	typ    protowire.Type // of one element
	list   bool
	packed bool        // by its declaration
	rivals []wireField // the other members of its oneof
	plain  []byte      // a default of its own that is not zero (proto2)

	message protoreflect.MessageDescriptor // what it holds; nil for a scalar
	view    func() *view.Type              // of message
}

func newWireField(fd protoreflect.FieldDescriptor) wireField {
	f := wireField{
		num: fd.Number(), typ: view.WireType(fd.Kind()), list: fd.Cardinality() == protoreflect.Repeated, packed: fd.IsPacked(), message: fd.Message(),
	}
	if f.message != nil {
		f.view = sync.OnceValue(func() *view.Type { return new(view.Types).Of(fd.Message()) })
	}
	if oneof := fd.ContainingOneof(); oneof != nil {
		for i := range oneof.Fields().Len() {
			if other := oneof.Fields().Get(i); other != fd {
				f.rivals = append(f.rivals, wireField{num: other.Number(), typ: view.WireType(other.Kind())})
			}
		}
	}
	if !f.list && fd.HasDefault() {
		f.plain = appendPlain(nil, fd.Kind(), fd.Default())
	}
	return f
}

// one finds the field, which is not a list, in a message. An empty value that is
// set is not nil.
func (f *wireField) one(msg []byte) ([]byte, error) {
	s := scanner{rest: msg}
	var got []byte
	pieces := 0
	for s.next() {
		switch {
		case s.num == f.num && s.typ == f.typ && f.message != nil && pieces > 0:
			if pieces == 1 {
				got = slices.Clip(got) // which is not ours to write into
			}
			got = append(got, s.val...) // pieces on end are the whole
			pieces++
		case s.num == f.num && s.typ == f.typ:
			got, pieces = s.val[:len(s.val)], 1
			if got == nil {
				got = []byte{}
			}
		case f.ended(&s):
			got, pieces = nil, 0
		}
	}
	switch {
	case s.bad:
		return nil, errNotValid
	case pieces > 1:
		return canonical(got, f.view())
	default:
		return got, nil
	}
}

// ended reports whether another member of the oneof takes the place.
func (f *wireField) ended(s *scanner) bool {
	for i := range f.rivals {
		if f.rivals[i].num == s.num && f.rivals[i].typ == s.typ {
			return true
		}
	}
	return false
}

// all are the elements of the field, which is a list.
func (f *wireField) all(msg []byte) (dst [][]byte, _ error) {
	s := scanner{rest: msg}
	for s.next() {
		switch {
		case s.num != f.num:
		case s.typ == f.typ:
			dst = append(dst, s.val[:len(s.val)])
		case s.typ == protowire.BytesType && f.typ != protowire.StartGroupType: // packed
			for rest := s.val; len(rest) > 0; {
				n := protowire.ConsumeFieldValue(f.num, f.typ, rest)
				if n < 0 {
					return nil, errNotValid
				}
				dst, rest = append(dst, rest[:n]), rest[n:]
			}
		}
	}
	if s.bad {
		return nil, errNotValid
	}
	return dst, nil
}

// canonical writes a message anew, each field once.
func canonical(wire []byte, typ *view.Type) ([]byte, error) {
	text := string(wire)
	if _, err := typ.Measure(text); err != nil {
		return nil, errNotValid
	}
	m := typ.New(text)
	out, err := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(m)
	if err != nil || m.Err() != nil {
		return nil, errNotValid
	}
	return append([]byte{}, out...), nil // set, also where it is empty
}

// appendOne writes the field with a value that one, or all, of a field of the
// same kind has found.
func (f *wireField) appendOne(dst, value []byte) []byte {
	dst = protowire.AppendTag(dst, f.num, f.typ)
	if f.typ == protowire.BytesType {
		return protowire.AppendBytes(dst, value)
	}
	return append(dst, value...)
}

// appendAll writes a list.
func (f *wireField) appendAll(dst []byte, values [][]byte) []byte {
	if !f.packed {
		for _, v := range values {
			dst = f.appendOne(dst, v)
		}
		return dst
	}
	n := 0
	for _, v := range values {
		n += len(v)
	}
	if n == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, f.num, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(n))
	for _, v := range values {
		dst = append(dst, v...)
	}
	return dst
}
