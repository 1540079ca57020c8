package transcode

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// varint reads the varint at src[pos:end] and returns where the next thing is,
// or failed.
func varint(src []byte, pos, end int) (v uint64, next int) {
	if pos < end && src[pos] < 0x80 {
		return uint64(src[pos]), pos + 1
	}
	return longVarint(src, pos, end)
}

func longVarint(src []byte, pos, end int) (v uint64, next int) {
	v, n := protowire.ConsumeVarint(src[pos:end])
	if n < 0 {
		return 0, failed
	}
	return v, pos + n
}

// tag reads the tag at pos, which is before end.
func (s *outState) tag(pos, end int) (tag uint32, next int) {
	tag, next = s.peek(pos, end)
	if next < 0 || tag < 1<<tagTypeBits {
		return 0, s.badTag()
	}
	return tag, next
}

func (s *outState) badTag() int {
	s.fail("has a malformed tag where a field should begin")
	return failed
}

// extent reads the length at pos and returns what it measures: src[from:to].
func (s *outState) extent(pos, end int) (from, to int) {
	if pos < end {
		if n := int(s.src[pos]); n < 0x80 && n < end-pos {
			return pos + 1, pos + 1 + n
		}
	}
	n, from := varint(s.src, pos, end)
	if from < 0 || n > uint64(end-from) {
		return failed, s.cutOff()
	}
	return from, from + int(n)
}

// skip reads over the value of a field of which nothing is known.
func (s *outState) skip(tag uint32, pos, end int) int {
	switch wireType(tag) {
	case protowire.VarintType:
		_, pos = varint(s.src, pos, end)
	case protowire.Fixed32Type:
		pos += 4
	case protowire.Fixed64Type:
		pos += 8
	case protowire.BytesType:
		if n, from := varint(s.src, pos, end); from >= 0 && n <= uint64(end-from) {
			pos = from + int(n)
		} else {
			pos = failed
		}
	case protowire.StartGroupType:
		_, next := s.group(tag, pos, end)
		return next
	default:
		pos = failed
	}
	if pos < 0 || pos > end {
		return s.unreadable(tag)
	}
	return pos
}

// group finds the end of a group: its content is src[pos:to], and the next
// field is at next, which is failed if the group does not end.
func (s *outState) group(tag uint32, pos, end int) (to, next int) {
	if s.merging {
		if g, ok := s.ends[uint32(pos)]; ok {
			return int(g.to), int(g.next)
		}
	}
	start := pos
	if !s.enter(tag) {
		return failed, failed
	}
	closing := tag&^uint32(tagTypeMask) | uint32(protowire.EndGroupType)
	for pos < end {
		inner, after := s.tag(pos, end)
		switch {
		case after < 0:
			return failed, failed
		case inner == closing:
			s.leave(tag)
			if s.merging {
				s.noteEnd(start, pos, after)
			}
			return pos, after
		}
		if pos = s.skip(inner, after, end); pos < 0 {
			return failed, failed
		}
	}
	return failed, s.unreadable(tag)
}

// groupEnd is where a group's content ends, and where the next field is.
type groupEnd struct{ to, next uint32 }

// noteEnd keeps the end of the group of which the content begins at start. A message
// that is merged is read more than once, at each level. A short one may be read again.
func (s *outState) noteEnd(start, to, next int) {
	const short = 32
	if next-start < short {
		return
	}
	if s.ends == nil {
		s.ends = map[uint32]groupEnd{}
	}
	s.ends[uint32(start)] = groupEnd{uint32(to), uint32(next)}
}

// raw reads a number of the field's kind as the bits of it that count.
func (s *outState) raw(f *outField, pos, end int) (v uint64, next int) {
	switch f.wire {
	case protowire.VarintType:
		if pos < end && s.src[pos] < 0x80 {
			v, next = uint64(s.src[pos]), pos+1
		} else if v, next = longVarint(s.src, pos, end); next < 0 {
			return 0, s.cutOff()
		}
		if f.op == inBool {
			return min(v, 1), next
		}
		return v & f.mask, next
	case protowire.Fixed32Type:
		if end-pos < 4 {
			return 0, s.cutOff()
		}
		return uint64(binary.LittleEndian.Uint32(s.src[pos:])), pos + 4
	default:
		if end-pos < 8 {
			return 0, s.cutOff()
		}
		return binary.LittleEndian.Uint64(s.src[pos:]), pos + 8
	}
}
