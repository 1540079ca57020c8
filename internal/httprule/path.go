package httprule

import (
	"strings"
	"unicode/utf8"
)

// The reasons are fixed: refusing costs nothing and repeats nothing.
var (
	errTooLong = badPath("the path is too long")
	errNoSlash = badPath(`the path must start with "/"`)
	errEmpty   = badPath(`the path has an empty segment: write one "/" where it has two`)
	errDots    = badPath(`the path has a "." or ".." segment: write it without`)
	errChar    = badPath("the path has a character that must be percent-encoded")
	errPercent = badPath(`the path has a "%" that two hexadecimal digits do not follow`)
	errNUL     = badPath("the path has an encoded NUL")
	errUTF8    = badPath("the path is not valid UTF-8 once decoded")
)

func badPath(reason string) *Error { return &Error{Kind: BadPath, Reason: reason} }

// path is a request's path, split and decoded.
type path struct {
	raw   string // as sent
	text  string // each segment decoded; raw itself if nothing was encoded
	segs  []span
	colon span // of the last raw ":" in the last segment: start in raw, textStart in text; 0 if none
	buf   []byte
}

// span is where a segment stands in raw and in text.
type span struct{ start, end, textStart, textEnd int32 }

// read splits and checks a path. "/" has no segments; any other trailing slash
// makes an empty last one.
func (p *path) read(raw string, limit int) *Error {
	p.raw, p.text, p.segs, p.colon = raw, raw, p.segs[:0], span{}
	switch {
	case len(raw) > limit:
		return errTooLong
	case raw == "" || raw[0] != '/':
		return errNoSlash
	case raw == "/":
		return nil
	}
	seen, err := p.split(raw)
	if err != nil {
		return err
	}
	if seen&classPercent != 0 {
		if err := p.decode(); err != nil {
			return err
		}
	}
	if seen&(classPercent|classHigh) != 0 && !utf8.ValidString(p.text) {
		return errUTF8
	}
	p.findColon()
	return nil
}

// split finds the segments and returns the classes of bytes it met.
func (p *path) split(raw string) (class, *Error) {
	var seen class
	start := 1
	for i := 1; i < len(raw); i++ {
		c := classOf[raw[i]]
		if c == 0 {
			continue
		}
		seen |= c
		if c != classSlash {
			continue
		}
		if i == start {
			return 0, errEmpty
		}
		if isDots(raw[start:i]) {
			return 0, errDots
		}
		p.add(start, i)
		start = i + 1
	}
	if isDots(raw[start:]) {
		return 0, errDots
	}
	if seen&classBad != 0 {
		return 0, errChar
	}
	p.add(start, len(raw))
	return seen, nil
}

func (p *path) add(start, end int) {
	s, e := int32(start), int32(end)
	p.segs = append(p.segs, span{s, e, s, e})
}

// decode makes text, where an encoded slash is one more "/" but no new
// segment; dot segments are refused between those too.
func (p *path) decode() *Error {
	p.buf = p.buf[:0]
	for i := range p.segs {
		s := &p.segs[i]
		p.buf = append(p.buf, '/')
		s.textStart = int32(len(p.buf))
		var err *Error
		if p.buf, err = appendDecoded(p.buf, p.raw[s.start:s.end]); err != nil {
			return err
		}
		s.textEnd = int32(len(p.buf))
	}
	p.text = string(p.buf)
	for part := range strings.SplitSeq(p.text, "/") {
		if isDots(part) {
			return errDots
		}
	}
	return nil
}

func appendDecoded(dst []byte, raw string) ([]byte, *Error) {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			b, ok := unhex(raw[i:])
			if !ok {
				return dst, errPercent
			}
			if b == 0 {
				return dst, errNUL
			}
			c, i = b, i+2
		}
		dst = append(dst, c)
	}
	return dst, nil
}

// segment returns the text of segment i.
func (p *path) segment(i int) string {
	s := &p.segs[i]
	return p.text[s.textStart:s.textEnd]
}

// findColon looks for the place where the last segment may have a verb. Only a
// colon that was sent as such separates.
func (p *path) findColon() {
	last := p.segs[len(p.segs)-1]
	i := strings.LastIndexByte(p.raw[last.start:last.end], ':')
	if i < 0 {
		return
	}
	encoded := strings.Count(p.raw[last.start:last.start+int32(i)], "%")
	p.colon = span{start: last.start + int32(i), textStart: last.textStart + int32(i-2*encoded)}
}

// cutVerb takes the verb off the last segment.
func (p *path) cutVerb() {
	last := &p.segs[len(p.segs)-1]
	last.end, last.textEnd = p.colon.start, p.colon.textStart
}

// appendVars appends the values of t's variables. It reads none of t's words:
// any template of the same shape will do.
func (p *path) appendVars(dst []string, t *Template, d Decoding) []string {
	for i := range t.vars {
		v := &t.vars[i]
		first, end := p.index(t, v.first), p.index(t, v.end)
		switch {
		case first == end: // "**" over nothing
			dst = append(dst, "")
		case v.Multi:
			dst = append(dst, p.multi(t, first, end, d))
		default:
			dst = append(dst, p.segment(first))
		}
	}
	return dst
}

// index turns an index into t's segments into one into the path's: those
// behind "**" are counted from the end.
func (p *path) index(t *Template, i int) int {
	if t.deep >= 0 && i > t.deep {
		return i + len(p.segs) - len(t.segments)
	}
	return i
}

// multi returns the value of the segments [first, end).
func (p *path) multi(t *Template, first, end int, d Decoding) string {
	raw := p.raw[p.segs[first].start:p.segs[end-1].end]
	if strings.IndexByte(raw, '%') < 0 {
		return raw
	}
	p.buf = p.buf[:0]
	for i, s := range p.segs[first:end] {
		if i > 0 {
			p.buf = append(p.buf, '/')
		}
		// A literal has one spelling in a value, however it was sent.
		if p.isLiteral(t, first+i) {
			p.buf = append(p.buf, p.text[s.textStart:s.textEnd]...)
		} else {
			p.buf = appendKeeping(p.buf, p.raw[s.start:s.end], d)
		}
	}
	return string(p.buf)
}

// isLiteral tells whether the path's segment i matched a literal of t.
func (p *path) isLiteral(t *Template, i int) bool {
	if t.deep >= 0 && i >= t.deep {
		i = max(t.deep, i+len(t.segments)-len(p.segs))
	}
	return t.segments[i].kind == literal
}

// appendKeeping decodes a checked segment but for what d keeps encoded.
func appendKeeping(dst []byte, raw string, d Decoding) []byte {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			b, _ := unhex(raw[i:])
			if d.keeps(b) {
				dst = append(dst, raw[i:i+3]...)
			} else {
				dst = append(dst, b)
			}
			i += 2
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

func (d Decoding) keeps(c byte) bool {
	if d == KeepSlash {
		return c == '/'
	}
	return strings.IndexByte(":/?#[]@!$&'()*+,;=", c) >= 0
}

// class sorts the bytes of a path by what they need; plain ones are zero.
type class uint8

const (
	classSlash class = 1 << iota
	classPercent
	classHigh // part of a UTF-8 sequence
	classBad  // controls and space; "?" and "#", which end a path; "\", which some links read as "/"
)

var classOf = classes()

func classes() (of [256]class) {
	for c := range of {
		switch {
		case c == '/':
			of[c] = classSlash
		case c == '%':
			of[c] = classPercent
		case c >= utf8.RuneSelf:
			of[c] = classHigh
		case c <= ' ' || c == 0x7f || c == '?' || c == '#' || c == '\\':
			of[c] = classBad
		}
	}
	return of
}

// unhex decodes the "%XX" that s starts with.
func unhex(s string) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	hi, ok1 := nibble(s[1])
	lo, ok2 := nibble(s[2])
	return hi<<4 | lo, ok1 && ok2
}

func nibble(c byte) (byte, bool) {
	switch {
	case isDigit(c):
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

func isDots(s string) bool       { return s == "." || s == ".." }
func isDigit(c byte) bool        { return '0' <= c && c <= '9' }
func isAlpha(c byte) bool        { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isWord(c byte) bool         { return isAlpha(c) || isDigit(c) }
func in(set string, c byte) bool { return strings.IndexByte(set, c) >= 0 }

// isPchar tells the characters that a segment holds unencoded (RFC 3986, 3.3).
func isPchar(c byte) bool { return isWord(c) || in("-._~!$&'()*+,;=:@", c) }

// isToken tells the names that a method may have (RFC 9110, 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if !isWord(s[i]) && !in("!#$%&'*+-.^_`|~", s[i]) {
			return false
		}
	}
	return s != ""
}
