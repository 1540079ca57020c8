package httprule

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Template is a parsed path template. It is immutable.
//
//	Template  = "/" [ Segments [ ":" LITERAL ] ]
//	Segments  = Segment { "/" Segment }
//	Segment   = "*" | "**" | LITERAL | Variable
//	Variable  = "{" IDENT { "." IDENT } [ "=" Segments ] "}"
//
// A variable holds no variable and no verb, and "**" occurs once at most. That
// segments may follow "**", and that "/" alone is a template, goes beyond
// http.proto; public APIs have such templates. The verb begins at the last colon
// of the last segment; a literal there that holds a colon of its own spells it
// "%3A".
type Template struct {
	text     string
	segments []segment
	deep     int // index of "**" in segments, or -1
	vars     []variable
	verb     string // decoded, "" for none
}

type kind int

const (
	literal kind = iota
	star         // "*"
	deep         // "**"
)

type segment struct {
	kind    kind
	literal string // decoded
}

// variable binds the segments [first, end) of its template.
type variable struct {
	Variable
	first, end int
}

// String returns the template in canonical form: as few percent-encodings as
// can be, and no "=*". It parses to an equal template.
func (t *Template) String() string { return t.text }

// Path returns the template without its variables, as in "/shelves/*/books":
// to a router, templates with the same path are the same.
func (t *Template) Path() string {
	bare := *t
	bare.vars = nil
	return bare.format()
}

// Example returns a path that matches the template, and no word of another: its
// variables are "~".
func (t *Template) Example() string {
	some := Template{segments: slices.Clone(t.segments), verb: t.verb}
	for i, s := range some.segments {
		if s.kind != literal {
			some.segments[i] = segment{literal: "~"}
		}
	}
	return some.format()
}

// Variables returns the variables in the order of the path. The slice is the
// caller's.
func (t *Template) Variables() []Variable {
	vars := make([]Variable, len(t.vars))
	for i, v := range t.vars {
		vars[i] = Variable{FieldPath: slices.Clone(v.FieldPath), Multi: v.Multi}
	}
	return vars
}

// Parse reads a template. Its errors name the offset in bytes and what would
// be right there.
func Parse(s string) (*Template, error) {
	p := parser{src: s, end: len(s), t: Template{deep: -1}}
	if err := p.template(); err != nil {
		return nil, err
	}
	p.t.text = p.t.format()
	return &p.t, nil
}

// parser reads src[at:end]; what lies behind end is the verb.
type parser struct {
	src     string
	at, end int
	t       Template
}

func (p *parser) fail(at int, format string, args ...any) error {
	return fmt.Errorf("path template %q, offset %d: %s", p.src, at, fmt.Sprintf(format, args...))
}

func (p *parser) template() error {
	if !p.skip('/') {
		return p.fail(0, `must start with "/"`)
	}
	if p.src == "/" {
		return nil
	}
	if err := p.cutVerb(); err != nil {
		return err
	}
	if err := p.segments(false); err != nil {
		return err
	}
	switch {
	case p.at == p.end:
		return nil
	case p.src[p.at] == ':':
		return p.misplacedVerb(p.at)
	default:
		return p.fail(p.at, `unexpected %q: want "/" or the end`, p.src[p.at:p.at+1])
	}
}

// misplacedVerb is the error for a colon behind a variable or a wildcard that
// does not begin the template's verb.
func (p *parser) misplacedVerb(at int) error {
	if p.end < len(p.src) {
		return p.fail(at, `a template has one verb, here %q: spell a colon inside a verb "%%3A"`, p.src[p.end:])
	}
	return p.fail(at, `a verb ends the template: nothing may follow it`)
}

// cutVerb takes the verb off the end: what follows the last colon, if neither
// a slash nor a variable ends behind it.
func (p *parser) cutVerb() error {
	colon := strings.LastIndexByte(p.src, ':')
	if colon < 0 || strings.ContainsAny(p.src[colon:], "/}") {
		return nil
	}
	p.end = colon
	verb, err := p.literal(colon+1, p.src[colon+1:])
	p.t.verb = verb
	return err
}

// skip steps over c if it is next.
func (p *parser) skip(c byte) bool {
	if p.at < p.end && p.src[p.at] == c {
		p.at++
		return true
	}
	return false
}

// until returns the text up to one of stops, or to the end, and steps over it.
func (p *parser) until(stops string) string {
	rest := p.src[p.at:p.end]
	if i := strings.IndexAny(rest, stops); i >= 0 {
		rest = rest[:i]
	}
	p.at += len(rest)
	return rest
}

func (p *parser) segments(inVariable bool) error {
	for {
		if err := p.segment(inVariable); err != nil {
			return err
		}
		if !p.skip('/') {
			return nil
		}
	}
}

func (p *parser) segment(inVariable bool) error {
	start := p.at
	if p.skip('{') {
		if inVariable {
			return p.fail(start, "a variable cannot stand inside a variable: end the outer one first")
		}
		return p.variable()
	}
	text := p.until("/{}")
	if colon := strings.IndexByte(text, ':'); colon >= 0 && inVariable && p.at < p.end && p.src[p.at] == '}' {
		return p.fail(start+colon, `a verb cannot stand inside a variable: write it behind the "}", or spell a colon of a literal "%%3A"`)
	}
	switch {
	case text == "*":
		return p.add(start, segment{kind: star})
	case text == "**":
		return p.add(start, segment{kind: deep})
	case strings.HasPrefix(text, "*:"), strings.HasPrefix(text, "**:"):
		return p.misplacedVerb(start + strings.IndexByte(text, ':'))
	default:
		lit, err := p.literal(start, text)
		if err != nil {
			return err
		}
		return p.add(start, segment{literal: lit})
	}
}

// add appends a segment that began at an offset.
func (p *parser) add(start int, s segment) error {
	if s.kind == deep {
		if p.t.deep >= 0 {
			return p.fail(start, `"**" may occur only once in a template`)
		}
		p.t.deep = len(p.t.segments)
	}
	p.t.segments = append(p.t.segments, s)
	return nil
}

// variable reads what follows its brace.
func (p *parser) variable() error {
	start := p.at - 1
	fields, err := p.fieldPath()
	if err != nil {
		return err
	}
	v := variable{Variable: Variable{FieldPath: fields}, first: len(p.t.segments)}
	if p.skip('=') {
		err = p.segments(true)
	} else {
		err = p.add(start, segment{kind: star})
	}
	if err != nil {
		return err
	}
	if !p.skip('}') {
		return p.fail(p.at, `variable %q is not closed: want "/" or "}"`, strings.Join(fields, "."))
	}
	v.end = len(p.t.segments)
	v.Multi = v.end-v.first > 1 || p.t.deep >= v.first
	p.t.vars = append(p.t.vars, v)
	return nil
}

func (p *parser) fieldPath() ([]string, error) {
	start := p.at
	fields := strings.Split(p.until("=/{}"), ".")
	at := start
	for _, f := range fields {
		if name, _, found := strings.Cut(f, ":"); found && isIdent(name) {
			return nil, p.fail(at+len(name), `a verb cannot stand inside a variable: write it behind the "}"`)
		}
		if !isIdent(f) {
			return nil, p.fail(at, "%q is not a field name: want a letter or _, then letters, digits and _", f)
		}
		at += len(f) + 1
	}
	for _, v := range p.t.vars {
		if slices.Equal(v.FieldPath, fields) {
			return nil, p.fail(start, "field %q is bound twice: bind it once", strings.Join(fields, "."))
		}
	}
	return fields, nil
}

func isIdent(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isAlpha(c) && c != '_' && (i == 0 || !isDigit(c)) {
			return false
		}
	}
	return s != ""
}

// literal checks and decodes the text of a literal that began at start.
func (p *parser) literal(start int, text string) (string, error) {
	if text == "" {
		return "", p.fail(start, `empty segment: want a literal, "*", "**" or a variable`)
	}
	decoded := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '*':
			return "", p.fail(start+i, `a wildcard must be a whole segment; spell a star in a literal "%%2A"`)
		case c == '%':
			b, ok := unhex(text[i:])
			if !ok {
				return "", p.fail(start+i, `"%%" must be followed by two hexadecimal digits`)
			}
			c, i = b, i+2
		case !isPchar(c) && c < utf8.RuneSelf:
			return "", p.fail(start+i, "%q cannot stand in a path: percent-encode it", string(rune(c)))
		}
		decoded = append(decoded, c)
	}
	return p.checkLiteral(start, string(decoded))
}

// checkLiteral refuses literals that no path could match.
func (p *parser) checkLiteral(start int, lit string) (string, error) {
	switch {
	case isDots(lit):
		return "", p.fail(start, `"." and ".." are refused in paths: leave the segment out`)
	case strings.ContainsAny(lit, "/\x00"):
		return "", p.fail(start, "a literal cannot hold an encoded slash or NUL")
	case !utf8.ValidString(lit):
		return "", p.fail(start, "a literal must be valid UTF-8 once decoded")
	}
	return lit, nil
}

// shape is equal for templates that take their variables from a path alike:
// they differ in words only.
func (t *Template) shape() string {
	var b strings.Builder
	for _, s := range t.segments {
		fmt.Fprint(&b, s.kind)
	}
	for _, v := range t.vars {
		fmt.Fprint(&b, " ", v.first, "-", v.end)
	}
	return b.String()
}

func (t *Template) format() string {
	if len(t.segments) == 0 {
		return "/"
	}
	var b strings.Builder
	vars := t.vars
	for i := 0; i < len(t.segments); {
		b.WriteByte('/')
		if len(vars) > 0 && vars[0].first == i {
			t.formatVariable(&b, vars[0])
			i, vars = vars[0].end, vars[1:]
			continue
		}
		last := i == len(t.segments)-1
		t.segments[i].format(&b, last && t.verb == "")
		i++
	}
	if t.verb != "" {
		b.WriteByte(':')
		formatLiteral(&b, t.verb, true)
	}
	return b.String()
}

func (t *Template) formatVariable(b *strings.Builder, v variable) {
	b.WriteByte('{')
	b.WriteString(strings.Join(v.FieldPath, "."))
	segments := t.segments[v.first:v.end]
	if len(segments) > 1 || segments[0].kind != star {
		sep := byte('=')
		for i, s := range segments {
			b.WriteByte(sep)
			s.format(b, i == len(segments)-1) // a colon there would read as a verb
			sep = '/'
		}
	}
	b.WriteByte('}')
}

func (s segment) format(b *strings.Builder, encodeColon bool) {
	switch s.kind {
	case star:
		b.WriteString("*")
	case deep:
		b.WriteString("**")
	case literal:
		formatLiteral(b, s.literal, encodeColon)
	}
}

func formatLiteral(b *strings.Builder, lit string, encodeColon bool) {
	for i := range len(lit) {
		c := lit[i]
		if isPchar(c) && c != '*' && (c != ':' || !encodeColon) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(b, "%%%02X", c)
		}
	}
}
