package view

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// List is a view of a list. Like a Message it cannot be changed.
type List struct {
	in      *Message
	field   *field
	spans   []span           // of texts, bytes and messages: where they are
	numbers []uint64         // of all others: their bits
	kept    map[int]*Message // of messages that are not small
}

var _ protoreflect.List = (*List)(nil)

// span is a place in the message that a list is in.
type span struct{ start, end int32 }

// list makes the view of a list. The root is locked.
func (m *Message) list(s *slot) *List {
	if kept, ok := s.value.(*List); ok {
		return kept
	}
	l := &List{in: m, field: s.field}
	n := m.count(s)
	if s.field.packs {
		l.numbers = make([]uint64, 0, n)
		m.each(s, func(r record) bool {
			l.add(m.wire[r.start:r.end], r.typ)
			return true
		})
	} else {
		l.spans = make([]span, 0, n)
		m.each(s, func(r record) bool {
			l.spans = append(l.spans, span{int32(r.start), int32(r.end)})
			return true
		})
	}
	if s.end-s.start > small {
		s.value = l
	}
	return l
}

// count tells how many elements a list has.
func (m *Message) count(s *slot) int {
	if !s.field.packs {
		return int(s.records)
	}
	n := 0
	m.each(s, func(r record) bool {
		switch {
		case r.typ != protowire.BytesType:
			n++
		case s.field.width() > 0:
			n += (r.end - r.start) / s.field.width()
		default:
			for i := r.start; i < r.end; i++ {
				if m.wire[i] < 0x80 {
					n++
				}
			}
		}
		return true
	})
	return n
}

// add takes the numbers of a record.
func (l *List) add(wire string, typ protowire.Type) {
	if typ != protowire.BytesType {
		l.numbers = append(l.numbers, bitsOf(typ, wire))
		return
	}
	for i := 0; i < len(wire); {
		after := i + l.field.width()
		if after == i {
			_, after, _ = varint(wire, i)
		}
		l.numbers = append(l.numbers, bitsOf(l.field.typ, wire[i:after]))
		i = after
	}
}

// Owner is the message that has the list.
func (l *List) Owner() *Message { return l.in }

// Len tells how many elements there are.
func (l *List) Len() int { return len(l.spans) + len(l.numbers) }

// Get returns an element.
func (l *List) Get(i int) protoreflect.Value {
	if l.field.packs {
		return numberOf(l.field.kind, l.numbers[i])
	}
	wire := l.in.wire[l.spans[i].start:l.spans[i].end]
	if l.field.message == nil {
		return valueOf(l.field.kind, wire)
	}
	return protoreflect.ValueOfMessage(l.message(i, wire))
}

func (l *List) message(i int, wire string) *Message {
	m := l.in.within(l.field.message, wire)
	if len(wire) <= small {
		return m
	}
	l.in.root.mu.Lock()
	defer l.in.root.mu.Unlock()
	if kept := l.kept[i]; kept != nil {
		return kept
	}
	if l.kept == nil {
		l.kept = map[int]*Message{}
	}
	l.kept[i] = m
	return m
}

// IsValid reports whether the list was sent.
func (l *List) IsValid() bool { return l.Len() > 0 }

// Set panics.
func (l *List) Set(int, protoreflect.Value) { panic(fixed) }

// Append panics.
func (l *List) Append(protoreflect.Value) { panic(fixed) }

// AppendMutable panics.
func (l *List) AppendMutable() protoreflect.Value { panic(fixed) }

// Truncate panics.
func (l *List) Truncate(int) { panic(fixed) }

// NewElement panics.
func (l *List) NewElement() protoreflect.Value { panic(fixed) }

// bitsOf reads a number; nothing is 0.
func bitsOf(typ protowire.Type, wire string) uint64 {
	if typ == protowire.VarintType {
		v, _, _ := varint(wire, 0)
		return v
	}
	var b [8]byte
	copy(b[:], wire)
	return binary.LittleEndian.Uint64(b[:])
}

// valueOf reads a value that is not a message.
func valueOf(kind protoreflect.Kind, wire string) protoreflect.Value {
	switch kind {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(wire)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(wire))
	default:
		return numberOf(kind, bitsOf(WireType(kind), wire))
	}
}

func numberOf(kind protoreflect.Kind, bits uint64) protoreflect.Value {
	switch kind {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(bits != 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(bits))
	case protoreflect.Int32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(bits))
	case protoreflect.Sint32Kind:
		return protoreflect.ValueOfInt32(int32(protowire.DecodeZigZag(bits & math.MaxUint32)))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(bits))
	case protoreflect.Int64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(int64(bits))
	case protoreflect.Sint64Kind:
		return protoreflect.ValueOfInt64(protowire.DecodeZigZag(bits))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(math.Float32frombits(uint32(bits)))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(math.Float64frombits(bits))
	default:
		return protoreflect.ValueOfUint64(bits)
	}
}

// isZero reports whether a value is one that a field without presence has when
// nobody sends it.
func isZero(kind protoreflect.Kind, v protoreflect.Value) bool {
	switch kind {
	case protoreflect.BoolKind:
		return !v.Bool()
	case protoreflect.EnumKind:
		return v.Enum() == 0
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return v.Int() == 0
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return math.Float64bits(v.Float()) == 0 // -0 is not
	case protoreflect.StringKind:
		return v.String() == ""
	case protoreflect.BytesKind:
		return len(v.Bytes()) == 0
	default:
		return v.Uint() == 0
	}
}
