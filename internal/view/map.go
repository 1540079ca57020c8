package view

import "google.golang.org/protobuf/reflect/protoreflect"

// Map is a view of a map. Like a Message it cannot be changed.
type Map struct {
	in    *Message
	field *field
	texts map[string]span // by key: where the entry is
	nums  map[uint64]span // by the bits of a key that is no text
	kept  map[int32]*Message
}

var _ protoreflect.Map = (*Map)(nil)

// entries makes the view of a map. Of entries with one key the last counts. The
// root is locked.
func (m *Message) entries(s *slot) *Map {
	if kept, ok := s.value.(*Map); ok {
		return kept
	}
	f := &Map{in: m, field: s.field}
	key := s.field.message.field(1)
	if f.isText() {
		f.texts = map[string]span{}
	} else {
		f.nums = map[uint64]span{}
	}
	m.each(s, func(r record) bool {
		found := lastOf(m.wire[r.start:r.end], key)
		at := span{int32(r.start), int32(r.end)}
		if f.texts != nil {
			f.texts[found] = at
		} else {
			f.nums[bitsOfKey(valueOf(key.kind, found))] = at
		}
		return true
	})
	if s.end-s.start > small {
		s.value = f
	}
	return f
}

func (f *Map) isText() bool { return f.field.desc.MapKey().Kind() == protoreflect.StringKind }

// lastOf finds the last value of a field that is a scalar.
func lastOf(wire string, f *field) string {
	found := ""
	for i := 0; i < len(wire); {
		r, after := next(wire, i)
		if r.num == f.num && r.typ == f.typ {
			found = wire[r.start:r.end]
		}
		i = after
	}
	return found
}

func bitsOfKey(v protoreflect.Value) uint64 {
	switch v := v.Interface().(type) {
	case bool:
		if v {
			return 1
		}
		return 0
	case int32:
		return uint64(v)
	case int64:
		return uint64(v)
	case uint32:
		return uint64(v)
	case uint64:
		return v
	default:
		return 0
	}
}

func (f *Map) find(key protoreflect.MapKey) (span, bool) {
	if f.isText() {
		at, ok := f.texts[key.String()]
		return at, ok
	}
	at, ok := f.nums[bitsOfKey(key.Value())]
	return at, ok
}

// Owner is the message that has the map.
func (f *Map) Owner() *Message { return f.in }

// Len tells how many keys there are.
func (f *Map) Len() int { return len(f.texts) + len(f.nums) }

// Has reports whether there is a key.
func (f *Map) Has(key protoreflect.MapKey) bool {
	_, ok := f.find(key)
	return ok
}

// Get returns what a key stands for, no value if there is no such key.
func (f *Map) Get(key protoreflect.MapKey) protoreflect.Value {
	at, ok := f.find(key)
	if !ok {
		return protoreflect.Value{}
	}
	return f.value(f.entry(at))
}

// value is what an entry holds. A message that it lacks is empty, and there.
func (f *Map) value(entry *Message) protoreflect.Value {
	fd := f.field.desc.MapValue()
	if fd.Message() != nil && !entry.Has(fd) {
		return protoreflect.ValueOfMessage(entry.within(f.field.message.field(fd.Number()).message, ""))
	}
	return entry.Get(fd)
}

// entry is a view of an entry, which is a message of a key and a value.
func (f *Map) entry(at span) *Message {
	m := f.in.within(f.field.message, f.in.wire[at.start:at.end])
	if at.end-at.start <= small {
		return m
	}
	f.in.root.mu.Lock()
	defer f.in.root.mu.Unlock()
	if kept := f.kept[at.start]; kept != nil {
		return kept
	}
	if f.kept == nil {
		f.kept = map[int32]*Message{}
	}
	f.kept[at.start] = m
	return m
}

// Range gives the keys and what they stand for, in no order.
func (f *Map) Range(yield func(protoreflect.MapKey, protoreflect.Value) bool) {
	each := func(at span) bool {
		e := f.entry(at)
		return yield(e.Get(f.field.desc.MapKey()).MapKey(), f.value(e))
	}
	for _, at := range f.texts {
		if !each(at) {
			return
		}
	}
	for _, at := range f.nums {
		if !each(at) {
			return
		}
	}
}

// IsValid reports whether the map was sent.
func (f *Map) IsValid() bool { return f.Len() > 0 }

// Clear panics.
func (f *Map) Clear(protoreflect.MapKey) { panic(fixed) }

// Set panics.
func (f *Map) Set(protoreflect.MapKey, protoreflect.Value) { panic(fixed) }

// Mutable panics.
func (f *Map) Mutable(protoreflect.MapKey) protoreflect.Value { panic(fixed) }

// NewValue panics.
func (f *Map) NewValue() protoreflect.Value { panic(fixed) }
