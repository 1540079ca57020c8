package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// YAML writes the document in YAML, with the members in the same order. A text of
// several lines is a block; all else that is not a plain word is in double quotes,
// which mean the same as in JSON.
func (d *Document) YAML() ([]byte, error) {
	text, err := d.JSON()
	if err != nil {
		return nil, err
	}
	return yamlOf(text)
}

// yamlOf turns JSON into YAML.
func yamlOf(text []byte) ([]byte, error) {
	w := yamlWriter{in: json.NewDecoder(bytes.NewReader(text))}
	w.in.UseNumber()
	if err := w.value(0, false); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return bytes.TrimLeft(w.out.Bytes(), "\n "), nil
}

type yamlWriter struct {
	in  *json.Decoder
	out bytes.Buffer
}

// value writes the next value behind a name or a dash.
func (w *yamlWriter) value(depth int, inList bool) error {
	token, err := w.in.Token()
	if err != nil {
		return err
	}
	switch t := token.(type) {
	case json.Delim:
		if !w.in.More() {
			fmt.Fprintf(&w.out, " %s\n", map[json.Delim]string{'{': "{}", '[': "[]"}[t])
			_, err := w.in.Token() // its end
			return err
		}
		if t == '{' {
			return w.object(depth, inList)
		}
		return w.list(depth)
	case string:
		w.text(t, depth)
	case nil:
		w.out.WriteString(" null\n")
	default:
		fmt.Fprintf(&w.out, " %v\n", t)
	}
	return nil
}

// object writes members. The first of an object in a list stands behind the dash.
func (w *yamlWriter) object(depth int, inList bool) error {
	if !inList {
		w.out.WriteByte('\n')
	}
	for first := true; w.in.More(); first = false {
		name, err := w.in.Token()
		if err != nil {
			return err
		}
		if first && inList {
			w.out.WriteByte(' ')
		} else {
			w.indent(depth)
		}
		w.out.WriteString(word(name.(string))) //nolint:forcetypeassert // a name is a string
		w.out.WriteByte(':')
		if err := w.value(depth+1, false); err != nil {
			return err
		}
	}
	_, err := w.in.Token() // its end
	return err
}

func (w *yamlWriter) list(depth int) error {
	w.out.WriteByte('\n')
	for w.in.More() {
		w.indent(depth)
		w.out.WriteByte('-')
		if err := w.value(depth+1, true); err != nil {
			return err
		}
	}
	_, err := w.in.Token() // its end
	return err
}

func (w *yamlWriter) indent(depth int) {
	for range depth {
		w.out.WriteString("  ")
	}
}

// text writes a string: as a block where it has several lines.
func (w *yamlWriter) text(s string, depth int) {
	if !strings.Contains(s, "\n") || notInBlocks.MatchString(s) {
		w.out.WriteByte(' ')
		w.out.WriteString(word(s))
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

var (
	// notInBlocks is what a block would lose: space where it begins, newlines where it
	// ends, and characters that YAML wants escaped.
	notInBlocks = regexp.MustCompile(`^[ \n\t]|\n$|[^\n\t\x20-\x7e\x{a0}-\x{2027}\x{202a}-\x{d7ff}\x{e000}-\x{fefe}\x{ff00}-\x{fffd}\x{10000}-\x{10ffff}]`)
	// plain is text that means itself, unless it is one of the words below.
	plain = regexp.MustCompile(`^[A-Za-z/$][A-Za-z0-9_./{}$ -]*$`)
	// reserved are words that some reader of YAML takes for something else.
	reserved = regexp.MustCompile(`(?i)^(true|false|yes|no|on|off|y|n|null|nan|inf)$`)
)

// word is a string on one line.
func word(s string) string {
	if plain.MatchString(s) && !reserved.MatchString(s) && !strings.HasSuffix(s, " ") {
		return s
	}
	quoted, err := quote(s)
	if err != nil {
		return strconv.Quote(s) // never for a string
	}
	return quoted
}

// quote is a JSON string.
func quote(s string) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(s)
	return strings.TrimSuffix(b.String(), "\n"), err
}
