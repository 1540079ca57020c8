package aggregate

import (
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/nearest"
)

// shape is the type of a value: what two fields must have in common for one to
// be copied into the other.
type shape struct {
	list bool
	kind protoreflect.Kind
	name string // of a message, an enum, or "map<K, V>"

	message protoreflect.MessageDescriptor // nil for what is none
}

func (s shape) same(o shape) bool { return s.list == o.list && s.kind == o.kind && s.name == o.name }

func (s shape) element() shape {
	s.list = false
	return s
}

// String is the type as a contract has it.
func (s shape) String() string {
	name := s.name
	if name == "" {
		name = s.kind.String()
	}
	if s.list && !strings.HasPrefix(name, "map<") {
		return "repeated " + name
	}
	return name
}

func shapeOf(fd protoreflect.FieldDescriptor) shape {
	s := shape{list: fd.Cardinality() == protoreflect.Repeated, kind: fd.Kind(), message: fd.Message()}
	switch {
	case fd.IsMap():
		s.name = fmt.Sprintf("map<%v, %v>", shapeOf(fd.MapKey()), shapeOf(fd.MapValue()))
	case fd.Message() != nil:
		s.name = string(fd.Message().FullName())
	case fd.Enum() != nil:
		s.name = string(fd.Enum().FullName())
	}
	return s
}

func messageShape(desc protoreflect.MessageDescriptor) shape {
	return shape{kind: protoreflect.MessageKind, name: string(desc.FullName()), message: desc}
}

// path leads from a message to a field of it, through messages. Without fields
// it is the message itself.
type path struct {
	hops []wireField
	leaf *wireField // nil: what the hops lead to
	of   shape
}

// fieldPath resolves names in what begin, as the path has it, stands for.
func fieldPath(from shape, begin string, names []string) (path, error) {
	p := path{of: from}
	for i, name := range names {
		at := strings.TrimPrefix(strings.Join(append([]string{begin}, names[:i]...), "."), ".")
		switch {
		case p.of.list && strings.HasPrefix(p.of.name, "map<"):
			return p, fmt.Errorf("%q is a map, into which no path leads; use an expression such as %s['KEY']", at, at)
		case p.of.list:
			return p, fmt.Errorf("%q is repeated, and a path leads to one value; use for_each, or an expression such as %s.map(x, x.%s)", at, at, name)
		case p.of.message == nil:
			return p, fmt.Errorf("%q is %v, which has no fields", at, p.of)
		}
		fd, err := fieldOf(p.of.message, name)
		if err != nil {
			return p, err
		}
		if p.leaf != nil {
			p.hops = append(p.hops, *p.leaf)
		}
		leaf := newWireField(fd)
		p.leaf, p.of = &leaf, shapeOf(fd)
	}
	return p, nil
}

// fieldOf finds a field by its name.
func fieldOf(desc protoreflect.MessageDescriptor, name string) (protoreflect.FieldDescriptor, error) {
	fd := desc.Fields().ByName(protoreflect.Name(name))
	if fd == nil {
		known := make([]string, desc.Fields().Len())
		for i := range known {
			known[i] = string(desc.Fields().Get(i).Name())
		}
		hint := nearest.DidYouMean(name, known)
		if hint == "" && len(known) > 0 {
			hint = "; it has " + strings.Join(known, ", ")
		}
		return nil, fmt.Errorf("%s has no field %q%s", desc.FullName(), name, hint)
	}
	if fd.Kind() == protoreflect.GroupKind {
		return nil, fmt.Errorf("%s is a group, or delimited, which compositions do not know", fd.FullName())
	}
	return fd, nil
}

// value is what a path has found: one value, nil for none, or all of a list.
type value struct {
	one  []byte
	many [][]byte
}

// in follows the path in a message.
func (p *path) in(msg []byte) (value, error) {
	for i := range p.hops {
		inner, err := p.hops[i].one(msg)
		if err != nil {
			return value{}, err
		}
		msg = inner // nil, of which all fields are unset
	}
	switch {
	case p.leaf == nil:
		return value{one: msg}, nil
	case p.leaf.list:
		many, err := p.leaf.all(msg)
		return value{many: many}, err
	default:
		one, err := p.leaf.one(msg)
		if one == nil && err == nil {
			one = p.leaf.plain
		}
		return value{one: one}, err
	}
}

// root is where a path begins.
type root struct {
	kind rootKind
	step int // of fromStep
}

type rootKind uint8

const (
	fromRequest rootKind = iota
	fromStep
	fromItem
)

// asPath is the form of a path. All others are expressions.
var asPath = regexp.MustCompile(`^(request|item|steps\.[a-z][a-z0-9_]*)((?:\.[A-Za-z_][A-Za-z0-9_]*)*)$`)

// splitPath takes a path apart; ok is false for an expression.
func splitPath(text string) (begin string, names []string, ok bool) {
	m := asPath.FindStringSubmatch(text)
	if m == nil {
		return "", nil, false
	}
	if m[2] != "" {
		names = strings.Split(m[2][1:], ".")
	}
	return m[1], names, true
}
