package transcode

import (
	"math"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// message reads one message in its JSON form and writes its fields. The guard
// is nil but for a body with fields that the path binds.
func (s *inState) message(p *inPlan, g *guard) bool {
	if !s.enter() {
		return false
	}
	ok := false
	if p.form == formObject {
		ok = s.object(p, g)
	} else {
		ok = s.wellKnown(p)
	}
	s.leave()
	return ok
}

// object reads the members of an object as the fields of a message.
func (s *inState) object(p *inPlan, g *guard) bool {
	if s.peek() != '{' {
		return s.expected(s.pos, "an object")
	}
	s.pos++
	m := s.open(p)
	var ok bool
	for more := !s.closed('}'); more; {
		f, known := s.member(p, &m)
		if !known {
			return false
		}
		if f != nil && !s.setMember(p, f, &m, g) {
			return s.within(f.json)
		}
		if more, ok = s.more('}'); !ok {
			return false
		}
	}
	s.close(&m)
	return m.set >= p.required || s.partial > 0 || s.missing(p, &m)
}

// member reads a member's name up to its value. It returns no field for a
// member that is ignored, value included.
func (s *inState) member(p *inPlan, m *members) (*inField, bool) {
	if s.peek() != '"' {
		return nil, s.expectedToken("a field name in quotes")
	}
	if f := s.predicted(p, m.next); f != nil {
		m.next = f.index + 1
		return f, true
	}
	name, ok := s.name()
	if !ok {
		return nil, false
	}
	f := p.lookup(name)
	if f != nil {
		m.next = f.index + 1
		return f, true
	}
	return s.strange(p, name)
}

// predicted compares what comes next with the names of the next few fields:
// documents mostly keep the order of declaration.
func (s *inState) predicted(p *inPlan, next int) *inField {
	const few = 4
	rest := s.src[s.pos:]
	for i := next; i < len(p.keys) && i < next+few; i++ {
		key := p.keys[i]
		if len(rest) > len(key) && string(rest[:len(key)]) == key {
			s.pos += len(key)
			return &p.fields[i]
		}
	}
	return nil
}

// strange handles a name that is no field's: an extension, the type of the Any
// around the message, or a mistake.
func (s *inState) strange(p *inPlan, name []byte) (*inField, bool) {
	if s.types.inAny(s.depth) && string(name) == typeMember {
		ok := s.once(s.types.given, typeMember)
		s.types.given = true
		return nil, ok && s.skip()
	}
	if len(name) > 1 && name[0] == '[' && name[len(name)-1] == ']' {
		f, ok := s.extension(p, name[1:len(name)-1])
		if f != nil || !ok {
			return f, ok
		}
	}
	if s.rt.ignoreUnknown && !s.mask.on {
		return nil, s.skip()
	}
	s.fail("unknown field in %s%s", p.desc.FullName(), didYouMean(string(name), p.names()))
	return nil, s.withinGiven(name)
}

// displayName quotes a client's name unless it reads like a field's.
func displayName(name string) string {
	if name == "" || len(name) > maxExcerpt || wordLen([]byte(name)) < len(name) {
		return quote([]byte(name))
	}
	return name
}

// extension finds the extension of that full name; nil if there is none.
func (s *inState) extension(p *inPlan, name []byte) (*inField, bool) {
	if f, ok := p.ext.get(name); ok {
		return f, true
	}
	if s.rt.resolver == nil {
		return nil, true
	}
	full := protoreflect.FullName(name)
	xt, err := s.rt.resolver.FindExtensionByName(full)
	if err == protoregistry.NotFound || err == nil && xt == nil {
		return nil, true
	}
	if err != nil {
		return nil, s.fail("extension %s cannot be resolved", quote(name))
	}
	xd := xt.TypeDescriptor()
	if !p.desc.ExtensionRanges().Has(xd.Number()) || xd.ContainingMessage().FullName() != p.desc.FullName() {
		return nil, s.fail("%s does not extend %s", xd.FullName(), p.desc.FullName())
	}
	f := s.rt.field(xd)
	p.ext.put(string(full), f)
	return f, true
}

// setMember reads a member's value into field f of the message.
func (s *inState) setMember(p *inPlan, f *inField, m *members, g *guard) bool {
	if f.index < 0 {
		if !s.markExtension(f, m) {
			return false
		}
	} else if s.mark(m, f.index) {
		return s.fail("given more than once")
	}
	if g != nil || s.mask.on {
		return s.watched(p, f, m, g)
	}
	return s.setField(p, f, m, nil)
}

func (s *inState) markExtension(f *inField, m *members) bool {
	for _, known := range s.ext[m.ext:] {
		if known.desc.Number() == f.desc.Number() {
			return s.fail("given more than once")
		}
	}
	s.ext = append(s.ext, f)
	return true
}

// setField reads the value of a field that was not given before. The guard is
// that of the field's own message.
func (s *inState) setField(p *inPlan, f *inField, m *members, inner *guard) bool {
	if s.peek() == 'n' && !f.nullIsValue {
		return s.literal("null")
	}
	if f.oneof >= 0 && s.mark(m, f.oneof) {
		return s.fail("another member of oneof %s is given too", p.oneofs[f.oneof-len(p.fields)])
	}
	s.dropped = false
	ok := s.field(f, inner)
	if f.required && !s.dropped {
		m.set++
	}
	return ok
}

// field reads a value that is not null and writes the field.
func (s *inState) field(f *inField, inner *guard) bool {
	switch {
	case f.isMap:
		return s.mapField(f)
	case f.packed:
		return s.packedList(f)
	case f.list:
		return s.list(f)
	case f.op >= inMessage:
		return s.framed(f, inner)
	}
	start := len(s.dst)
	s.putTag(f.tag)
	at := len(s.dst)
	if !s.scalar(f) {
		return false
	}
	if s.dropped || f.implicit && isZero(s.dst[at:], f.op) {
		s.dst = s.dst[:start]
	}
	return true
}

// isZero reports whether a field's value is the zero of its kind: a varint or a
// length of zero, or a fixed number of which all bits are zero.
func isZero(value []byte, op inOp) bool {
	if value[0] != 0 {
		return false
	}
	if op < inFixed32 || op > inDouble {
		return true
	}
	for _, c := range value {
		if c != 0 {
			return false
		}
	}
	return true
}

// framed writes a message field: a length before it, or a group around it.
func (s *inState) framed(f *inField, inner *guard) bool {
	s.putTag(f.tag)
	if f.op == inGroup {
		ok := s.message(f.message(), inner)
		s.putTag(f.end)
		return ok
	}
	return s.measured(f.message(), inner)
}

// measured writes a message after its length.
func (s *inState) measured(p *inPlan, inner *guard) bool {
	width := p.width.Load()
	start := s.begin(width)
	if !s.message(p, inner) {
		return false
	}
	if need := s.finish(start, width); need != width {
		p.width.Store(need)
	}
	return true
}

// list writes a repeated field, each element with its tag.
func (s *inState) list(f *inField) bool {
	return s.elements(func() bool {
		start := len(s.dst)
		if f.op >= inMessage {
			return s.framed(f, nil)
		}
		s.putTag(f.tag)
		ok := s.scalar(f)
		if s.dropped {
			s.dst, s.dropped = s.dst[:start], false
		}
		return ok
	})
}

// packedList writes a repeated field of numbers as one run.
func (s *inState) packedList(f *inField) bool {
	tag := len(s.dst)
	s.putTag(f.pack)
	width := f.width.Load()
	start := s.begin(width)
	ok := s.elements(func() bool {
		at := len(s.dst)
		ok := s.scalar(f)
		if s.dropped {
			s.dst, s.dropped = s.dst[:at], false
		}
		return ok
	})
	if len(s.dst) == start {
		s.dst = s.dst[:tag]
		return ok
	}
	if need := s.finish(start, width); need != width {
		f.width.Store(need)
	}
	return ok
}

// elements reads an array, calling one for each element.
func (s *inState) elements(one func() bool) bool {
	if s.peek() != '[' {
		return s.expected(s.pos, "an array")
	}
	s.pos++
	more := !s.closed(']')
	var ok bool
	for i := 0; more; i++ {
		if cap(s.dst)-len(s.dst) < 64 {
			s.double()
		}
		if !one() {
			return s.withinIndex(i)
		}
		if more, ok = s.more(']'); !ok {
			return false
		}
	}
	return true
}

// double makes room for a long list by doubling: append grows large buffers by
// a quarter only, and leaves four times their size behind as garbage.
func (s *inState) double() { s.dst = slices.Grow(s.dst, max(64, len(s.dst))) }

// scalar reads one value of a field that is no message. Where an unknown enum
// name is ignored it sets dropped, and what it wrote is to be forgotten.
func (s *inState) scalar(f *inField) bool {
	switch f.op {
	case inString:
		return s.stringValue()
	case inBool:
		return s.boolValue()
	case inEnum:
		return s.enumValue(f.enum)
	case inDouble:
		return s.float(64)
	case inFloat:
		return s.float(32)
	case inBytes:
		return s.bytesValue()
	}
	return s.integer(f.op)
}

func (s *inState) stringValue() bool {
	if s.peek() != '"' {
		return s.expected(s.pos, "a string")
	}
	text, ok := s.text()
	if ok {
		s.putBytes(text)
	}
	return ok
}

func (s *inState) boolValue() bool {
	switch s.peek() {
	case 't':
		s.dst = append(s.dst, 1)
		return s.literal("true")
	case 'f':
		s.dst = append(s.dst, 0)
		return s.literal("false")
	}
	return s.expected(s.pos, "true or false")
}

func (s *inState) enumValue(e *inEnumPlan) bool {
	c, at := s.peek(), s.pos
	switch {
	case c == '"':
		name, ok := s.text()
		if !ok {
			return false
		}
		return s.enumName(e, name)
	case c == 'n' && e.isNull:
		s.dst = append(s.dst, 0)
		return s.literal("null")
	case c == '-' || c >= '0' && c <= '9':
		v, ok := s.signed("a name of enum "+string(e.desc.Name())+" or its number", math.MaxInt32)
		s.putSigned(inInt32, v)
		return ok
	}
	return s.expected(at, "a name of enum "+string(e.desc.Name())+" or its number")
}

func (s *inState) enumName(e *inEnumPlan, name []byte) bool {
	n, ok := e.numbers[string(name)]
	if ok {
		s.putSigned(inInt32, int64(n))
		return true
	}
	if s.rt.ignoreUnknown {
		s.dropped = true
		return true
	}
	return s.notEnum(e, name)
}

func (s *inState) notEnum(e *inEnumPlan, name []byte) bool {
	return s.fail("expected a name of enum %s or its number, got string %s%s",
		e.desc.Name(), quote(name), didYouMean(string(name), e.names()))
}

// missing names the first required field that was not set.
func (s *inState) missing(p *inPlan, m *members) bool {
	for i := range p.fields {
		if f := &p.fields[i]; f.required && !s.mark(m, f.index) {
			s.fail("required, but not given")
			return s.within(f.json)
		}
	}
	return s.fail("a required field of %s is null", p.desc.FullName())
}
