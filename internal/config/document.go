package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// document reads the only document of the file; nil after an error.
func (d *decoder) document(data []byte) *yaml.Node {
	if len(data) > maxFileBytes {
		d.report(Position{File: d.name}, "", "the file is larger than %d MiB", maxFileBytes>>20)
		return nil
	}
	source := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	switch err := source.Decode(&first); {
	case errors.Is(err, io.EOF):
		d.reportEmpty()
		return nil
	case err != nil:
		d.syntax(data, err)
		return nil
	}
	switch err := source.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntax(data, err)
		return nil
	default:
		d.fail(&second, "", "a second document begins here; give one only")
		return nil
	}
	if first.Kind != yaml.DocumentNode || len(first.Content) != 1 || isNull(first.Content[0]) {
		d.reportEmpty()
		return nil
	}
	d.budget = aliasFloor + aliasFactor*count(&first)
	return first.Content[0]
}

// count is the number of nodes as written: an alias is one.
func count(n *yaml.Node) int {
	all := 1
	for _, c := range n.Content {
		all += count(c)
	}
	return all
}

func (d *decoder) reportEmpty() {
	d.report(Position{File: d.name, Line: 1, Column: 1}, "", "%s", d.empty)
}

// syntax reports what is not YAML at all. The library tells the line only.
func (d *decoder) syntax(data []byte, err error) {
	if !utf8.Valid(data) {
		line := 1 + bytes.Count(data[:invalidAt(data)], []byte("\n"))
		d.report(Position{File: d.name, Line: line, Column: 1}, "", "not valid UTF-8")
		return
	}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(text); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
		text = text[len(m[0]):]
	}
	source := sourceLine(data, line)
	indent := source[:len(source)-len(strings.TrimLeft(source, " \t"))]
	if i := strings.IndexByte(indent, '\t'); i >= 0 {
		d.report(Position{File: d.name, Line: line, Column: i + 1}, "", "a tab in the indentation; YAML wants spaces")
		return
	}
	d.report(Position{File: d.name, Line: line, Column: len(indent) + 1}, "", "not valid YAML: %s", text)
}

func sourceLine(data []byte, line int) string {
	for range line - 1 {
		_, after, found := bytes.Cut(data, []byte("\n"))
		if !found {
			return ""
		}
		data = after
	}
	source, _, _ := bytes.Cut(data, []byte("\n"))
	return string(source)
}

func invalidAt(data []byte) int {
	i := 0
	for i < len(data) {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		i += n
	}
	return i
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// shown is what was written, for an error: shortened, and never what was
// substituted.
func shown(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if isNull(n) {
			return "nothing"
		}
		return quoted(n.Value)
	default:
		return "something else"
	}
}

// quoted is a text in quotes, of which the first 60 characters are told.
func quoted(text string) string {
	if runes := []rune(text); len(runes) > 60 {
		text = string(runes[:60]) + "..."
	}
	return fmt.Sprintf("%q", text)
}
