package transcode

import (
	"math/bits"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// enter goes one level deeper in messages; group is the tag of one that is a
// group, else 0. leave comes back.
func (s *outState) enter(group uint32) bool {
	s.depth++
	return group == 0 && s.depth <= maxAnswerDepth || s.mayEnter(group)
}

func (s *outState) mayEnter(group uint32) bool {
	if s.depth > maxAnswerDepth {
		return s.fail("nests deeper than %d messages", maxAnswerDepth)
	}
	if group != 0 {
		if s.groups++; s.groups > maxGroups {
			return s.fail("nests deeper than %d groups", maxGroups)
		}
	}
	return true
}

func (s *outState) leave(group uint32) {
	s.depth--
	if group != 0 {
		s.groups--
	}
}

// message writes the message in src[pos:end] in the form of its type. With the
// tag of a group it ends where the group does. It returns where the next field
// is, or failed.
func (s *outState) message(p *outPlan, pos, end int, group uint32) int {
	if !s.enter(group) {
		return failed
	}
	if p.form <= formEmpty && p.form != formMessageSet {
		begin := len(s.dst)
		pos = s.members(p, pos, end, group)
		s.leave(group)
		if pos >= 0 {
			s.brace(begin, '{', '}')
		}
		return pos
	}
	next := end
	if group != 0 {
		if end, next = s.group(group, pos, end); next < 0 {
			return failed
		}
	}
	one := [1]part{{from: uint32(pos), to: uint32(end)}}
	if !s.known(p, one[:]) {
		next = failed
	}
	s.leave(group)
	return next
}

// smallRoom is more than most members take.
const smallRoom = 64

// room makes room for so many bytes.
func (s *outState) room(n int) {
	if cap(s.dst)-len(s.dst) < n {
		s.dst = grow(s.dst, n)
	}
}

// grow returns a with room for n more, which is twice what it had or more:
// append grows large slices by a quarter only, and leaves four times their size
// behind as garbage.
func grow[T any](a []T, n int) []T {
	if cap(a)-len(a) >= n {
		return a
	}
	b := make([]T, len(a), max(len(a)+n, 2*cap(a)))
	copy(b, a)
	return b
}

// key writes the key of a member. Most are short and copied without a call.
func (s *outState) key(f *outField) {
	n := len(s.dst)
	if len(f.key) > shortKey || cap(s.dst)-n < shortKey {
		s.dst = append(s.dst, f.key...)
		return
	}
	*(*[shortKey]byte)(s.dst[n : n+shortKey]) = f.head
	s.dst = s.dst[:n+len(f.key)]
}

// brace closes what was written since begin, each part with a comma before it:
// the first comma becomes the opening bracket.
func (s *outState) brace(begin int, opening, closing byte) {
	if len(s.dst) == begin {
		s.dst = append(s.dst, opening, closing)
		return
	}
	s.dst[begin] = opening
	s.dst = append(s.dst, closing)
}

// members writes the members of a message, each with a comma before it.
func (s *outState) members(p *outPlan, pos, end int, group uint32) int {
	if s.merging {
		return s.membersAgain(p, pos, end, group)
	}
	begin := len(s.dst)
	next := s.fields(p, pos, end, group)
	if next >= 0 || !s.twice {
		return next
	}
	if !s.again(begin, end-pos) {
		return failed
	}
	next = s.membersAgain(p, pos, end, group)
	s.merging = false
	return next
}

// again begins to merge a message of so many bytes, of which the JSON began at
// that place. It fails if too much was written again already: then the whole is
// to be merged.
func (s *outState) again(begin, size int) bool {
	s.twice = false
	if s.spent += size; s.spent > len(s.src) {
		return false
	}
	s.merging = true
	s.dst = s.dst[:begin]
	return true
}

// membersAgain writes the members of a message that says things twice, or that
// lies within one.
func (s *outState) membersAgain(p *outPlan, pos, end int, group uint32) int {
	next := end
	if group != 0 {
		if end, next = s.group(group, pos, end); next < 0 {
			return failed
		}
	}
	one := [1]part{{from: uint32(pos), to: uint32(end)}}
	if !s.mergedMembers(p, one[:]) {
		return failed
	}
	return next
}

// met is the set of fields and oneofs met in one message.
type met struct {
	first uint64
	more  int // where the others begin in outState.bits
	ext   int // where its extensions begin in outState.ext
}

func (s *outState) open(p *outPlan) met {
	m := met{more: len(s.bits), ext: len(s.ext)}
	for range p.words {
		s.bits = append(s.bits, 0)
	}
	return m
}

func (s *outState) close(m *met) {
	s.bits, s.ext = s.bits[:m.more], s.ext[:m.ext]
}

// mark adds a field and reports whether it is new.
func (s *outState) mark(m *met, f *outField) bool {
	word := &m.first
	switch {
	case f.bit < 0:
		return s.markExtension(m, f)
	case f.bit >= 64:
		word = &s.bits[m.more+f.bit/64-1]
	}
	was := *word
	*word |= 1 << (f.bit & 63)
	return was != *word
}

// markExtension adds an extension and reports whether it is new.
func (s *outState) markExtension(m *met, f *outField) bool {
	if slices.Contains(s.ext[m.ext:], f) {
		return false
	}
	s.ext = append(s.ext, f)
	return true
}

// fields writes the fields in src[pos:end] in their order.
func (s *outState) fields(p *outPlan, pos, end int, group uint32) int {
	m := s.open(p)
	next := s.eachField(p, &m, pos, end, group)
	if next >= 0 {
		s.absent(p, &m)
	}
	s.close(&m)
	return next
}

func (s *outState) eachField(p *outPlan, m *met, pos, end int, group uint32) int {
	for pos < end {
		if !s.goOn() {
			return failed
		}
		tag := uint32(s.src[pos])
		if tag < 0x80 && tag >= 1<<tagTypeBits {
			pos++
		} else if tag, pos = s.peek(pos, end); pos < 0 || tag < 1<<tagTypeBits {
			return s.badTag()
		}
		f := p.find(protowire.Number(tag >> tagTypeBits))
		if f == nil || f.tag != tag {
			f = s.find(p, tag)
		}
		if f == nil {
			if group != 0 && tag == group+1 { // the end of a group has the next higher type
				return pos
			}
			if pos = s.skip(tag, pos, end); pos < 0 {
				return failed
			}
			continue
		}
		if uint(f.bit) < 64 && m.first>>(f.bit&63)&1 == 0 {
			m.first |= 1 << (f.bit & 63)
		} else if !s.mark(m, f) {
			s.twice = true
			return failed
		}
		if pos = s.field(f, tag, pos, end); pos < 0 {
			return s.failedIn(f.name)
		}
	}
	if group != 0 {
		return s.unreadable(group)
	}
	return end
}

// find returns the field that a tag announces: nil if there is none of its
// number, or if the value is of another kind, which by protobuf's rules makes it
// an unknown field.
func (s *outState) find(p *outPlan, tag uint32) *outField {
	f := p.find(protowire.Number(tag >> tagTypeBits))
	if f == nil && p.extensible {
		f = s.extension(p, protowire.Number(tag>>tagTypeBits))
	}
	if f != nil && (f.tag == tag || f.packed == tag) {
		return f
	}
	return nil
}

// field writes one field, or all of a list or map that stand in a row.
func (s *outState) field(f *outField, tag uint32, pos, end int) int {
	switch {
	case f.list:
		return s.list(f, tag, pos, end)
	case f.op < inString:
	case f.isMap:
		return s.mapped(f, pos, end)
	case f.op >= inMessage:
		s.key(f)
		return s.child(f, pos, end)
	default:
		from, to := s.extent(pos, end)
		if from < 0 || f.implicit && from == to {
			return to
		}
		s.key(f)
		if !s.textOrBytes(f, from, to) {
			return failed
		}
		return to
	}
	v, next := s.raw(f, pos, end)
	if next < 0 || v == 0 && f.implicit {
		return next
	}
	s.key(f)
	s.number(f, v)
	return next
}

// value writes one value of the field's kind.
func (s *outState) value(f *outField, pos, end int) int {
	switch {
	case f.op >= inMessage:
		return s.child(f, pos, end)
	case f.op >= inString:
		from, to := s.extent(pos, end)
		if from < 0 || !s.textOrBytes(f, from, to) {
			return failed
		}
		return to
	}
	v, next := s.raw(f, pos, end)
	if next >= 0 {
		s.number(f, v)
	}
	return next
}

// child writes a message, which has a length before it or is a group.
func (s *outState) child(f *outField, pos, end int) int {
	if f.op == inGroup {
		return s.message(f.message(s.rt), pos, end, f.tag)
	}
	from, to := s.extent(pos, end)
	if from < 0 {
		return failed
	}
	return s.message(f.message(s.rt), from, to, 0)
}

// list writes the elements of a list that stand in a row.
func (s *outState) list(f *outField, tag uint32, pos, end int) int {
	s.key(f)
	begin := len(s.dst)
	for i := 0; ; i++ {
		if !s.goOn() {
			return failed
		}
		s.room(smallRoom)
		if tag == f.tag {
			s.dst = append(s.dst, ',')
			pos = s.value(f, pos, end)
		} else {
			from, to := s.extent(pos, end)
			pos = s.packed(f, from, to)
		}
		if pos < 0 {
			return s.failedAt(i)
		}
		if pos >= end {
			break
		}
		if c := uint32(s.src[pos]); c == f.tag && c < 0x80 {
			tag, pos = c, pos+1
			continue
		}
		var next int
		if tag, next = s.peek(pos, end); tag != f.tag && tag != f.packed {
			break
		}
		pos = next
	}
	s.closeList(f, begin)
	return pos
}

// closeList ends a list; one without elements, which can only have been packed,
// is not there.
func (s *outState) closeList(f *outField, begin int) {
	if len(s.dst) == begin && f.absent == nil {
		s.dst = s.dst[:begin-len(f.key)]
		return
	}
	s.brace(begin, '[', ']')
}

// peek reads the next tag if it is well-formed; it returns no tag otherwise.
func (s *outState) peek(pos, end int) (tag uint32, next int) {
	if end-pos >= 2 { // the fields from 16 to 2047
		if a, b := uint32(s.src[pos]), uint32(s.src[pos+1]); a >= 0x80 && b < 0x80 && b > 0 {
			return a&0x7f | b<<7, pos + 2
		}
	}
	v, next := varint(s.src, pos, end)
	if next < 0 || v>>tagTypeBits > uint64(protowire.MaxValidNumber) {
		return 0, failed
	}
	return uint32(v), next
}

// packed writes the elements of a list that are packed into src[pos:to].
func (s *outState) packed(f *outField, pos, to int) int {
	for pos >= 0 && pos < to {
		v, next := s.raw(f, pos, to)
		if next < 0 || !s.goOn() {
			return failed
		}
		s.room(smallRoom)
		s.dst = append(s.dst, ',')
		s.number(f, v)
		pos = next
	}
	return pos
}

// absent writes what stands for the fields that were not met.
func (s *outState) absent(p *outPlan, m *met) {
	for missing := p.absent &^ m.first; missing != 0; missing &= missing - 1 {
		s.dst = append(s.dst, p.fields[bits.TrailingZeros64(missing)].absent...)
	}
	if !p.absentMore {
		return
	}
	for i := 64; i < len(p.fields); i++ {
		if f := &p.fields[i]; f.absent != nil && s.mark(m, f) {
			s.dst = append(s.dst, f.absent...)
		}
	}
}

// extension finds an extension by its number, nil if nothing is known of it.
func (s *outState) extension(p *outPlan, n protowire.Number) *outField {
	if s.rt.resolver == nil || !p.desc.ExtensionRanges().Has(n) {
		return nil
	}
	var key [5]byte
	name := protowire.AppendVarint(key[:0], uint64(n))
	if f, ok := p.ext.get(name); ok {
		return f
	}
	xt, err := s.rt.resolver.FindExtensionByNumber(p.desc.FullName(), n)
	if err != nil {
		return nil
	}
	f := s.rt.extension(xt.TypeDescriptor().Descriptor())
	p.ext.put(string(name), f)
	return f
}
