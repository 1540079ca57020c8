package transcode

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// peek skips white space and returns the next byte without taking it; 0 at the
// end of the input.
func (s *inState) peek() byte {
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		if c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		s.pos++
	}
	return 0
}

// take expects the punctuation c next; want completes "expected ..." if it is
// not there.
func (s *inState) take(c byte, want string) bool {
	if s.peek() != c {
		return s.expectedToken(want)
	}
	s.pos++
	return true
}

// expectedToken fails at the next token for a mistake in the grammar.
func (s *inState) expectedToken(want string) bool {
	given, _ := describe(s.src[s.pos:])
	return s.syntax(s.pos, "expected %s, got %s", want, given)
}

// more follows a member or an element: it reports whether a comma says that
// another one comes, or else takes the closing bracket.
func (s *inState) more(closing byte) (more, ok bool) {
	if s.pos >= s.pulse.next && !s.goOn(s.pos) {
		return false, false
	}
	switch s.peek() {
	case ',':
		s.pos++
		return true, true
	case closing:
		s.pos++
		return false, true
	}
	if closing == '}' {
		return false, s.expectedToken(`"," or "}"`)
	}
	return false, s.expectedToken(`"," or "]"`)
}

// literal expects the word at the next byte.
func (s *inState) literal(word string) bool {
	rest := s.src[s.pos:]
	if len(rest) < len(word) || string(rest[:len(word)]) != word || len(rest) > len(word) && isWord(rest[len(word)]) {
		return s.syntax(s.pos, "expected a value, got %s", excerpt(rest[:max(1, wordLen(rest))]))
	}
	s.pos += len(word)
	return true
}

const (
	eachByte  = 0x0101010101010101
	highBits  = 0x8080808080808080
	quoteMask = '"' * eachByte
	slashMask = '\\' * eachByte
	spaceMask = ' ' * eachByte
)

// scanText returns the index of the first byte at or after i that is not plain
// text: a quote, a backslash, a control character, bad UTF-8, or the end.
func scanText(b []byte, i int) int {
	for {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			// A byte's high bit ends up set when it is special or not ASCII; the
			// lowest one set is exact, since borrows only travel upwards.
			m := ((w - spaceMask) | ((w ^ quoteMask) - eachByte) | ((w ^ slashMask) - eachByte) | w) & highBits
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			return len(b)
		}
		c := b[i]
		if c < utf8.RuneSelf {
			if c == '"' || c == '\\' || c < ' ' {
				return i
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
}

// text reads the JSON string whose opening quote is the next byte. What it
// returns is valid until the next call.
func (s *inState) text() ([]byte, bool) {
	start := s.pos + 1
	if len(s.src)-start > beat {
		return s.textOfMany(start)
	}
	end := scanText(s.src, start)
	if end < len(s.src) && s.src[end] == '"' {
		s.pos = end + 1
		return s.src[start:end], true
	}
	s.scratch = append(s.scratch[:0], s.src[start:end]...)
	return s.escapedText(end)
}

// textOfMany is text for a document that is long from here on.
func (s *inState) textOfMany(start int) ([]byte, bool) {
	end, ok := s.scanLong(start)
	if !ok {
		return nil, false
	}
	if end < len(s.src) && s.src[end] == '"' {
		s.pos = end + 1
		return s.src[start:end], true
	}
	s.scratch = append(s.scratch[:0], s.src[start:end]...)
	return s.escapedText(end)
}

// scanLong is scanText, a piece of the document at a time. It fails when the call is
// over. A piece may end within a character, which is scanned again with the next.
func (s *inState) scanLong(i int) (end int, ok bool) {
	for {
		most := min(len(s.src), i+beat)
		end := scanText(s.src[:most], i)
		if end <= most-utf8.UTFMax || most == len(s.src) {
			return end, true
		}
		if i = end; !s.goOn(i) {
			return i, false
		}
	}
}

// escapedText goes on with a string from the first byte that is not plain.
func (s *inState) escapedText(i int) ([]byte, bool) {
	for i < len(s.src) {
		if i >= s.pulse.next && !s.goOn(i) {
			return nil, false
		}
		switch c := s.src[i]; {
		case c == '"':
			s.pos = i + 1
			return s.scratch, true
		case c == '\\':
			n := s.escape(i)
			if n == 0 {
				return nil, false
			}
			i += n
		case c < ' ':
			return nil, s.syntax(i, "control character 0x%02x in a string; write it as an escape", c)
		case c >= utf8.RuneSelf:
			return nil, s.syntax(i, "invalid UTF-8 in a string")
		}
		end, ok := s.scanLong(i)
		if !ok {
			return nil, false
		}
		s.scratch = append(s.scratch, s.src[i:end]...)
		i = end
	}
	return nil, s.syntax(len(s.src), "the input ends inside a string")
}

// escape appends what the escape sequence at i stands for to the scratch and
// returns its length in the input, 0 after a failure.
func (s *inState) escape(i int) int {
	if i+1 >= len(s.src) {
		s.syntax(len(s.src), "the input ends inside a string")
		return 0
	}
	c := s.src[i+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return s.unicodeEscape(i)
	default:
		s.syntax(i, "invalid escape %s in a string", quote(s.src[i:i+2]))
		return 0
	}
	s.scratch = append(s.scratch, c)
	return 2
}

// unicodeEscape handles \uXXXX and pairs of surrogates.
func (s *inState) unicodeEscape(i int) int {
	r, ok := hex4(s.src[i:])
	if !ok {
		s.syntax(i, "invalid escape %s in a string; \\u takes four hexadecimal digits", quote(s.src[i:min(i+6, len(s.src))]))
		return 0
	}
	if !utf16.IsSurrogate(r) {
		s.scratch = utf8.AppendRune(s.scratch, r)
		return 6
	}
	low, ok := hex4(s.src[i+6:])
	if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
		s.syntax(i, "lone surrogate %s in a string", quote(s.src[i:i+6]))
		return 0
	}
	s.scratch = utf8.AppendRune(s.scratch, r)
	return 12
}

// hex4 reads the escape \uXXXX at the start of b.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		d := unhex(c)
		if d > 15 {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

// unhex returns the value of a hexadecimal digit, above 15 for any other byte.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// scanNumber returns the end of the JSON number that begins at i, or 0 if
// there is none (RFC 8259, section 6).
func scanNumber(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	start := i
	i = skipDigits(b, i)
	if i == start || b[start] == '0' && i > start+1 {
		return 0
	}
	if i < len(b) && b[i] == '.' {
		start = i + 1
		if i = skipDigits(b, start); i == start {
			return 0
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		start = i
		if i = skipDigits(b, i); i == start {
			return 0
		}
	}
	if i < len(b) && isWord(b[i]) {
		return 0
	}
	return i
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// skip reads any JSON value and forgets it. Objects within that hold a member
// "@type" are noted in s.types when that is wanted.
func (s *inState) skip() bool {
	switch c := s.peek(); c {
	case '{':
		return s.skipObject()
	case '[':
		return s.skipArray()
	case '"':
		_, ok := s.text()
		return ok
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	end := scanNumber(s.src, s.pos)
	if end == 0 {
		return s.expectedToken("a value")
	}
	s.pos = end
	return true
}

func (s *inState) skipArray() bool {
	if !s.enter() {
		return false
	}
	s.pos++
	var ok bool
	for more := !s.closed(']'); more; {
		if !s.skip() {
			return false
		}
		if more, ok = s.more(']'); !ok {
			return false
		}
	}
	s.leave()
	return true
}

func (s *inState) skipObject() bool {
	if !s.enter() {
		return false
	}
	object := s.pos
	s.pos++
	var ok bool
	for more := !s.closed('}'); more; {
		name, named := s.name()
		if !named {
			return false
		}
		if s.types.wanted && string(name) == typeMember {
			s.noteType(object)
		}
		if !s.skip() {
			return false
		}
		if more, ok = s.more('}'); !ok {
			return false
		}
	}
	s.leave()
	return true
}

// name reads a member's name and the colon after it.
func (s *inState) name() ([]byte, bool) {
	if s.peek() != '"' {
		return nil, s.expectedToken("a field name in quotes")
	}
	name, ok := s.text()
	return name, ok && s.take(':', `":" after the field name`)
}

// closed takes the closing bracket if it comes next.
func (s *inState) closed(closing byte) bool {
	if s.peek() != closing {
		return false
	}
	s.pos++
	return true
}

// enter goes one level deeper in messages, leave comes back.
func (s *inState) enter() bool {
	if s.depth >= s.rt.maxDepth {
		return s.fail("nested deeper than %d levels", s.rt.maxDepth)
	}
	s.depth++
	return true
}

func (s *inState) leave() { s.depth-- }
