package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// YAML writes the document in YAML, with the members in the same order. A text of
// several lines is a block; all else that is not a plain word is in double quotes,
// which mean the same as in JSON.
func (d *Document) YAML() ([]byte, error) {
	return yamlOf(d)
}

func yamlOf(v any) ([]byte, error) {
	w := yamlWriter{model: newModel()}
	if err := w.value(reflect.ValueOf(v), 0, false); err != nil {
		return nil, err
	}
	return bytes.TrimLeft(w.out.Bytes(), "\n "), nil
}

type yamlWriter struct {
	*model
	out bytes.Buffer
}

// value writes a value behind a name or a dash.
func (w *yamlWriter) value(v reflect.Value, depth int, inList bool) error {
	v, kind := w.resolve(v)
	switch kind {
	case nodeObject:
		return w.object(v, depth, inList)
	case nodeList:
		return w.list(v, depth)
	case nodeText:
		w.text(v.String(), depth)
	case nodeRaw:
		parsed, err := ordered(v.Bytes())
		if err != nil {
			return err
		}
		return w.value(reflect.ValueOf(parsed), depth, inList)
	case nodeNull:
		w.out.WriteString(" null\n")
	default:
		text, err := literal(v)
		if err != nil {
			return err
		}
		if !strings.Contains(text, ".") { // else YAML 1.1 reads 1e+21 as text
			text = strings.Replace(text, "e+", ".0e+", 1)
			text = strings.Replace(text, "e-", ".0e-", 1)
		}
		w.out.WriteByte(' ')
		w.out.WriteString(text)
		w.out.WriteByte('\n')
	}
	return nil
}

// maxSimpleName is how long a name may be that stands before its colon on one line, in
// bytes. YAML takes 1024 characters.
const maxSimpleName = 1000

// object writes members. The first of an object in a list stands behind the dash.
func (w *yamlWriter) object(v reflect.Value, depth int, inList bool) error {
	first := true
	for name, value := range w.members(v) {
		switch {
		case first && inList:
			w.out.WriteByte(' ')
		case first:
			w.out.WriteByte('\n')
			fallthrough
		default:
			w.indent(depth)
		}
		first = false
		before := w.out.Len()
		w.word(name)
		if w.out.Len()-before > maxSimpleName {
			w.out.Truncate(before)
			w.out.WriteString("? ")
			w.word(name)
			w.out.WriteByte('\n')
			w.indent(depth)
		}
		w.out.WriteByte(':')
		if err := w.value(value, depth+1, false); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if first {
		w.out.WriteString(" {}\n")
	}
	return nil
}

func (w *yamlWriter) list(v reflect.Value, depth int) error {
	if v.Len() == 0 {
		w.out.WriteString(" []\n")
		return nil
	}
	w.out.WriteByte('\n')
	for i := range v.Len() {
		w.indent(depth)
		w.out.WriteByte('-')
		if err := w.value(v.Index(i), depth+1, true); err != nil {
			return fmt.Errorf("%d: %w", i, err)
		}
	}
	return nil
}

func (w *yamlWriter) indent(depth int) {
	for range depth {
		w.out.WriteString("  ")
	}
}

// text writes a string: as a block where it has several lines.
func (w *yamlWriter) text(s string, depth int) {
	if !isBlock(s) {
		w.out.WriteByte(' ')
		w.word(s)
		w.out.WriteByte('\n')
		return
	}
	w.out.WriteString(" |-\n")
	for line := range strings.SplitSeq(s, "\n") {
		if line != "" {
			w.indent(max(depth, 1))
			w.out.WriteString(line)
		}
		w.out.WriteByte('\n')
	}
}

// isBlock reports whether a text has several lines, and nothing that a block would lose:
// space where it begins, newlines where it ends, and what YAML wants escaped.
func isBlock(s string) bool {
	if !strings.Contains(s, "\n") || strings.ContainsAny(s[:1], " \n\t") || strings.HasSuffix(s, "\n") || !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\t' || isUnprintable(r) || r == '\u2028' || r == '\u2029'
	})
}

// isUnprintable tells characters that JSON strings may have as they are and YAML wants
// escaped.
func isUnprintable(r rune) bool {
	return r >= 0x7f && r < 0xa0 || r == 0xfeff || r == 0xfffe || r == 0xffff
}

// word writes a string on one line: plainly where every reader takes it for itself.
func (w *yamlWriter) word(s string) {
	if isPlain(s) {
		w.out.WriteString(s)
		return
	}
	text := appendQuoted(w.out.AvailableBuffer(), s)
	if !bytes.ContainsFunc(text, isUnprintable) {
		w.out.Write(text)
		return
	}
	for _, r := range string(text) {
		if isUnprintable(r) {
			fmt.Fprintf(&w.out, `\u%04x`, r)
		} else {
			w.out.WriteRune(r)
		}
	}
}

// isPlain reports whether a text means itself: it begins with a letter, has nothing that
// means something to YAML, and is no word that some reader takes for something else.
func isPlain(s string) bool {
	if s == "" || s[len(s)-1] == ' ' || !isLetter(s[0]) && s[0] != '/' && s[0] != '$' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && (c < '0' || c > '9') && strings.IndexByte("_./{}$ -", c) < 0 {
			return false
		}
	}
	return len(s) > len("false") || !slices.Contains(reserved, strings.ToLower(s))
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// reserved are words that some reader of YAML takes for something else.
var reserved = []string{"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"}

// ordered reads JSON into members, lists and values, with the members in their order.
func ordered(text []byte) (any, error) {
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	return orderedValue(in)
}

func orderedValue(in *json.Decoder) (any, error) {
	token, err := in.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		object := members[any]{}
		for in.More() {
			name, err := in.Token()
			if err != nil {
				return nil, err
			}
			value, err := orderedValue(in)
			if err != nil {
				return nil, err
			}
			object.add(name.(string), value) //nolint:forcetypeassert // a name is a string
		}
		_, err := in.Token() // its end
		return object, err
	case json.Delim('['):
		list := []any{}
		for in.More() {
			value, err := orderedValue(in)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err := in.Token() // its end
		return list, err
	default:
		return token, nil
	}
}
