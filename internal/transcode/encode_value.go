package transcode

import (
	"encoding/base64"
	"encoding/binary"
	"hash/maphash"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// value writes one value.
//
//nolint:gosec // protobuf defines how wider numbers are cut to narrower ones
func (s *outState) value(f *outField, it *item) bool {
	switch f.op {
	case inString:
		return s.text(it.b)
	case inInt32:
		s.dst = strconv.AppendInt(s.dst, int64(int32(it.x)), 10)
	case inInt64, inSfixed64:
		s.quotedInt(int64(it.x))
	case inBool:
		s.dst = strconv.AppendBool(s.dst, it.x != 0)
	case inEnum:
		s.enum(f.enum, int32(it.x))
	case inMessage, inGroup:
		return s.message(f.msg, it.b)
	case inDouble:
		s.float(math.Float64frombits(it.x), 64)
	case inFloat:
		s.float(float64(math.Float32frombits(uint32(it.x))), 32)
	case inBytes:
		s.dst = append(s.dst, '"')
		s.dst = base64.StdEncoding.AppendEncode(s.dst, it.b)
		s.dst = append(s.dst, '"')
	case inUint32, inFixed32:
		s.dst = strconv.AppendUint(s.dst, uint64(uint32(it.x)), 10)
	case inSint32:
		s.dst = strconv.AppendInt(s.dst, int64(int32(protowire.DecodeZigZag(it.x&math.MaxUint32))), 10)
	case inSfixed32:
		s.dst = strconv.AppendInt(s.dst, int64(int32(it.x)), 10)
	case inSint64:
		s.quotedInt(protowire.DecodeZigZag(it.x))
	case inUint64, inFixed64:
		s.dst = append(s.dst, '"')
		s.dst = strconv.AppendUint(s.dst, it.x, 10)
		s.dst = append(s.dst, '"')
	}
	return true
}

func (s *outState) quotedInt(v int64) {
	s.dst = append(s.dst, '"')
	s.dst = strconv.AppendInt(s.dst, v, 10)
	s.dst = append(s.dst, '"')
}

func (s *outState) enum(e *outEnum, n int32) {
	if e.isNull {
		s.dst = append(s.dst, "null"...)
	} else if name := e.name(n); name != nil {
		s.dst = append(s.dst, name...)
	} else {
		s.dst = strconv.AppendInt(s.dst, int64(n), 10)
	}
}

// float writes a number as JavaScript would, which is what protojson does:
// large and small ones with an exponent of as few digits as it takes.
func (s *outState) float(v float64, size int) {
	switch {
	case math.IsNaN(v):
		s.dst = append(s.dst, `"NaN"`...)
		return
	case math.IsInf(v, 1):
		s.dst = append(s.dst, `"Infinity"`...)
		return
	case math.IsInf(v, -1):
		s.dst = append(s.dst, `"-Infinity"`...)
		return
	}
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	s.dst = strconv.AppendFloat(s.dst, v, format, -1, size)
	// 1e-09 becomes 1e-9.
	if n := len(s.dst); format == 'e' && n >= 4 && s.dst[n-4] == 'e' && s.dst[n-3] == '-' && s.dst[n-2] == '0' {
		s.dst[n-2] = s.dst[n-1]
		s.dst = s.dst[:n-1]
	}
}

// text writes a string, which must be UTF-8.
func (s *outState) text(b []byte) bool {
	s.dst = append(s.dst, '"')
	from := 0
	for i := plain(b, 0); i < len(b); i = plain(b, i) {
		if c := b[i]; c < utf8.RuneSelf {
			s.dst = append(s.dst, b[from:i]...)
			s.escape(c)
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return s.fail("is not valid UTF-8")
		}
		i += n
	}
	s.dst = append(s.dst, b[from:]...)
	s.dst = append(s.dst, '"')
	return true
}

// plain returns the index from i on of the first byte that does not stand for
// itself: a control character, quote, backslash, or the first of several bytes.
// It looks at eight at once.
func plain(b []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		// A byte's high bit comes up if it was up, or by borrowing: below 0x20,
		// or equal to the quote or the backslash. Borrowing goes upwards only,
		// so that the lowest bit tells the truth.
		special := (x | (x - 0x20*ones) | ((x ^ '"'*ones) - ones) | ((x ^ '\\'*ones) - ones)) & highs
		if special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return i
		}
	}
	return i
}

func (s *outState) escape(c byte) {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		s.dst = append(s.dst, '\\', c)
	case '\n':
		s.dst = append(s.dst, '\\', 'n')
	case '\t':
		s.dst = append(s.dst, '\\', 't')
	case '\r':
		s.dst = append(s.dst, '\\', 'r')
	case '\b':
		s.dst = append(s.dst, '\\', 'b')
	case '\f':
		s.dst = append(s.dst, '\\', 'f')
	default:
		s.dst = append(s.dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
	}
}

// entry writes one entry of a map, after the brace or comma.
func (s *outState) entry(o *object, f *outField, b []byte) bool {
	var key, value, it item
	haveValue := false
	for len(b) > 0 {
		var ok bool
		if b, ok = s.next(b, &it); !ok {
			return false
		}
		switch {
		case it.number == 1 && it.kind == f.mapKey.wire:
			key = it // one that is missing is the zero one
		case it.number == 2 && it.kind == f.mapValue.wire:
			if haveValue && f.mapValue.msg != nil {
				return s.again() // its parts are merged
			}
			value, haveValue = it, true
		}
	}
	if !s.firstKey(o, f.mapKey, &key) {
		return s.again()
	}
	return s.mapKey(f.mapKey, &key) && s.value(f.mapValue, &value)
}

// mapKey writes a key, which in JSON is always a string.
func (s *outState) mapKey(f *outField, it *item) bool {
	switch f.op {
	case inString, inInt64, inUint64, inSint64, inFixed64, inSfixed64:
		if !s.value(f, it) { // has its quotes
			return false
		}
	default:
		s.dst = append(s.dst, '"')
		s.value(f, it)
		s.dst = append(s.dst, '"')
	}
	s.dst = append(s.dst, ':')
	return true
}

// hashSeed is one for the process, so that nobody can aim at collisions.
var hashSeed = maphash.MakeSeed() //nolint:gochecknoglobals // random, and never written again

// manyKeys is how many keys of a map are compared one by one.
const manyKeys = 16

// firstKey notes a key of the open map. It returns false if the key was there
// before: the last one counts. Two keys of one hash, which a map as good as
// never has, only cost the way through the canonical form.
func (s *outState) firstKey(o *object, f *outField, it *item) bool {
	h := keyHash(f, it)
	keys := s.keys[o.keys:]
	if o.many == nil && len(keys) == manyKeys {
		o.many = s.newSet(keys)
	}
	if o.many != nil {
		_, met := o.many[h]
		o.many[h] = struct{}{}
		return !met
	}
	if slices.Contains(keys, h) {
		return false
	}
	s.keys = append(s.keys, h)
	return true
}

// keyHash is the same for all spellings of one key.
func keyHash(f *outField, it *item) uint64 {
	switch f.op {
	case inString:
		return maphash.Bytes(hashSeed, it.b)
	case inBool:
		return min(it.x, 1)
	case inInt32, inUint32, inSint32, inFixed32, inSfixed32:
		return it.x & math.MaxUint32
	default:
		return it.x
	}
}

// newSet takes a set from those that were given back.
func (s *outState) newSet(keys []uint64) map[uint64]struct{} {
	var set map[uint64]struct{}
	if n := len(s.sets); n > 0 {
		set, s.sets = s.sets[n-1], s.sets[:n-1]
	} else {
		set = make(map[uint64]struct{}, 4*manyKeys)
	}
	for _, k := range keys {
		set[k] = struct{}{}
	}
	return set
}

// forget drops the keys of the map that was closed.
func (s *outState) forget(o *object) {
	s.keys = s.keys[:o.keys]
	if o.many == nil {
		return
	}
	if len(o.many) <= maxKept/64 {
		clear(o.many)
		s.sets = append(s.sets, o.many)
	}
	o.many = nil
}
