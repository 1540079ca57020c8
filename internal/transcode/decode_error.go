package transcode

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/gatehouse-dev/gatehouse/internal/nearest"
)

// InputKind tells what an HTTP answer to an [InputError] has to say.
type InputKind uint8

const (
	// Invalid input is 400 and INVALID_ARGUMENT.
	Invalid InputKind = iota
	// UnsupportedMedia is a body in a format that the binding does not take:
	// 415 and INVALID_ARGUMENT.
	UnsupportedMedia
)

// InputError is a client's mistake in a request. Its text may be sent to the
// client as it is: it names the place, what was given and what would be right.
type InputError struct {
	Kind InputKind
	// Path is the place in the JSON document or the name of the parameter,
	// such as items[3].price.units; "" when the input as a whole is meant. Names
	// that only a client knows, such as keys of maps, are in quotes.
	Path string
	// Reason says what is wrong there.
	Reason string

	field string // see Field
}

// Error implements error.
func (e *InputError) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return e.Path + ": " + e.Reason
}

// Field is the place of the mistake, for a BadRequest detail: Path without
// quotes, since programs compare it with names of fields. A key of a map stands
// as in a query, as in labels[key].
func (e *InputError) Field() string { return e.field }

// inside puts the error one step further from the root of the document. The step
// has two spellings: for readers, and for programs.
func (e *InputError) inside(shown, plain string) {
	e.Path, e.field = joinPath(shown, e.Path), joinPath(plain, e.field)
}

func joinPath(step, path string) string {
	switch {
	case path == "":
		return step
	case path[0] == '[':
		return step + path
	default:
		return step + "." + path
	}
}

// failure is the error that ended the decoding.
func (s *inState) failure() error {
	if s.pulse.over != nil {
		return s.pulse.over
	}
	return s.err
}

// fail records the error that ends the decoding and returns false, so that a
// reader can end with it.
func (s *inState) fail(format string, args ...any) bool {
	if s.err == nil {
		s.err = &InputError{Reason: fmt.Sprintf(format, args...)}
	}
	return false
}

// syntax fails with the line and column of the byte at pos.
func (s *inState) syntax(pos int, format string, args ...any) bool {
	before := s.src[:min(pos, len(s.src))]
	line := bytes.Count(before, []byte{'\n'}) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return s.fail("invalid JSON at line %d, column %d: %s", line, column, fmt.Sprintf(format, args...))
}

// expected fails for the value at pos, which is not what is wanted there.
func (s *inState) expected(pos int, want string) bool {
	if s.err != nil {
		return false
	}
	given, broken := describe(s.src[min(pos, len(s.src)):])
	if broken {
		return s.syntax(pos, "expected %s, got %s", want, given)
	}
	return s.fail("expected %s, got %s", want, given)
}

// within names the field in which the decoding failed.
func (s *inState) within(name string) bool {
	s.err.inside(name, name)
	return false
}

// withinGiven is within for a name as the client gave it, which may be anything.
func (s *inState) withinGiven(name []byte) bool {
	s.err.inside(displayName(string(name)), excerpt(name))
	return false
}

// withinKey names the entry of a map in which the decoding failed.
func (s *inState) withinKey(key []byte) bool {
	s.err.inside("["+quote(key)+"]", "["+excerpt(key)+"]")
	return false
}

// withinIndex names the element in which the decoding failed.
func (s *inState) withinIndex(i int) bool { return s.within("[" + strconv.Itoa(i) + "]") }

// maxExcerpt bounds how much of a client's value an error repeats, in bytes.
const maxExcerpt = 48

// describe tells what JSON value b begins with, and whether it is none at all.
func describe(b []byte) (what string, broken bool) {
	if len(b) == 0 {
		return "the end of the input", true
	}
	switch c := b[0]; {
	case c == '{':
		return "an object", false
	case c == '[':
		return "an array", false
	case c == '"':
		return "string " + excerptString(b), false
	case c == '-' || c >= '0' && c <= '9':
		return "number " + excerpt(b[:wordLen(b)]), false
	case bytes.HasPrefix(b, []byte("true")), bytes.HasPrefix(b, []byte("false")), bytes.HasPrefix(b, []byte("null")):
		return excerpt(b[:wordLen(b)]), false
	case wordLen(b) > 0:
		return excerpt(b[:wordLen(b)]), true
	}
	r, size := utf8.DecodeRune(b)
	if r == utf8.RuneError && size == 1 {
		return fmt.Sprintf("byte 0x%02x", b[0]), true
	}
	return strconv.QuoteRune(r), true
}

// excerptString returns the JSON string at the start of b, quoted for a reader.
func excerptString(b []byte) string {
	text, ok := textOf(b)
	if !ok {
		return excerpt(b)
	}
	return quote(text)
}

// textOf is the text of the JSON string at the start of b.
func textOf(b []byte) ([]byte, bool) {
	s := inState{src: b}
	return s.text()
}

// quote returns b in quotes, cut when long.
func quote(b []byte) string {
	if len(b) <= maxExcerpt {
		return strconv.Quote(string(b))
	}
	cut := maxExcerpt
	for cut > 0 && !utf8.RuneStart(b[cut]) {
		cut--
	}
	return strconv.Quote(string(b[:cut])) + "..."
}

func excerpt(b []byte) string {
	if len(b) <= maxExcerpt {
		return string(bytes.ToValidUTF8(b, []byte("?")))
	}
	return string(bytes.ToValidUTF8(b[:maxExcerpt], []byte("?"))) + "..."
}

// wordLen returns the length of what looks like one word or number.
func wordLen(b []byte) int {
	for i, c := range b {
		if !isWord(c) {
			return i
		}
	}
	return len(b)
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
		c == '_' || c == '-' || c == '+' || c == '.'
}

// maxTypo is the length of the longest name that a suggestion is made for: what a
// client sends is compared with all fields of a message.
const maxTypo = 64

// didYouMean returns the end of an error about an unknown name: the field that the
// client may have meant.
func didYouMean(given string, names []string) string {
	if len(given) > maxTypo {
		return ""
	}
	if name := nearest.Name(given, names, max(1, min(3, len(given)/3))+1); name != "" {
		return "; did you mean " + strconv.Quote(name) + "?"
	}
	return ""
}
