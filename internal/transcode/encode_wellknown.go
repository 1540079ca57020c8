package transcode

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// known writes a message that has a JSON form of its own. It may come in parts.
func (s *outState) known(p *outPlan, parts []part) bool {
	switch p.form {
	case formTimestamp:
		seconds, nanos, ok := s.pair(parts)
		return ok && s.timestamp(seconds, nanos)
	case formDuration:
		seconds, nanos, ok := s.pair(parts)
		return ok && s.duration(seconds, nanos)
	case formAny:
		return s.any(p, parts)
	case formWrapper:
		value, ok := s.last(p.find(1), parts)
		return ok && s.scalar(p.find(1), value)
	case formStruct:
		return s.bareMap(p.find(1), parts)
	case formList:
		return s.bareList(p.find(1), parts)
	case formValue:
		return s.anyValue(p, parts)
	case formFieldMask:
		return s.fieldMask(p.find(1), parts)
	default:
		return s.fail("uses the message set format of proto1, which JSON has no form for")
	}
}

// walk reads on to the next value of a field in a message that comes in parts.
// It is used where no other field matters:
//
//	for w := (walk{f: f, parts: parts}); s.step(&w); {...}
//	return w.ok
type walk struct {
	f     *outField
	parts []part
	one   part // the value
	pos   int  // in parts[0], counted from its start
	ok    bool // at the end: whether the message is well-formed
}

func (s *outState) step(w *walk) bool {
	for len(w.parts) > 0 {
		pos, end := int(w.parts[0].from)+w.pos, int(w.parts[0].to)
		if pos >= end {
			w.parts, w.pos = w.parts[1:], 0
			continue
		}
		tag, after := s.tag(pos, end)
		if after < 0 || !s.goOn() {
			return false
		}
		found := tag == w.f.tag
		var next int
		if found {
			w.one, next = s.part(w.f, tag, after, end)
		} else {
			next = s.skip(tag, after, end)
		}
		if next < 0 {
			return false
		}
		if w.pos = next - int(w.parts[0].from); found {
			return true
		}
	}
	w.ok = true
	return false
}

// last returns the last value of a field that is no message; those before it
// must be as valid as any. Its tag is 0 if there is none.
func (s *outState) last(f *outField, parts []part) (value part, ok bool) {
	w := walk{f: f, parts: parts}
	for s.step(&w) {
		if value.tag != 0 && !s.check(f, value) {
			return value, false
		}
		value = w.one
	}
	return value, w.ok
}

// pair reads the two numbers of a Timestamp or Duration; of each the last
// counts.
func (s *outState) pair(parts []part) (seconds int64, nanos int32, ok bool) {
	for _, m := range parts {
		for pos, end := int(m.from), int(m.to); pos < end; {
			tag, after := uint32(s.src[pos]), pos+1
			if tag != 1<<tagTypeBits && tag != 2<<tagTypeBits {
				if tag, after = s.tag(pos, end); after < 0 {
					return 0, 0, false
				}
			}
			if wireType(tag) != protowire.VarintType {
				if pos = s.skip(tag, after, end); pos < 0 {
					return 0, 0, false
				}
				continue
			}
			v, next := varint(s.src, after, end)
			if next < 0 {
				s.unreadable(tag)
				return 0, 0, false
			}
			switch tag >> tagTypeBits {
			case 1:
				seconds = int64(v)
			case 2:
				nanos = int32(v)
			}
			pos = next
		}
	}
	return seconds, nanos, true
}

// bareList writes a ListValue: its values without their name.
func (s *outState) bareList(f *outField, parts []part) bool {
	begin, i := len(s.dst), 0
	w := walk{f: f, parts: parts}
	for ; s.step(&w); i++ {
		if !s.elements(f, w.one) {
			s.failedAt(i)
			return false
		}
	}
	s.brace(begin, '[', ']')
	return w.ok
}

// bareMap writes a Struct: its fields without their name.
func (s *outState) bareMap(f *outField, parts []part) bool {
	if s.merging {
		return s.bareMapAgain(f, parts)
	}
	begin, keys := len(s.dst), len(s.keys)
	set := s.pushSet()
	w := walk{f: f, parts: parts}
	for s.step(&w) {
		if s.entry(f, int(w.one.from), int(w.one.to), set) {
			continue
		}
		s.popSet(keys)
		if !s.twice || !s.again(begin, int(parts[0].to-parts[0].from)) {
			return false
		}
		ok := s.bareMapAgain(f, parts)
		s.merging = false
		return ok
	}
	s.popSet(keys)
	s.brace(begin, '{', '}')
	return w.ok
}

func (s *outState) bareMapAgain(f *outField, parts []part) bool {
	base := len(s.parts)
	w := walk{f: f, parts: parts}
	for s.step(&w) {
		s.parts = append(grow(s.parts, 1), w.one)
	}
	ok := w.ok && s.mergedMap(f, s.parts[base:])
	s.parts = s.parts[:base]
	return ok
}

// anyValue writes a google.protobuf.Value, of which exactly one member is set.
func (s *outState) anyValue(p *outPlan, parts []part) bool {
	if len(parts) == 1 {
		if f, ok := s.onlyMember(p, parts); f != nil || !ok {
			return ok && s.valueOf(f, parts)
		}
	}
	base := len(s.parts)
	if !s.collect(p, parts) {
		return false
	}
	all := s.parts[base:]
	if len(all) == 0 {
		return s.fail("is a google.protobuf.Value of no kind")
	}
	ok := s.valueOf(s.find(p, all[0].tag), all)
	s.parts = s.parts[:base]
	return ok
}

// onlyMember finds the usual case, a Value that says one thing: its part takes
// the place of the whole. No member is found where it says more; false means
// that it is malformed.
func (s *outState) onlyMember(p *outPlan, parts []part) (*outField, bool) {
	from, to := int(parts[0].from), int(parts[0].to)
	tag, after := s.peek(from, to)
	if after <= 0 {
		return nil, true
	}
	f := s.find(p, tag)
	if f == nil {
		return nil, true
	}
	one, next := s.part(f, tag, after, to)
	if next < 0 {
		s.failedIn(f.name)
		return nil, false
	}
	if next != to {
		return nil, true
	}
	parts[0] = one
	return f, true
}

// valueOf writes the member of a google.protobuf.Value that is set.
func (s *outState) valueOf(f *outField, parts []part) bool {
	if f.op >= inMessage {
		return s.merged(f.message(s.rt), parts)
	}
	last := len(parts) - 1
	for _, p := range parts[:last] {
		if !s.check(f, p) {
			return false
		}
	}
	if f.op == inDouble {
		if v := math.Float64frombits(s.rawPart(f, parts[last])); math.IsNaN(v) || math.IsInf(v, 0) {
			return s.fail("is a google.protobuf.Value of %v, which JSON has no number for", v)
		}
	}
	return s.scalar(f, parts[last])
}

// fieldMask writes the paths in lowerCamelCase with commas between.
func (s *outState) fieldMask(f *outField, parts []part) bool {
	s.dst = append(s.dst, '"')
	begin := len(s.dst)
	w := walk{f: f, parts: parts}
	for s.step(&w) {
		if len(s.dst) > begin {
			s.dst = append(s.dst, ',')
		}
		if !s.maskPath(s.src[w.one.from:w.one.to]) {
			return false
		}
	}
	s.dst = append(s.dst, '"')
	return w.ok
}

// maskPath writes one path. One that could not be read back is an error.
func (s *outState) maskPath(b []byte) bool {
	if !protoreflect.FullName(b).IsValid() {
		return s.fail("is a FieldMask with the path %q, which no field can have", b)
	}
	upper := false
	for i, c := range b {
		if c == '_' {
			if upper || i+1 == len(b) || b[i+1] < 'a' || b[i+1] > 'z' {
				return s.irreversible(b)
			}
			upper = true
			continue
		}
		if 'A' <= c && c <= 'Z' {
			return s.irreversible(b)
		}
		if upper {
			c -= 'a' - 'A'
		}
		s.dst, upper = append(s.dst, c), false
	}
	return true
}

func (s *outState) irreversible(b []byte) bool {
	return s.fail("is a FieldMask with the path %q, which lowerCamelCase cannot say: want lower_snake_case", b)
}
