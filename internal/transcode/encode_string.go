package transcode

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// Eight bytes are looked at as one number. A byte's high bit comes up where the
// byte is below 0x20, a quote or a backslash; what borrows may bring up others
// above it, so that only the lowest tells the truth.
const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// escaped marks the bytes that a JSON string must escape.
func escaped(x uint64) uint64 {
	quote, backslash := x^'"'*lows, x^'\\'*lows
	return ((x-0x20*lows)&^x | (quote-lows)&^quote | (backslash-lows)&^backslash) & highs
}

// text writes src[from:to] as a string; it must be UTF-8.
func (s *outState) text(from, to int) bool {
	b := s.src[from:to]
	n := len(s.dst)
	if cap(s.dst)-n < len(b)+16 { // room for quotes, and to write eight bytes where fewer are left
		s.dst = slices.Grow(s.dst, len(b)+16)
	}
	d := s.dst[n : n+len(b)+16]
	d[0] = '"'
	d = d[1:]
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		if x&highs|escaped(x) != 0 {
			return s.hardText(b, i, n)
		}
		binary.LittleEndian.PutUint64(d[i:], x)
	}
	for ; i < len(b); i++ {
		c := b[i]
		if c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return s.hardText(b, i, n)
		}
		d[i] = c
	}
	d[i] = '"'
	s.dst = s.dst[:n+len(b)+2]
	return true
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
		n := unescaped(b)
		s.dst = append(s.dst, b[:n]...)
		if n < len(b) {
			s.escape(b[n])
			n++
		}
		b = b[n:]
	}
	s.dst = append(s.dst, '"')
	return true
}

// unescaped returns how many bytes at the start need no escape.
func unescaped(b []byte) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		if marks := escaped(binary.LittleEndian.Uint64(b[i:])); marks != 0 {
			return i + bits.TrailingZeros64(marks)/8
		}
	}
	for i < len(b) && b[i] >= 0x20 && b[i] != '"' && b[i] != '\\' {
		i++
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
