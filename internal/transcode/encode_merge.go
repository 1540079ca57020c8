package transcode

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// A message that says things twice is merged without being built. Its fields
// are listed as parts of the wire bytes and sorted by their numbers; then each
// field is written from all of its parts. Messages merge by having their bytes
// put one after the other (https://protobuf.dev/programming-guides/encoding/#last-one-wins),
// so a message within is again a list of parts. No byte is copied, and the list
// takes at most six times the bytes that it describes.

// part is the value of one field: src[from:to], without its length or its end
// tag. A tag of 0 is no field.
type part struct{ tag, from, to uint32 }

const partSize = 12

func (p part) number() protowire.Number { return protowire.Number(p.tag >> tagTypeBits) }

// part reads over the value of a known field and returns where it is.
func (s *outState) part(f *outField, tag uint32, pos, end int) (one part, next int) {
	one = part{tag: tag, from: uint32(pos)}
	switch wireType(tag) {
	case protowire.BytesType:
		from, to := s.extent(pos, end)
		one.from, one.to, next = uint32(from), uint32(to), to
	case protowire.StartGroupType:
		var to int
		to, next = s.group(tag, pos, end)
		one.to = uint32(to)
	default:
		_, next = s.raw(f, pos, end)
		one.to = uint32(next)
	}
	return one, next
}

// merged writes a message that comes in parts.
func (s *outState) merged(p *outPlan, parts []part) bool {
	if len(parts) == 1 {
		return s.message(p, int(parts[0].from), int(parts[0].to), 0) >= 0
	}
	was := s.merging
	s.merging = true
	ok := s.enter(0) && s.mergedMessage(p, parts)
	s.merging = was
	s.leave(0)
	return ok
}

func (s *outState) mergedMessage(p *outPlan, parts []part) bool {
	if p.form > formEmpty || p.form == formMessageSet {
		return s.known(p, parts)
	}
	begin := len(s.dst)
	if !s.mergedMembers(p, parts) {
		return false
	}
	s.brace(begin, '{', '}')
	return true
}

// mergedMembers writes the members of a message that comes in parts.
func (s *outState) mergedMembers(p *outPlan, parts []part) bool {
	base := len(s.parts)
	if !s.collect(p, parts) {
		return false
	}
	m := s.open(p)
	for rest := s.parts[base:]; len(rest) > 0; {
		f := s.find(p, rest[0].tag)
		n := run(rest)
		s.mark(&m, f)
		if !s.mergedField(f, rest[:n]) {
			s.failedIn(f.name)
			return false
		}
		rest = rest[n:]
	}
	s.absent(p, &m)
	s.close(&m)
	s.parts = s.parts[:base]
	return true
}

// collect puts the known fields of a message that comes in parts on the stack,
// sorted by number and without those members of a oneof that a later one
// replaces.
func (s *outState) collect(p *outPlan, parts []part) bool {
	base := len(s.parts)
	s.parts = grow(s.parts, s.count(p, parts))
	for _, m := range parts {
		for pos, end := int(m.from), int(m.to); pos < end; {
			tag, after := s.tag(pos, end)
			if after < 0 || !s.goOn() {
				return false
			}
			f := s.find(p, tag)
			if f == nil {
				if pos = s.skip(tag, after, end); pos < 0 {
					return false
				}
				continue
			}
			one, next := s.part(f, tag, after, end)
			if next < 0 {
				s.failedIn(f.name)
				return false
			}
			s.parts = append(s.parts, one)
			pos = next
		}
	}
	if p.oneofs > 0 && !s.overrule(p, base) {
		return false
	}
	slices.SortFunc(s.parts[base:], func(a, b part) int {
		return cmp.Or(cmp.Compare(a.number(), b.number()), cmp.Compare(a.from, b.from))
	})
	return true
}

// count returns how many known fields a message has, so that the stack grows
// once. What is malformed is found when it is read.
func (s *outState) count(p *outPlan, parts []part) int {
	depth, groups, n := s.depth, s.groups, 0
	for _, m := range parts {
		for pos, end := int(m.from), int(m.to); pos >= 0 && pos < end; {
			tag, after := s.tag(pos, end)
			if after < 0 {
				break
			}
			if s.find(p, tag) != nil {
				n++
			}
			pos = s.skip(tag, after, end)
		}
	}
	s.depth, s.groups, s.err = depth, groups, nil
	return n
}

// overrule drops the members of oneofs that others replace: those before the
// last member of another number. What is dropped must be as valid as any.
func (s *outState) overrule(p *outPlan, base int) bool {
	bits := len(s.bits)
	for range 2 * p.oneofs { // of each, the number that holds, and whether others came before
		s.bits = append(s.bits, 0)
	}
	holds, over := s.bits[bits:bits+p.oneofs], s.bits[bits+p.oneofs:]
	all := s.parts[base:]
	for i := len(all) - 1; i >= 0; i-- {
		f := s.find(p, all[i].tag)
		if f.oneof < 0 {
			continue
		}
		number := uint64(all[i].number())
		switch {
		case holds[f.oneof] == 0:
			holds[f.oneof] = number
		case holds[f.oneof] != number:
			over[f.oneof] = 1
		}
		if over[f.oneof] != 0 {
			if !s.check(f, all[i]) {
				s.failedIn(f.name)
				return false
			}
			all[i].tag = 0
		}
	}
	s.bits = s.bits[:bits]
	s.parts = s.parts[:base+len(slices.DeleteFunc(all, func(p part) bool { return p.tag == 0 }))]
	return true
}

// run returns how many parts at the start are of one field.
func run(parts []part) int {
	n := 1
	for n < len(parts) && parts[n].number() == parts[0].number() {
		n++
	}
	return n
}

// mergedField writes a field of which the values are in parts.
func (s *outState) mergedField(f *outField, parts []part) bool {
	begin := len(s.dst)
	s.key(f)
	switch {
	case f.list:
		return s.mergedList(f, parts)
	case f.isMap:
		return s.mergedMap(f, parts)
	case f.op >= inMessage:
		return s.merged(f.message(s.rt), parts)
	}
	last := len(parts) - 1
	for _, p := range parts[:last] {
		if !s.check(f, p) {
			return false
		}
	}
	if f.implicit && s.isZero(f, parts[last]) {
		s.dst = s.dst[:begin]
		return true
	}
	return s.scalar(f, parts[last])
}

func (s *outState) isZero(f *outField, p part) bool {
	if f.op >= inString {
		return p.from == p.to
	}
	return s.rawPart(f, p) == 0
}

// scalar writes one value that is no message; one that is not there is zero.
func (s *outState) scalar(f *outField, p part) bool {
	if f.op >= inString {
		return s.textOrBytes(f, int(p.from), int(p.to))
	}
	s.number(f, s.rawPart(f, p))
	return true
}

func (s *outState) mergedList(f *outField, parts []part) bool {
	begin := len(s.dst)
	for i, p := range parts {
		if !s.goOn() || !s.elements(f, p) {
			s.failedAt(i)
			return false
		}
	}
	s.closeList(f, begin)
	return true
}

// elements writes one element of a list, or those that are packed together.
func (s *outState) elements(f *outField, p part) bool {
	if p.tag != f.tag {
		return s.packed(f, int(p.from), int(p.to)) >= 0
	}
	s.dst = append(s.dst, ',')
	if f.op >= inMessage {
		return s.message(f.message(s.rt), int(p.from), int(p.to), 0) >= 0
	}
	return s.scalar(f, p)
}

// mergedMap writes a map, each key with the last of its values.
func (s *outState) mergedMap(f *outField, parts []part) bool {
	keys := len(s.keys)
	set := s.pushSet()
	for i := len(parts) - 1; i >= 0; i-- {
		p := &parts[i]
		e, ok := s.readEntry(f, int(p.from), int(p.to))
		if !ok || !s.goOn() {
			return false
		}
		if s.newKey(set, f.mapKey, e.key) {
			continue
		}
		if !s.check(f, *p) {
			return false
		}
		p.tag = 0
	}
	s.popSet(keys)
	begin := len(s.dst)
	for _, p := range parts {
		if p.tag != 0 && (!s.goOn() || !s.entry(f, int(p.from), int(p.to), nil)) {
			return false
		}
	}
	s.brace(begin, '{', '}')
	return true
}
