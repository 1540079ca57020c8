package openapi

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-dev/gatehouse/internal/httprule"
)

// A path is a template as OpenAPI has it: each variable is one whole segment, or the
// rest of the path.
type path struct {
	text   string
	form   string // the text without the names of its variables
	params []pathParam
}

// pathParam is one variable of a path.
type pathParam struct {
	name string
	// field is the path of the field that the template binds with it, nil where it binds
	// nothing.
	field []string
	// within is the template of the field's value, "" where the variable is all of it.
	within string
	rest   bool // it may span segments
}

// pathOf expands a template. Variables with words in them become these words and one
// variable for each wildcard, because clients encode the slash in a variable:
// {name=products/*} becomes products/{product}.
func pathOf(t *httprule.Template, names resources, label func(field []string) string) *path {
	e := expander{names: names, label: label}
	text, verb := t.String(), ""
	if colon := strings.LastIndexByte(text, ':'); colon > strings.LastIndexAny(text, "/}") {
		text, verb = text[:colon], text[colon:]
	}
	for text != "" {
		text = e.next(text[1:])
	}
	if len(e.segments) == 0 {
		e.segments = []string{""}
	}
	e.path.text = "/" + strings.Join(e.segments, "/") + verb
	e.path.form = "/" + strings.Join(e.form, "/") + verb
	return &e.path
}

// expander collects the segments of a path.
type expander struct {
	names    resources
	label    func(field []string) string
	path     path
	segments []string
	form     []string
}

// next reads the segment or variable at the start of text, and returns the rest.
func (e *expander) next(text string) string {
	if !strings.HasPrefix(text, "{") {
		segment, rest := text, ""
		if slash := strings.IndexByte(text, '/'); slash >= 0 {
			segment, rest = text[:slash], text[slash:]
		}
		e.add(segment, pathParam{name: "segment"})
		return rest
	}
	inner, rest, _ := strings.Cut(text[1:], "}")
	name, template, hasTemplate := strings.Cut(inner, "=")
	field := strings.Split(name, ".")
	if !hasTemplate || template == "**" {
		wildcard := "*"
		if hasTemplate {
			wildcard = template
		}
		e.add(wildcard, pathParam{name: e.label(field), field: field})
		return rest
	}
	e.expand(field, template)
	return rest
}

// expand adds the segments of a variable with words in it.
func (e *expander) expand(field []string, template string) {
	segments, known := strings.Split(template, "/"), e.names.of(template)
	for i, segment := range segments {
		param := pathParam{field: field, within: template}
		switch {
		case segment != "*" && segment != "**":
		case len(known) > 0:
			param.name, known = known[0], known[1:]
		case i > 0 && segments[i-1] != "*":
			param.name = notInNames.ReplaceAllString(segments[i-1], "_") + "_id"
		default:
			param.name = e.label(field)
		}
		e.add(segment, param)
	}
}

// add appends a segment. A variable whose name is taken in the path gets a number.
func (e *expander) add(segment string, p pathParam) {
	if segment != "*" && segment != "**" {
		e.segments, e.form = append(e.segments, segment), append(e.form, segment)
		return
	}
	base := p.name
	for n := 2; slices.ContainsFunc(e.path.params, func(other pathParam) bool { return other.name == p.name }); n++ {
		p.name = base + "_" + strconv.Itoa(n)
	}
	p.rest = segment == "**"
	e.path.params = append(e.path.params, p)
	e.segments, e.form = append(e.segments, "{"+p.name+"}"), append(e.form, "{}")
}

// spans reports whether a variable may span segments.
func (p *path) spans() bool {
	return slices.ContainsFunc(p.params, func(param pathParam) bool { return param.rest })
}

// renamed is the path with the variables of another of the same form: OpenAPI wants
// one name for a segment, whatever the HTTP method.
func (p *path) renamed(other *path) {
	p.text = other.text
	for i := range p.params {
		p.params[i].name = other.params[i].name
	}
}
