package view

import (
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// small is how long what is looked at may be for not being kept: it is looked
// through again each time, which costs no more than to find it.
const small = 128

// What a view holds at most, in bytes, for what there is on the wire. The test
// beside this measures that it is not more.
const (
	ofView    = 1 << 10        // what there is once, and a few messages that are small
	ofMessage = 112            // a message that is kept
	ofRecord  = 48             // where a field is
	ofList    = 128            // a list, or a map, that is kept
	ofElement = 10             // where an element of a list is, or a number of it, with what an allocation is rounded up by
	ofEntry   = 80             // an entry of a map, in the table of its keys
	ofUnknown = ofRecord/2 + 2 // for each byte of an Any, in which anything may be
)

// Measure checks that wire is a message of the type, and returns how many bytes a
// view of it holds at most, those of wire among them. It allocates nothing unless
// messages nest deep. What it accepts is what proto.Unmarshal accepts, but that
// required fields may be missing, as with its AllowPartial, and that no more than
// MaxDepth messages may nest.
func (t *Type) Measure(wire string) (int, error) {
	if len(wire) > maxLen {
		return 0, errTooLong
	}
	m := meter{wire: wire, size: ofView + len(wire)}
	room := frames.Get().(*[]frame) //nolint:forcetypeassert // the pool holds nothing else
	m.outer = (*room)[:0]
	defer func() {
		*room = m.outer
		frames.Put(room)
	}()
	m.frame = frame{message: t, end: len(wire), kept: true}
	for {
		for m.at < m.end {
			if err := m.record(); err != nil {
				return 0, err
			}
		}
		if m.group != 0 {
			return 0, errGroup
		}
		if len(m.outer) == 0 {
			return m.size, nil
		}
		m.leave()
	}
}

// meter goes through a message and those in it.
type meter struct {
	frame
	wire   string
	at     int
	size   int
	groups int     // of those around
	outer  []frame // those around
}

// frames are room for what is around a message.
var frames = sync.Pool{New: func() any { return new([]frame) }}

// frame is a message, or a group, that the meter is in.
type frame struct {
	message *Type // nil within a group that is not known
	start   int
	end     int
	group   protowire.Number // of a group: the number that its end has
	kept    bool             // the view may keep what it finds here
	lists   uint64           // those of which there is an element
	long    uint64           // those of which there is one that is not near the start
}

func (m *meter) enter(f frame) error {
	if len(m.outer) == MaxDepth {
		return errDeep
	}
	m.outer = append(m.outer, m.frame)
	m.frame = f
	return nil
}

func (m *meter) leave() {
	m.frame = m.outer[len(m.outer)-1]
	m.outer = m.outer[:len(m.outer)-1]
}

func (m *meter) record() error {
	num, typ, err := protowire.Number(0), protowire.Type(0), error(nil)
	if c := m.wire[m.at]; c >= 8 && c < 0x80 { // by far the most frequent
		num, typ, m.at = protowire.Number(c>>3), protowire.Type(c&7), m.at+1
	} else if num, typ, m.at, err = tag(m.wire[:m.end], m.at); err != nil {
		return err
	}
	var f *field
	if m.message != nil {
		if num > protowire.MaxValidNumber {
			return errTag
		}
		f = m.message.field(num)
	}
	if f != nil && typ != f.typ && (!f.packs || typ != protowire.BytesType) {
		f = nil // as if it were not known
	}
	if f != nil && m.kept {
		m.count(f)
	}
	switch typ {
	case protowire.VarintType:
		_, m.at, err = varint(m.wire[:m.end], m.at)
		return err
	case protowire.Fixed32Type:
		return m.skip(4)
	case protowire.Fixed64Type:
		return m.skip(8)
	case protowire.BytesType:
		return m.bytes(f)
	case protowire.StartGroupType:
		in := frame{start: m.at, end: m.end, group: num}
		if f != nil {
			in.message, in.kept = f.message, m.kept
		}
		if m.groups++; m.groups > MaxGroups {
			return errDeep
		}
		return m.enter(in)
	case protowire.EndGroupType:
		if num != m.group {
			return errGroup
		}
		if m.kept && m.at-m.start > small { // only now it is known how long it is
			m.size += ofMessage
		}
		m.groups--
		m.leave()
		return nil
	default:
		return errTag
	}
}

func (m *meter) skip(n int) error {
	if n > m.end-m.at {
		return errTruncated
	}
	m.at += n
	return nil
}

// bytes goes over a value with a length; f is nil for one that is not known.
func (m *meter) bytes(f *field) error {
	n, at, err := varint(m.wire[:m.end], m.at)
	if err != nil {
		return err
	}
	if n > uint64(m.end-at) {
		return errTruncated
	}
	m.at = at
	end := at + int(n)
	switch {
	case f == nil:
	case f.message != nil:
		if n == 0 {
			if f.isMap && m.kept { // all such entries have one and the same key
				m.size -= ofEntry
			}
			return nil
		}
		in := frame{message: f.message, start: at, end: end, kept: m.kept && n > small}
		if in.kept {
			m.size += ofMessage
		}
		return m.enter(in)
	case f.packs:
		return m.packed(f, end)
	case f.text:
		if !utf8.ValidString(m.wire[at:end]) {
			return errText
		}
	case f.kind == protoreflect.BytesKind && m.kept && n > small:
		m.size += int(n)
		if m.message.isAny {
			m.size += ofUnknown * int(n)
		}
	}
	m.at = end
	return nil
}

// packed goes over a list that is one record.
func (m *meter) packed(f *field, end int) (err error) {
	n := 0
	switch f.typ {
	case protowire.Fixed32Type:
		n = (end - m.at) / 4
	case protowire.Fixed64Type:
		n = (end - m.at) / 8
	default:
		for i := m.at; i < end; n++ {
			if _, i, err = varint(m.wire[:end], i); err != nil {
				return err
			}
		}
	}
	if width := f.width(); width > 0 && n*width != end-m.at {
		return errTruncated
	}
	if m.kept {
		m.size += n * ofElement
	}
	m.at = end
	return nil
}

// width is how long each value of a field is, 0 if that differs.
func (f *field) width() int {
	switch f.typ {
	case protowire.Fixed32Type:
		return 4
	case protowire.Fixed64Type:
		return 8
	default:
		return 0
	}
}

// count adds what a view holds for a record of a field. A list is kept if it is
// not small, and then it has an element that is not near the start of its message.
func (m *meter) count(f *field) {
	if !f.list {
		m.size += ofRecord
		return
	}
	if m.lists&f.bit == 0 {
		m.lists |= f.bit
		m.size += ofRecord
		if f.isMap {
			m.size += ofEntry // for those that are empty
		}
	}
	if m.at-m.start > small && m.long&f.bit == 0 {
		m.long |= f.bit
		m.size += ofList
	}
	m.size += ofElement
	if f.isMap {
		m.size += ofEntry
	}
}
