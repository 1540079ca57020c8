package openapi

import (
	"regexp"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

var (
	// directives are lines for tools.
	directives = regexp.MustCompile(`(?m)^\s*buf:lint:.*$`)
	// blankLines are more than a paragraph needs.
	blankLines = regexp.MustCompile(`\n{3,}`)
	// sentence is the first one of a text: up to a full stop that ends a word of two
	// letters or more, so that "e.g." does not end it.
	sentence = regexp.MustCompile(`(?s)^.*?(?:[\pL\pN)\x60"'][\pL\pN)\x60"'][.!?](?:\s|$)|\n\n|$)`)
)

// commentOf is what the contract says of a descriptor, in paragraphs: a comment, or what an
// annotation has in its place.
func (b *builder) commentOf(d protoreflect.Descriptor) string {
	switch d.(type) {
	case protoreflect.MessageDescriptor, protoreflect.FieldDescriptor, protoreflect.EnumDescriptor:
		if text := b.remarksOf(d).description; text != "" {
			return text
		}
	}
	if b.source.Comment == nil {
		return ""
	}
	return clean(b.source.Comment(d))
}

// clean drops what is not for readers, and the space that begins each line.
func clean(comment string) string {
	if comment == "" {
		return ""
	}
	comment = withoutInternal(comment)
	if strings.Contains(comment, "buf:lint:") {
		comment = directives.ReplaceAllString(comment, "")
	}
	lines := strings.Split(comment, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(strings.TrimPrefix(line, " "), " \t\r")
	}
	text := strings.TrimSpace(strings.Join(lines, "\n"))
	return strings.ToValidUTF8(blankLines.ReplaceAllString(text, "\n\n"), "\ufffd")
}

// The marks of what is internal (AIP-192).
const (
	beginInternal = "(--"
	endInternal   = "--)"
)

// withoutInternal drops what is internal. What is not closed is internal to the end.
func withoutInternal(text string) string {
	if !strings.Contains(text, beginInternal) {
		return text
	}
	var public strings.Builder
	for depth := 0; text != ""; {
		next := len(text)
		begin, end := strings.Index(text, beginInternal), strings.Index(text, endInternal)
		step := 0
		if begin >= 0 {
			next, step = begin, 1
		}
		if depth > 0 && end >= 0 && end < next {
			next, step = end, -1
		}
		if depth == 0 {
			public.WriteString(text[:next])
		}
		if depth += step; step != 0 {
			next += len(beginInternal)
		}
		text = text[next:]
	}
	return public.String()
}

// summarize splits a text into its leading sentence, without its full stop, and the
// rest.
func summarize(text string) (summary, rest string) {
	first := sentence.FindString(text)
	summary = strings.Join(strings.Fields(first), " ")
	return strings.TrimSuffix(summary, "."), strings.TrimSpace(text[len(first):])
}

// paragraphs joins texts that are not empty.
func paragraphs(texts ...string) string {
	var some []string
	for _, text := range texts {
		if text != "" {
			some = append(some, text)
		}
	}
	return strings.Join(some, "\n\n")
}
