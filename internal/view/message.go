package view

import (
	"fmt"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"
	"google.golang.org/protobuf/types/dynamicpb"
)

// maxJoined is how many bytes a view may put together of messages that come in
// pieces, which parsers take but no encoder sends.
const maxJoined = 32 << 10

// maxSteps is how many fields may be asked for in one view: a few seconds'
// worth. CEL counts a comparison of two messages as one step, however large they are.
const maxSteps = 1 << 22

// Message is a view of a message. It cannot be changed: what would change it
// panics, as of a message that is not valid. It is safe for concurrent use.
type Message struct {
	root   *root
	typ    *Type
	wire   string
	found  []slot // by the order of the fields, once looked for
	looked bool
	absent bool     // nobody sent it
	inner  *Message // of an Any: what is in it
}

var (
	_ proto.Message        = (*Message)(nil)
	_ protoreflect.Message = (*Message)(nil)
)

// root is what the views of one message share.
type root struct {
	mu     sync.Mutex // of what the views find
	joined int
	steps  int
	err    error
}

// slot is where a field is: what is between the first record of it and the last.
type slot struct {
	field      *field
	start, end int32
	records    int32
	value      any // what was made of it, if that is kept
}

// New returns a view of wire, which Measure has accepted.
func (t *Type) New(wire string) *Message { return &Message{root: new(root), typ: t, wire: wire} }

// Err tells why a view could not give what it was asked for, which was then as if
// it had not been sent. It must be asked after the view has been used.
func (m *Message) Err() error {
	m.root.mu.Lock()
	defer m.root.mu.Unlock()
	return m.root.err
}

// within is a view of something that this holds.
func (m *Message) within(t *Type, wire string) *Message {
	return &Message{root: m.root, typ: t, wire: wire}
}

// none is a view of a message that this could hold and does not.
func (m *Message) none(t *Type) *Message { return &Message{root: m.root, typ: t, absent: true} }

// scratch is where fields are noted until it is known how many there are.
type scratch struct {
	slots []slot
	place []int32 // by the order of the fields: the place in slots, plus one
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// look finds the fields. The root is locked.
func (m *Message) look() {
	if m.looked {
		return
	}
	m.looked = true
	s := scratches.Get().(*scratch) //nolint:forcetypeassert // the pool holds nothing else
	s.slots = s.slots[:0]
	if n := len(m.typ.fields); cap(s.place) < n {
		s.place = make([]int32, n)
	} else {
		s.place = s.place[:n]
		clear(s.place)
	}
	for i := 0; i < len(m.wire); {
		r, after := next(m.wire, i)
		if f := m.typ.field(r.num); f != nil && f.takes(r.typ) {
			s.note(f, i, after)
		}
		i = after
	}
	m.found = make([]slot, 0, len(s.slots))
	for _, one := range s.slots {
		if one.records > 0 {
			m.found = append(m.found, one)
		}
	}
	scratches.Put(s)
}

// takes tells whether a record of a wire type is one of the field.
func (f *field) takes(typ protowire.Type) bool {
	return typ == f.typ || f.packs && typ == protowire.BytesType
}

func (s *scratch) note(f *field, start, end int) {
	if f.rivals != nil { // what another member of the oneof had is gone
		for i := range f.rivals.Fields().Len() {
			if other := f.rivals.Fields().Get(i); other.Number() != f.num {
				if at := s.place[other.Index()]; at > 0 {
					s.slots[at-1].records = 0
				}
			}
		}
	}
	at := s.place[f.desc.Index()]
	if at == 0 {
		s.slots = append(s.slots, slot{field: f})
		at = int32(len(s.slots))
		s.place[f.desc.Index()] = at
	}
	one := &s.slots[at-1]
	if one.records == 0 || !f.list && f.message == nil { // of a scalar the last counts
		one.start = int32(start)
	}
	one.end = int32(end)
	one.records++
}

// slot returns where a field is, nil if it was not sent. The root is locked.
func (m *Message) slot(f *field) *slot {
	if m.root.steps++; m.root.steps > maxSteps {
		m.root.err = fmt.Errorf("more than %d fields were asked for", maxSteps)
		return nil
	}
	m.look()
	for i := range m.found {
		if m.found[i].field == f {
			return &m.found[i]
		}
	}
	return nil
}

// known finds what is known of a field; nil for an extension.
func (m *Message) known(fd protoreflect.FieldDescriptor) *field {
	if fd.IsExtension() {
		return nil
	}
	f := m.typ.field(fd.Number())
	if f == nil || fd.ContainingMessage().FullName() != m.typ.desc.FullName() {
		panic(fmt.Sprintf("%s has no field %s", m.typ.desc.FullName(), fd.FullName()))
	}
	return f
}

// Has reports whether a field was sent; one without presence, whether it is not
// its default.
func (m *Message) Has(fd protoreflect.FieldDescriptor) bool {
	f := m.known(fd)
	if f == nil {
		return false
	}
	m.root.mu.Lock()
	defer m.root.mu.Unlock()
	s := m.slot(f)
	switch {
	case s == nil:
		return false
	case fd.IsMap():
		return true
	case f.list:
		return m.list(s).Len() > 0
	default:
		return fd.HasPresence() || !isZero(f.kind, m.scalar(s))
	}
}

// Get returns what a field holds.
func (m *Message) Get(fd protoreflect.FieldDescriptor) protoreflect.Value {
	f := m.known(fd)
	if f == nil {
		return dynamicpb.NewMessage(m.typ.desc).Get(fd)
	}
	m.root.mu.Lock()
	defer m.root.mu.Unlock()
	s := m.slot(f)
	switch {
	case s != nil:
		return m.value(s)
	case fd.IsMap():
		return protoreflect.ValueOfMap(&Map{in: m, field: f})
	case f.list:
		return protoreflect.ValueOfList(&List{in: m, field: f})
	case f.message != nil:
		return protoreflect.ValueOfMessage(m.none(f.message))
	default:
		return fd.Default()
	}
}

// value is what a field holds. The root is locked.
func (m *Message) value(s *slot) protoreflect.Value {
	switch {
	case s.field.isMap:
		return protoreflect.ValueOfMap(m.entries(s))
	case s.field.list:
		return protoreflect.ValueOfList(m.list(s))
	case s.field.message != nil:
		return protoreflect.ValueOfMessage(m.message(s))
	default:
		return m.scalar(s)
	}
}

func (m *Message) scalar(s *slot) protoreflect.Value {
	if b, ok := s.value.([]byte); ok {
		return protoreflect.ValueOfBytes(b)
	}
	r, _ := next(m.wire, int(s.start))
	v := valueOf(s.field.kind, m.wire[r.start:r.end])
	if s.field.kind == protoreflect.BytesKind && r.end-r.start > small {
		s.value = v.Bytes()
	}
	return v
}

// message is a message that this holds. One that comes in pieces is all of them
// together.
func (m *Message) message(s *slot) *Message {
	if kept, ok := s.value.(*Message); ok {
		return kept
	}
	var wire string
	if s.records == 1 {
		r, _ := next(m.wire, int(s.start))
		wire = m.wire[r.start:r.end]
	} else {
		var ok bool
		if wire, ok = m.join(s); !ok {
			return m.none(s.field.message)
		}
	}
	v := m.within(s.field.message, wire)
	if len(wire) > small || s.records > 1 {
		s.value = v
	}
	return v
}

func (m *Message) join(s *slot) (string, bool) {
	var all []byte
	m.each(s, func(r record) bool {
		m.root.joined += r.end - r.start
		if m.root.joined > maxJoined {
			m.root.err = fmt.Errorf("messages that come in pieces are larger than %d KiB together, such as %s", maxJoined>>10, s.field.desc.FullName())
			return false
		}
		all = append(all, m.wire[r.start:r.end]...)
		return true
	})
	return string(all), m.root.err == nil
}

// each gives the records of a field.
func (m *Message) each(s *slot, f func(record) bool) {
	for i := int(s.start); i < int(s.end); {
		r, after := next(m.wire, i)
		if r.num == s.field.num && s.field.takes(r.typ) && !f(r) {
			return
		}
		i = after
	}
}

// Range gives the fields that Has reports, in no order that could be relied on.
func (m *Message) Range(f func(protoreflect.FieldDescriptor, protoreflect.Value) bool) {
	m.root.mu.Lock()
	m.look()
	fields := make([]protoreflect.FieldDescriptor, len(m.found))
	for i := range m.found {
		fields[i] = m.found[i].field.desc
	}
	m.root.mu.Unlock()
	for _, fd := range fields {
		if m.Has(fd) && !f(fd, m.Get(fd)) {
			return
		}
	}
}

// WhichOneof returns the member of a oneof that was sent, nil for none.
func (m *Message) WhichOneof(o protoreflect.OneofDescriptor) protoreflect.FieldDescriptor {
	for i := range o.Fields().Len() {
		if fd := o.Fields().Get(i); m.Has(fd) {
			return fd
		}
	}
	return nil
}

// GetUnknown returns the records that are none of the type.
func (m *Message) GetUnknown() protoreflect.RawFields {
	var all []byte
	for i := 0; i < len(m.wire); {
		r, after := next(m.wire, i)
		if f := m.typ.field(r.num); f == nil || !f.takes(r.typ) {
			all = append(all, m.wire[i:after]...)
		}
		i = after
	}
	return all
}

// Descriptor describes the message.
func (m *Message) Descriptor() protoreflect.MessageDescriptor { return m.typ.desc }

// Type is the type of messages that can be changed.
func (m *Message) Type() protoreflect.MessageType { return dynamicpb.NewMessageType(m.typ.desc) }

// New returns an empty message, which can be changed.
func (m *Message) New() protoreflect.Message { return dynamicpb.NewMessage(m.typ.desc) }

// ProtoReflect is the message itself.
func (m *Message) ProtoReflect() protoreflect.Message { return m }

// Interface is the message itself.
func (m *Message) Interface() protoreflect.ProtoMessage { return m }

// IsValid reports whether the message was sent.
func (m *Message) IsValid() bool { return !m.absent }

// ProtoMethods are none: package proto looks into the message as anyone does.
func (m *Message) ProtoMethods() *protoiface.Methods { return nil }

const fixed = "a view of a message cannot be changed"

// Clear panics.
func (m *Message) Clear(protoreflect.FieldDescriptor) { panic(fixed) }

// Set panics.
func (m *Message) Set(protoreflect.FieldDescriptor, protoreflect.Value) { panic(fixed) }

// Mutable panics.
func (m *Message) Mutable(protoreflect.FieldDescriptor) protoreflect.Value { panic(fixed) }

// NewField panics.
func (m *Message) NewField(protoreflect.FieldDescriptor) protoreflect.Value { panic(fixed) }

// SetUnknown panics.
func (m *Message) SetUnknown(protoreflect.RawFields) { panic(fixed) }
