package config

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Print writes the configuration with all defaults, as YAML that [Parse] takes.
// What was substituted is written as in the file, and of secrets that stand in
// the file itself only that they are there; see [File.WithSecrets].
func (f *File) Print(w io.Writer) error {
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(f.mapping(f.Config.ProtoReflect(), "")); err != nil {
		return err
	}
	return e.Close()
}

// Field is one field of a policy in force.
type Field struct {
	Path   string `json:"path"`
	Value  string `json:"value"` // as YAML has it
	Origin string `json:"origin"`
}

// Print writes one line for each field: its path, value, and where it is from.
func (e *Effective) Print(w io.Writer, indent string) error {
	fields, err := e.Fields()
	if err != nil {
		return err
	}
	for _, f := range fields {
		if _, err := fmt.Fprintf(w, "%s%s: %s  # %s\n", indent, f.Path, f.Value, f.Origin); err != nil {
			return err
		}
	}
	return nil
}

// Fields lists the fields that are set, in the order of the schema.
func (e *Effective) Fields() ([]Field, error) { return e.fields(nil, e.Policy.ProtoReflect(), "") }

func (e *Effective) fields(list []Field, m protoreflect.Message, path string) ([]Field, error) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !m.Has(field) {
			continue
		}
		at := joinPath(path, string(field.Name()))
		if isGroup(field) {
			var err error
			if list, err = e.fields(list, m.Get(field).Message(), at); err != nil {
				return nil, err
			}
			continue
		}
		value := (&File{}).node(m, field, "")
		value.Style = yaml.FlowStyle
		text, err := yaml.Marshal(value)
		if err != nil {
			return nil, err
		}
		list = append(list, Field{Path: at, Value: strings.TrimSpace(string(text)), Origin: e.originOf(at)})
	}
	return list, nil
}

// originOf tells where the field at path is from, itself or with what it is in.
func (e *Effective) originOf(path string) string {
	for {
		if origin, ok := e.Origin[path]; ok || path == "" {
			return origin
		}
		path = parentPath(path)
	}
}

func (f *File) mapping(m protoreflect.Message, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !m.Has(field) {
			continue
		}
		key := &yaml.Node{Kind: yaml.ScalarNode, Value: string(field.Name())}
		n.Content = append(n.Content, key, f.node(m, field, joinPath(path, string(field.Name()))))
	}
	if len(n.Content) == 0 {
		n.Style = yaml.FlowStyle
	}
	return n
}

func (f *File) node(m protoreflect.Message, field protoreflect.FieldDescriptor, path string) *yaml.Node {
	value := m.Get(field)
	if field.IsMap() {
		return f.entries(value.Map(), field, path)
	}
	secret := isSecret(field)
	if !field.IsList() {
		return f.single(value, field, path, secret)
	}
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range value.List().Len() {
		n.Content = append(n.Content, f.single(value.List().Get(i), field, fmt.Sprintf("%s[%d]", path, i), secret))
	}
	return n
}

// entries are those of a map, sorted.
func (f *File) entries(m protoreflect.Map, field protoreflect.FieldDescriptor, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	values := map[string]protoreflect.Value{}
	m.Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
		values[key.String()] = v
		return true
	})
	for _, key := range slices.Sorted(maps.Keys(values)) {
		name := new(yaml.Node)
		name.SetString(key)
		n.Content = append(n.Content, name, f.single(values[key], field.MapValue(), entryPath(path, key), isSecret(field)))
	}
	return n
}

func (f *File) single(v protoreflect.Value, field protoreflect.FieldDescriptor, path string, secret bool) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode}
	switch field.Kind() {
	case protoreflect.MessageKind:
		d, ok := v.Message().Interface().(*durationpb.Duration)
		if !ok {
			return f.mapping(v.Message(), path)
		}
		n.Value = formatDuration(d)
	case protoreflect.EnumKind:
		n.Value = enumName(field.Enum().Values().ByNumber(v.Enum()))
		if strings.Contains(n.Value, ".") {
			n.Style = yaml.DoubleQuotedStyle // no number
		}
	case protoreflect.Int64Kind:
		n.Value = formatSize(v.Int())
	case protoreflect.DoubleKind:
		n.Value = strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case protoreflect.Uint32Kind:
		n.Value = strconv.FormatUint(v.Uint(), 10)
	case protoreflect.StringKind:
		n.SetString(f.text(v.String(), path, secret))
	default:
		n.Value = v.String()
	}
	return n
}
