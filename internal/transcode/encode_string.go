package transcode

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Eight bytes are looked at as one number. A byte's high bit comes up where the
// byte is below 0x20, a quote or a backslash; what borrows may bring up others
// above it, so that only the lowest tells the truth.
const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
	// beside makes 0x20 of a quote, and of what is below 0x20 something else that
	// is: one comparison then finds both.
	beside = 0x02 * lows
)

// escaped marks the bytes that a JSON string must escape.
func escaped(x uint64) uint64 {
	low, backslash := x^beside, x^'\\'*lows
	return ((low-0x21*lows)&^low | (backslash-lows)&^backslash) & highs
}

// special has a high bit set if there is a byte to escape or of more than one of
// a character.
func special(x uint64) uint64 {
	return (x | ((x ^ beside) - 0x21*lows) | ((x ^ '\\'*lows) - lows)) & highs
}

// text writes src[from:to] as a string; it must be UTF-8.
func (s *outState) text(from, to int) bool {
	b := s.src[from:to]
	s.room(len(b) + textRoom)
	n := len(s.dst)
	d := s.dst[n : n+len(b)+textRoom]
	d[0] = '"'
	d = d[1:]
	if len(b) < 8 {
		x := s.tail(from, to)
		if special(x) != 0 {
			return s.hardText(b, 0, n)
		}
		binary.LittleEndian.PutUint64(d, x)
	} else if done := copyPlain(d, b); done < len(b) {
		return s.hardText(b, done, n)
	}
	d[len(b)] = '"'
	s.dst = s.dst[:n+len(b)+2]
	return true
}

// copyPlain copies b, of eight bytes or more, to d, up to something special or a
// little less, and returns how many bytes it copied.
func copyPlain(d, b []byte) int {
	i := 0
	for ; i+16 <= len(b) && i+16 <= len(d); i += 16 {
		x, y := binary.LittleEndian.Uint64(b[i:i+8]), binary.LittleEndian.Uint64(b[i+8:i+16])
		if special(x)|special(y) != 0 {
			return i
		}
		binary.LittleEndian.PutUint64(d[i:i+8], x)
		binary.LittleEndian.PutUint64(d[i+8:i+16], y)
	}
	if i+8 < len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		if special(x) != 0 {
			return i
		}
		binary.LittleEndian.PutUint64(d[i:], x)
	}
	if i < len(b) { // the last eight, some of which were copied already
		x := binary.LittleEndian.Uint64(b[len(b)-8:])
		if special(x) != 0 {
			return i
		}
		binary.LittleEndian.PutUint64(d[len(b)-8:], x)
	}
	return len(b)
}

// textRoom is the room that a string takes beside its bytes: for the quotes, and
// to write eight bytes where fewer are left.
const textRoom = 16

// tail reads the last bytes of src[:to], fewer than eight, with spaces behind.
func (s *outState) tail(from, to int) uint64 {
	const spaces = ' ' * lows
	left := 8 * uint(to-from)
	if from+8 <= len(s.src) {
		return binary.LittleEndian.Uint64(s.src[from:])&(1<<left-1) | spaces<<left
	}
	x := uint64(spaces)
	for i := to - 1; i >= from; i-- {
		x = x<<8 | uint64(s.src[i])
	}
	return x
}

func (s *outState) notUTF8() bool { return s.fail("is not valid UTF-8") }

// hardText writes b, of which the first done bytes stand for themselves and are
// written behind the quote at dst[at:].
func (s *outState) hardText(b []byte, done, at int) bool {
	if !utf8.Valid(b[done:]) {
		return s.notUTF8()
	}
	s.dst = s.dst[:at+1+done]
	for b = b[done:]; len(b) > 0; {
		n := s.plain(b)
		if n < len(b) {
			s.escape(b[n])
			n++
		}
		b = b[n:]
	}
	s.dst = append(s.dst, '"')
	return true
}

// plain writes the bytes at the start that need no escape and returns how many
// they are. It writes eight at a time and takes back what was too much.
func (s *outState) plain(b []byte) int {
	s.room(len(b) + textRoom)
	n := len(s.dst)
	d := s.dst[n : n+len(b)+textRoom]
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		binary.LittleEndian.PutUint64(d[i:], x)
		if marks := escaped(x); marks != 0 {
			i += bits.TrailingZeros64(marks) / 8
			s.dst = s.dst[:n+i]
			return i
		}
	}
	for ; i < len(b) && b[i] >= 0x20 && b[i] != '"' && b[i] != '\\'; i++ {
		d[i] = b[i]
	}
	s.dst = s.dst[:n+i]
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
