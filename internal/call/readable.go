package call

import (
	"encoding/binary"
	"unicode/utf8"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// maxNesting is how deep messages may be nested for protobuf's libraries of C++,
// Java and others. Go's takes more.
const maxNesting = 100

// Readability tells whether backends can read a message as one of its type.
type Readability uint8

// The kinds, the worst first.
const (
	Unreadable Readability = iota // no library of protobuf takes it
	Debatable                     // some may: it is nested deep, or lacks a required field further in
	Readable                      // all do
)

// ReadableAs looks whether the message is one of a type: whether it is well-formed,
// its strings are UTF-8 where they must be, no required field is missing, and it is
// not nested too deep. It decodes nothing, and allocates only where messages are
// nested deep or the bytes are in several pieces.
func (m *Message) ReadableAs(s *Shape) Readability {
	if len(m.Data) == 1 {
		return s.look(m.Data[0].ReadOnlyData())
	}
	whole := m.Data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	return s.look(whole.ReadOnlyData())
}

// look does not recurse, so that what it takes is bounded by the bytes. It takes
// what protobuf-go takes: a field in another wire type than its own is unknown.
func (s *Shape) look(b []byte) Readability {
	l := levels{level: level{shape: s, end: len(b), required: s.required}, verdict: Readable}
	for i := 0; ; {
		for i == l.end {
			if !l.leave() {
				return l.verdict
			}
		}
		var tag uint64
		if tag, i = varint(b, i, l.end); i < 0 || tag < 1<<3 || tag > maxTag {
			return Unreadable
		}
		f, wire, size := l.shape.field(tag>>3), protowire.Type(tag&7), 0
		if f.wire == wire {
			l.required &^= f.required
		}
		switch wire {
		case protowire.VarintType:
			_, i = varint(b, i, l.end)
		case protowire.Fixed32Type:
			i = skip(i, 4, l.end)
		case protowire.Fixed64Type:
			i = skip(i, 8, l.end)
		case protowire.BytesType:
			if size, i = length(b, i, l.end); i < 0 {
				return Unreadable
			}
			switch {
			case f.wire != wire: // nobody knows it
				i += size
			case f.kind == message:
				if !l.enter(f.message, i+size, 0) {
					return Unreadable
				}
			case !f.reads(b[i : i+size]):
				return Unreadable
			default:
				i += size
			}
		case protowire.StartGroupType:
			group := &anything
			if f.wire == wire {
				group = f.message
			}
			if !l.enter(group, l.end, tag>>3) {
				return Unreadable
			}
		case protowire.EndGroupType:
			if l.group != tag>>3 {
				return Unreadable
			}
			l.group, l.end = 0, i
		default:
			return Unreadable
		}
		if i < 0 {
			return Unreadable
		}
	}
}

// maxTag is the largest number of a field, in any wire type.
const maxTag = uint64(protowire.MaxValidNumber)<<3 | 7

// levelRoom is how many levels are looked at without an allocation.
const levelRoom = 8

// levels are a message, or a group that nobody knows, and those around it.
type levels struct {
	level
	verdict Readability
	depth   int              // how many are around it
	outer   [levelRoom]level // the outermost of those
	further []level          // the others
}

type level struct {
	shape    *Shape
	required uint64 // required fields that have not come, a bit each
	group    uint64 // the number of the group that it is, which its end repeats; 0 for none
	end      int    // where it ends at the latest
}

// enter begins a message in the one that is looked at. It reports false where that
// is nested too deep for every library.
func (l *levels) enter(s *Shape, end int, group uint64) bool {
	if l.depth < levelRoom {
		l.outer[l.depth] = l.level
	} else {
		if l.further == nil {
			l.further = make([]level, 0, maxNesting)
		}
		l.further = append(l.further, l.level)
	}
	l.level = level{shape: s, required: s.required, group: group, end: end}
	if l.depth++; l.depth >= maxNesting {
		l.verdict = Debatable
	}
	return l.depth <= protowire.DefaultRecursionLimit
}

// leave goes back to the message around the one that has ended. It reports false
// where there is none, or where the end comes too early, which is in verdict.
func (l *levels) leave() bool {
	switch {
	case l.group != 0, l.depth == 0 && l.required != 0:
		l.verdict = Unreadable
		return false
	case l.depth == 0:
		return false
	case l.required != 0:
		l.verdict = Debatable // fields may be spread over several messages, which are merged
	}
	if l.depth--; l.depth < levelRoom {
		l.level = l.outer[l.depth]
	} else {
		last := len(l.further) - 1
		l.level, l.further = l.further[last], l.further[:last]
	}
	return true
}

// varint reads one at i, which ends before end. It returns where it ends, or -1.
func varint(b []byte, i, end int) (uint64, int) {
	if i < end && b[i] < 0x80 {
		return uint64(b[i]), i + 1
	}
	return longVarint(b[i:end], i)
}

func longVarint(b []byte, i int) (uint64, int) {
	v, n := protowire.ConsumeVarint(b)
	if n < 0 {
		return 0, -1
	}
	return v, i + n
}

func skip(i, n, end int) int {
	if end-i < n {
		return -1
	}
	return i + n
}

// length reads the length of what follows, and returns where that begins, or -1.
func length(b []byte, i, end int) (size, begin int) {
	n, i := varint(b, i, end)
	if i < 0 || n > uint64(end-i) {
		return 0, -1
	}
	return int(n), i
}

// reads looks at the bytes of a field that is no message.
func (f *shapeField) reads(b []byte) bool {
	switch f.kind {
	case text:
		return utf8.Valid(b)
	case packed32:
		return len(b)%4 == 0
	case packed64:
		return len(b)%8 == 0
	case packedVarints:
		return readsVarints(b)
	default:
		return true
	}
}

// readsVarints reports whether b is a list of varints. Most are of one byte, so it
// looks at eight at once.
func readsVarints(b []byte) bool {
	const more = 0x8080808080808080
	for len(b) > 0 {
		if len(b) >= 8 && binary.LittleEndian.Uint64(b)&more == 0 {
			b = b[8:]
			continue
		}
		_, n := varint(b, 0, len(b))
		if n < 0 {
			return false
		}
		b = b[n:]
	}
	return true
}
