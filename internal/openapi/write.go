package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"unicode/utf8"
)

// nodeKind is what a value of the model becomes in a document.
type nodeKind uint8

const (
	nodeNull nodeKind = iota
	nodeObject
	nodeList
	nodeText
	nodeLiteral // a number or a boolean
	nodeRaw     // JSON that is written already
)

// model walks the values that documents consist of. It knows their types by the tags that
// encoding/json reads, which copies what each [json.Marshaler] returns once for each
// level that it stands in; most of a document would be copied ten times.
type model struct {
	types map[reflect.Type]*fields
}

// fields are those of a struct that are written, or what else there is to know of a type.
type fields struct {
	list      []field
	isMembers bool
}

type field struct {
	index     int
	name      string
	omitEmpty bool
	isInline  bool // what it has are members of the object that it stands in
}

func newModel() *model { return &model{map[reflect.Type]*fields{}} }

// isMembers is implemented by members alone.
type isMembers interface{ isMembers() }

func (m members[V]) isMembers() {}

var (
	membersType = reflect.TypeFor[isMembers]()
	rawType     = reflect.TypeFor[json.RawMessage]()
)

// of describes a type: once for each.
func (m *model) of(t reflect.Type) *fields {
	if known := m.types[t]; known != nil {
		return known
	}
	f := &fields{isMembers: t.Implements(membersType)}
	if t.Kind() == reflect.Struct {
		for i := range t.NumField() {
			name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			if name != "" || options == "inline" {
				f.list = append(f.list, field{i, name, options == "omitempty", options == "inline"})
			}
		}
	}
	m.types[t] = f
	return f
}

// resolve follows pointers and interfaces to a value, and tells its kind.
func (m *model) resolve(v reflect.Value) (reflect.Value, nodeKind) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Invalid:
		return v, nodeNull
	case reflect.Struct:
		return v, nodeObject
	case reflect.Slice:
		switch {
		case v.Type() == rawType:
			return v, nodeRaw
		case m.of(v.Type()).isMembers:
			return v, nodeObject
		}
		return v, nodeList
	case reflect.String:
		if v.Type() == reflect.TypeFor[json.Number]() {
			return v, nodeLiteral
		}
		return v, nodeText
	default:
		return v, nodeLiteral
	}
}

// members are the members of an object that are written.
func (m *model) members(v reflect.Value) iter.Seq2[string, reflect.Value] {
	return func(yield func(string, reflect.Value) bool) { m.each(v, yield) }
}

// each calls yield for the members of an object, until it returns false.
func (m *model) each(v reflect.Value, yield func(string, reflect.Value) bool) bool {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			if one := v.Index(i); !yield(one.Field(0).String(), one.Field(1)) {
				return false
			}
		}
	case reflect.Struct:
		for _, f := range m.of(v.Type()).list {
			switch value := v.Field(f.index); {
			case f.isInline:
				if !m.each(value, yield) {
					return false
				}
			case (!f.omitEmpty || !isEmpty(value)) && !yield(f.name, value):
				return false
			}
		}
	}
	return true
}

// isEmpty reports whether omitempty leaves a value out.
func isEmpty(v reflect.Value) bool {
	if v.Kind() == reflect.Slice {
		return v.Len() == 0
	}
	return v.Kind() != reflect.Struct && v.IsZero()
}

// literal is a number or a boolean as JSON has it.
func literal(v reflect.Value) (string, error) {
	text, err := json.Marshal(v.Interface())
	return string(text), err
}

// jsonWriter writes JSON without white space.
type jsonWriter struct {
	*model
	out bytes.Buffer
}

// JSON writes the document without white space.
func (d *Document) JSON() ([]byte, error) {
	w := jsonWriter{model: newModel()}
	if err := w.value(reflect.ValueOf(d)); err != nil {
		return nil, err
	}
	w.out.WriteByte('\n')
	return w.out.Bytes(), nil
}

func (w *jsonWriter) value(v reflect.Value) error {
	v, kind := w.resolve(v)
	switch kind {
	case nodeObject:
		return w.object(v)
	case nodeList:
		return w.list(v)
	case nodeText:
		w.out.Write(appendQuoted(w.out.AvailableBuffer(), v.String()))
	case nodeRaw:
		w.out.Write(v.Bytes())
	case nodeNull:
		w.out.WriteString("null")
	default:
		text, err := literal(v)
		if err != nil {
			return err
		}
		w.out.WriteString(text)
	}
	return nil
}

func (w *jsonWriter) object(v reflect.Value) error {
	separator := byte('{')
	for name, value := range w.members(v) {
		w.out.WriteByte(separator)
		separator = ','
		w.out.Write(appendQuoted(w.out.AvailableBuffer(), name))
		w.out.WriteByte(':')
		if err := w.value(value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if separator == '{' {
		w.out.WriteByte('{')
	}
	w.out.WriteByte('}')
	return nil
}

func (w *jsonWriter) list(v reflect.Value) error {
	w.out.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			w.out.WriteByte(',')
		}
		if err := w.value(v.Index(i)); err != nil {
			return fmt.Errorf("%d: %w", i, err)
		}
	}
	w.out.WriteByte(']')
	return nil
}

// appendQuoted appends a JSON string. What is not UTF-8 becomes U+FFFD.
func appendQuoted(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return append(b, quoted(s)...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// quoted is a JSON string in the way of encoding/json.
func quoted(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can always be written
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
