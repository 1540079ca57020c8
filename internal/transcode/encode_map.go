package transcode

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// entryValue is the number of the value in an entry of a map; the key's is 1.
const entryValue protowire.Number = 2

// entry is one entry of a map on the wire. What is missing is the default.
type entry struct {
	key, value part
	// several says that a message as the value comes in parts, to be merged.
	several bool
}

// mapped writes the entries of a map that stand in a row.
func (s *outState) mapped(f *outField, pos, end int) int {
	s.key(f)
	begin, keys := len(s.dst), len(s.keys)
	set := s.pushSet()
	for {
		from, to := s.extent(pos, end)
		if from < 0 || !s.goOn() || !s.entry(f, from, to, set) {
			s.popSet(keys)
			return failed
		}
		pos = to
		if pos >= end {
			break
		}
		tag, next := s.peek(pos, end)
		if tag != f.tag {
			break
		}
		pos = next
	}
	s.popSet(keys)
	s.brace(begin, '{', '}')
	return pos
}

// entry writes one entry, with a comma before it, of which the key must not be
// in the set. Values already merged have no set.
func (s *outState) entry(f *outField, from, to int, set *keySet) bool {
	e, ok := s.readEntry(f, from, to)
	if !ok {
		return false
	}
	if set != nil && !s.newKey(set, f.mapKey, e.key) {
		s.twice = true
		return false
	}
	s.room(smallRoom)
	s.dst = append(s.dst, ',')
	if !s.mapKey(f.mapKey, e.key) {
		return false
	}
	if !s.mapValue(f, &e, from, to) {
		s.failedKey(f.mapKey, e.key)
		return false
	}
	return true
}

// readEntry finds an entry's key and value. Of each the last counts; those
// before it must be as valid as any.
func (s *outState) readEntry(f *outField, from, to int) (e entry, ok bool) {
	for pos := from; pos < to; {
		tag, after := uint32(s.src[pos]), pos+1
		if tag != f.mapKey.tag && tag != f.mapValue.tag { // either takes one byte
			if tag, after = s.tag(pos, to); after < 0 {
				return e, false
			}
		}
		var dest *part
		of := f.mapKey
		switch tag {
		case f.mapKey.tag:
			dest = &e.key
		case f.mapValue.tag:
			dest, of = &e.value, f.mapValue
		default:
			if pos = s.skip(tag, after, to); pos < 0 {
				return e, false
			}
			continue
		}
		one, next := s.part(of, tag, after, to)
		if next < 0 {
			return e, false
		}
		if dest.tag != 0 {
			e.several = e.several || of.op >= inMessage
			if of.op < inMessage && !s.check(of, *dest) {
				return e, false
			}
		}
		*dest, pos = one, next
	}
	return e, true
}

// mapKey writes a key, which in JSON is always a string, and the colon.
func (s *outState) mapKey(f *outField, key part) bool {
	switch f.op {
	case inString:
		if !s.text(int(key.from), int(key.to)) {
			return false
		}
	case inInt64, inUint64, inSint64, inFixed64, inSfixed64: // have their quotes
		s.number(f, s.rawPart(f, key))
	default:
		s.dst = append(s.dst, '"')
		s.number(f, s.rawPart(f, key))
		s.dst = append(s.dst, '"')
	}
	s.dst = append(s.dst, ':')
	return true
}

func (s *outState) mapValue(f *outField, e *entry, from, to int) bool {
	of := f.mapValue
	switch {
	case e.several:
		return s.severalValues(f, from, to)
	case of.op >= inMessage:
		return s.message(of.message(s.rt), int(e.value.from), int(e.value.to), 0) >= 0
	case of.op >= inString:
		return s.textOrBytes(of, int(e.value.from), int(e.value.to))
	default:
		s.number(of, s.rawPart(of, e.value))
	}
	return true
}

// severalValues merges the parts of an entry's value.
func (s *outState) severalValues(f *outField, from, to int) bool {
	base := len(s.parts)
	for pos := from; pos < to; {
		tag, after := s.tag(pos, to)
		if tag != f.mapValue.tag {
			pos = s.skip(tag, after, to)
			continue
		}
		one, next := s.part(f.mapValue, tag, after, to)
		s.parts = append(grow(s.parts, 1), one)
		pos = next
	}
	ok := s.merged(f.mapValue.message(s.rt), s.parts[base:])
	s.parts = s.parts[:base]
	return ok
}

// rawPart reads a number; one that is not there is 0.
func (s *outState) rawPart(f *outField, p part) uint64 {
	if p.tag == 0 {
		return 0
	}
	v, _ := s.raw(f, int(p.from), int(p.to))
	return v
}

// newKey adds a key to the set and reports whether it is new.
func (s *outState) newKey(set *keySet, f *outField, key part) bool {
	buf, off, n := s.src, int(key.from), int(key.to-key.from)
	if f.op != inString {
		off, n = len(s.keys), 8
		s.keys = binary.LittleEndian.AppendUint64(grow(s.keys, n), s.rawPart(f, key))
		buf = s.keys
	}
	if set.find(buf, off, n) != nil {
		return false
	}
	set.add(buf, newKeyRef(off, n, 0))
	return true
}

// pushSet takes an empty set of keys from the stack; popSet gives it back, with
// the keys in it that began there.
func (s *outState) pushSet() *keySet {
	if s.nsets == len(s.sets) {
		s.sets = append(s.sets, newKeySet())
	}
	set := s.sets[s.nsets]
	s.nsets++
	set.refs, set.table = set.refs[:0], set.table[:0]
	return set
}

func (s *outState) popSet(keys int) {
	s.nsets--
	s.keys = s.keys[:keys]
}
