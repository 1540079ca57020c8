package view

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// IsAny reports whether the message is a google.protobuf.Any.
func (m *Message) IsAny() bool { return m.typ.isAny }

// Content looks into an Any. find returns the type of a message by its name, nil
// for one that is not known.
func (m *Message) Content(find func(protoreflect.FullName) *Type) (*Message, error) {
	m.root.mu.Lock()
	defer m.root.mu.Unlock()
	if m.inner != nil {
		return m.inner, nil
	}
	url, wire := m.text(1), m.text(2) // type_url and value
	name := url[strings.LastIndexByte(url, '/')+1:]
	t := find(protoreflect.FullName(name))
	if t == nil {
		return nil, fmt.Errorf("an Any holds a %q, which is not known", name)
	}
	if _, err := t.Measure(wire); err != nil {
		return nil, fmt.Errorf("an Any holds no valid %s: %w", name, err)
	}
	m.inner = m.within(t, wire)
	return m.inner, nil
}

// text is what a field of text or bytes holds.
func (m *Message) text(num protowire.Number) string {
	s := m.slot(m.typ.field(num))
	if s == nil {
		return ""
	}
	r, _ := next(m.wire, int(s.start))
	return m.wire[r.start:r.end]
}
