package transcode

import "google.golang.org/protobuf/encoding/protowire"

// maskRecord collects the paths of a document's leaves as the wire bytes of a
// google.protobuf.FieldMask (AIP-134, AIP-161).
//
// While it is on, names that are unknown are refused even where they are
// ignored otherwise: without them {"size":{"height":1}} is {"size":{}} and no
// path, which asks to replace all of size.
type maskRecord struct {
	on   bool
	path []byte // proto names from the document's root to the current field
	wire []byte
}

func (m *maskRecord) reset() {
	m.on, m.path, m.wire = false, m.path[:0], m.wire[:0]
}

// guard says which fields of one message a request's path binds. A body may
// not set or clear them, nor the other members of their oneofs.
type guard struct {
	fields []guardedField // by the field's index
}

type guardedField struct {
	// why refuses the field, "" if it is free.
	why string
	// slot is the path variable that binds the field itself, -1 if none does.
	slot int
	// inner guards the message in the field, nil if all of it is free.
	inner *guard
}

// watched reads a member of a message that is guarded or whose leaves are
// recorded.
func (s *inState) watched(p *inPlan, f *inField, m *members, g *guard) bool {
	var inner *guard
	if g != nil && f.index >= 0 {
		switch w := &g.fields[f.index]; {
		case (w.slot >= 0 || w.why != "") && s.peek() == 'n' && !f.nullIsValue:
			return s.literal("null") // as if it were absent: the path's value stays
		case w.slot >= 0:
			return s.sameAsPath(f, m, w)
		case w.why != "":
			return s.fail("%s", w.why)
		default:
			inner = w.inner
		}
	}
	if !s.mask.on {
		return s.setField(p, f, m, inner)
	}
	return s.recorded(p, f, m, inner)
}

// sameAsPath reads a field that the path binds. A document that repeats the
// path's value, as one that was read before does, sets nothing; nor does the
// default of a field without presence, which clients write for what they did not
// set. Any other value is refused.
func (s *inState) sameAsPath(f *inField, m *members, w *guardedField) bool {
	start := len(s.dst)
	ok := false
	if f.op < inMessage {
		ok = s.scalar(f)
	} else {
		ok = s.measured(f.message(), nil)
	}
	if !ok {
		return false
	}
	same := !s.dropped && s.agreesWithPath(f, s.dst[start:], w.slot)
	s.dst, s.dropped = s.dst[:start], false
	if !same {
		return s.fail("%s", w.why)
	}
	if f.required {
		m.set++
	}
	return true
}

// agreesWithPath reports whether a value from body or query leaves the path's as
// it is: an equal one, or the default of a field without presence.
func (s *inState) agreesWithPath(f *inField, value []byte, slot int) bool {
	return string(value) == string(s.path.value(slot)) || f.implicit && isZero(value, f.op)
}

// recorded reads a member and records the leaves in it.
func (s *inState) recorded(p *inPlan, f *inField, m *members, inner *guard) bool {
	if f.index < 0 {
		return s.fail("an extension cannot be named in a field mask, so it cannot be updated this way")
	}
	parent := len(s.mask.path)
	if parent > 0 {
		s.mask.path = append(s.mask.path, '.')
	}
	s.mask.path = append(s.mask.path, f.proto...)
	leaf := s.leaf(f)
	s.mask.on = !leaf
	ok := s.setField(p, f, m, inner)
	s.mask.on = true
	switch {
	case ok && s.dropped:
		s.dropped = false
		ok = s.fail("expected a name of enum %s or its number", f.enum.desc.Name())
	case ok && leaf:
		ok = s.addPath()
	}
	s.mask.path = s.mask.path[:parent]
	return ok
}

// leaf reports whether the value that comes next is named by the field's own
// path: all but a message with members.
func (s *inState) leaf(f *inField) bool {
	if f.list || f.isMap || f.op < inMessage || f.message().form != formObject || s.peek() != '{' {
		return true
	}
	at := s.pos
	s.pos++
	empty := s.peek() == '}'
	s.pos = at
	return empty
}

// addPath records the current path. Deep leaves have paths much longer than
// themselves: what they may cost is bounded by the body's size.
func (s *inState) addPath() bool {
	m := &s.mask
	const most, spare = 4, 8 << 10
	if len(m.wire)+len(m.path) > most*len(s.src)+spare {
		return s.fail("too many deep fields to name in a field mask; give the mask in the query")
	}
	m.wire = append(m.wire, pathsTag)
	m.wire = protowire.AppendVarint(m.wire, uint64(len(m.path)))
	m.wire = append(m.wire, m.path...)
	return true
}
