package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/nearest"
)

// What a document may make of us by aliases: each use of an alias counts anew,
// and what comes of it is in proportion to what is written.
const (
	aliasFactor = 10
	aliasFloor  = 1000
	maxDepth    = 64
)

// decoder writes YAML nodes into a message, remembers where each field was, and
// gathers what is wrong.
type decoder struct {
	name      string
	errors    Errors
	positions map[string]Position
	written   map[string]string
	files     []string // that were put in the place of ${file:PATH}, or should have been
	budget    int      // of nodes still to be entered
	verbatim  bool     // ${...} stands for nothing but itself
	empty     string   // what is wrong with an empty document
}

func (d *decoder) report(p Position, path, format string, args ...any) {
	d.errors = append(d.errors, &Error{Position: p, Path: path, Text: fmt.Sprintf(format, args...)})
}

func (d *decoder) fail(n *yaml.Node, path, format string, args ...any) {
	d.report(d.position(n), path, format, args...)
}

func (d *decoder) position(n *yaml.Node) Position {
	return Position{File: d.name, Line: n.Line, Column: n.Column}
}

// enter follows an alias and counts the node; nil if there have been too many,
// of which only the first is reported.
func (d *decoder) enter(n *yaml.Node, depth int) *yaml.Node {
	switch {
	case d.budget < 0:
		return nil
	case d.budget == 0, depth > maxDepth:
		d.fail(n, "", "too much of it: aliases make more than %d times of what is written, or it nests deeper than %d levels", aliasFactor, maxDepth)
		d.budget = -1
		return nil
	}
	d.budget--
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// message writes a mapping into m, which is at path.
func (d *decoder) message(n *yaml.Node, m protoreflect.Message, path string, depth int) {
	d.positions[path] = d.position(n)
	at := n
	if n = d.enter(n, depth); n == nil {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fail(at, path, "expected a mapping with %s, got %s", fieldList(m.Descriptor()), shown(n))
		return
	}
	seen := map[protoreflect.Name]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if field := d.field(key, m.Descriptor(), seen, path); field != nil {
			d.value(value, m, field, joinPath(path, string(field.Name())), depth+1)
		}
	}
}

// field finds the field that a key names; nil if none, or none that may be set.
func (d *decoder) field(key *yaml.Node, md protoreflect.MessageDescriptor, seen map[protoreflect.Name]*yaml.Node, path string) protoreflect.FieldDescriptor {
	switch {
	case key.Tag == "!!merge":
		d.fail(key, path, "merge keys (<<) are not taken; use an alias for the whole value")
		return nil
	case key.Kind != yaml.ScalarNode:
		d.fail(key, path, "a key must be the name of a field: %s", fieldList(md))
		return nil
	}
	fields := md.Fields()
	field := fields.ByName(protoreflect.Name(key.Value))
	if field == nil {
		field = fields.ByJSONName(key.Value)
	}
	if field == nil {
		d.fail(key, joinPath(path, key.Value), "unknown field%s", whichField(key.Value, md))
		return nil
	}
	if before := seen[field.Name()]; before != nil {
		d.fail(key, joinPath(path, string(field.Name())), "already set on line %d", before.Line)
		return nil
	}
	seen[field.Name()] = key
	return d.only(key, field, seen, path)
}

// only refuses a second member of a oneof.
func (d *decoder) only(key *yaml.Node, field protoreflect.FieldDescriptor, seen map[protoreflect.Name]*yaml.Node, path string) protoreflect.FieldDescriptor {
	oneof := field.ContainingOneof()
	if oneof == nil || oneof.IsSynthetic() {
		return field
	}
	for i := range oneof.Fields().Len() {
		other := oneof.Fields().Get(i)
		if before := seen[other.Name()]; before != nil && other != field {
			d.fail(key, joinPath(path, string(field.Name())), "%s is set already on line %d; give one of %s", other.Name(), before.Line, names(oneof.Fields()))
			return nil
		}
	}
	return field
}

// value writes a field of m.
func (d *decoder) value(n *yaml.Node, m protoreflect.Message, field protoreflect.FieldDescriptor, path string, depth int) {
	d.positions[path] = d.position(n)
	if isNull(n) || n.Kind == yaml.AliasNode && isNull(n.Alias) {
		d.fail(n, path, "has no value; give one, or leave the field out")
		return
	}
	switch {
	case field.IsMap():
		d.entries(n, m.Mutable(field).Map(), field, path, depth)
	case field.IsList():
		d.list(n, m.Mutable(field).List(), field, path, depth)
		if field.FullName() == httpName && isEmptyList(n) {
			m.Set(field.ContainingMessage().Fields().ByName("grpc_only"), protoreflect.ValueOfBool(true))
		}
	case field.Message() != nil && field.Message().FullName() != durationName:
		d.message(n, m.Mutable(field).Message(), path, depth)
	default:
		if v, ok := d.scalar(n, field, path, depth); ok {
			m.Set(field, v)
		}
	}
}

func (d *decoder) list(n *yaml.Node, list protoreflect.List, field protoreflect.FieldDescriptor, path string, depth int) {
	at := n
	if n = d.enter(n, depth); n == nil {
		return
	}
	if n.Kind == yaml.MappingNode && field.Message() != nil && field.Parent().FullName() == policyName {
		d.message(at, list.AppendMutable().Message(), path+"[0]", depth+1) // most have one limit
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.fail(at, path, "expected a list, got %s; begin each item with \"- \"", shown(n))
		return
	}
	if len(n.Content) == 0 && field.Parent().FullName() == policyName {
		d.fail(at, path, "an empty list changes nothing; leave it out, or give [{unlimited: true}] to lift what the contract says")
		return
	}
	for i, item := range n.Content {
		itemPath := fmt.Sprintf("%s[%d]", path, i)
		if field.Message() != nil {
			d.message(item, list.AppendMutable().Message(), itemPath, depth+1)
			continue
		}
		d.positions[itemPath] = d.position(item)
		if v, ok := d.scalar(item, field, itemPath, depth+1); ok {
			list.Append(v)
		}
	}
}

// httpName is the list that says something by being empty: that there are no HTTP
// bindings.
const httpName protoreflect.FullName = "gatehouse.config.v1.Exposure.http"

func isEmptyList(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n.Kind == yaml.SequenceNode && len(n.Content) == 0
}

// policyName is the message whose lists may be written without dashes if they
// have one item.
const policyName protoreflect.FullName = "gatehouse.policy.v1.Policy"

// entries reads a map from string to string.
func (d *decoder) entries(n *yaml.Node, m protoreflect.Map, field protoreflect.FieldDescriptor, path string, depth int) {
	at := n
	if n = d.enter(n, depth); n == nil {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fail(at, path, "expected a mapping of names to values, got %s", shown(n))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := entryPath(path, key.Value)
		d.positions[at] = d.position(key)
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			d.fail(key, path, "a name must be a string")
			continue
		}
		name := protoreflect.ValueOfString(key.Value).MapKey()
		if m.Has(name) {
			d.fail(key, at, "already set")
			continue
		}
		if v, ok := d.scalar(value, field.MapValue(), at, depth+1); ok {
			m.Set(name, v)
		}
	}
}

// scalar reads one value. What fails is reported at the place where it is
// used.
func (d *decoder) scalar(n *yaml.Node, field protoreflect.FieldDescriptor, path string, depth int) (protoreflect.Value, bool) {
	at := n
	if n = d.enter(n, depth); n == nil {
		return protoreflect.Value{}, false
	}
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.fail(at, path, "expected %s, got %s", expected(field), shown(n))
		return protoreflect.Value{}, false
	}
	if !plainTag(n) {
		d.fail(at, path, "the tag %s is not taken; leave it out", n.Tag)
		return protoreflect.Value{}, false
	}
	if field.Kind() == protoreflect.StringKind && d.verbatim {
		return protoreflect.ValueOfString(n.Value), true
	}
	if field.Kind() == protoreflect.StringKind {
		text, err := substitute(n.Value, filepath.Dir(d.name), func(path string) { d.files = append(d.files, path) })
		if err != nil {
			d.fail(at, path, "%v", err)
			return protoreflect.Value{}, false
		}
		if text != n.Value {
			d.written[path] = n.Value
		}
		return protoreflect.ValueOfString(text), true
	}
	if v, ok := parseScalar(n, field); ok {
		return v, true
	}
	d.fail(at, path, "expected %s, got %s%s", expected(field), shown(n), mistake(n, field))
	return protoreflect.Value{}, false
}

// mistake ends an error about a value with what was likely meant, if that shows.
func mistake(n *yaml.Node, field protoreflect.FieldDescriptor) string {
	_, number := wholeNumber(n.Value)
	switch {
	case strings.Contains(n.Value, "${"):
		return "; only string values take ${...}"
	case field.Kind() == protoreflect.BoolKind && (n.Value == "true" || n.Value == "false"):
		return "; leave out the quotes"
	case field.Message() != nil && number:
		return "; it lacks a unit"
	default:
		return ""
	}
}

// plainTag tells the tags that plain and quoted values have of themselves.
func plainTag(n *yaml.Node) bool {
	return n.Style&yaml.TaggedStyle == 0 && slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool", "!!timestamp"}, n.Tag)
}

// whichField ends an error about an unknown field of a message.
func whichField(name string, md protoreflect.MessageDescriptor) string {
	if hint := nearest.DidYouMean(name, fieldNames(md.Fields())); hint != "" {
		return hint
	}
	return "; known are " + fieldList(md)
}

func fieldList(md protoreflect.MessageDescriptor) string { return names(md.Fields()) }

// fields is a list of fields, of a message or of a oneof.
type fields interface {
	Len() int
	Get(int) protoreflect.FieldDescriptor
}

func fieldNames(list fields) []string {
	all := make([]string, list.Len())
	for i := range all {
		all[i] = string(list.Get(i).Name())
	}
	return all
}

func names(list fields) string { return strings.Join(fieldNames(list), ", ") }
