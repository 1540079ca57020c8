package expr

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/gatehouse-dev/gatehouse/internal/view"
)

// Variable is a name that expressions for values may use, and the type of what
// it stands for: that of a message, or of a field's value.
type Variable struct {
	Name    string
	Message protoreflect.FullName // "" for a scalar
	Kind    protoreflect.Kind     // of a scalar
	List    bool                  // there are several
}

func (v Variable) cel() (*cel.Type, error) {
	t := cel.ObjectType(string(v.Message))
	if v.Message == "" {
		var err error
		if t, err = scalarType(v.Kind); err != nil {
			return nil, err
		}
	}
	if v.List {
		t = cel.ListType(t)
	}
	return t, nil
}

// Values compiles expressions that make values of other values, as compositions
// have them. It is safe for concurrent use.
type Values struct {
	cel   *cel.Env
	files *protoregistry.Files
	types *view.Types
}

// NewValues returns the names for such expressions. files has all types.
func NewValues(files *protoregistry.Files, names []Variable) (*Values, error) {
	opts := []cel.EnvOption{cel.TypeDescs(files), withViews(files), ext.Strings(), ext.Sets(), ext.Lists()}
	for _, v := range names {
		t, err := v.cel()
		if err != nil {
			return nil, err
		}
		opts = append(opts, cel.Variable(v.Name, t))
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("cel: %w", err)
	}
	return &Values{cel: env, files: files, types: new(view.Types)}, nil
}

// With adds names.
func (v *Values) With(name Variable) (*Values, error) {
	t, err := name.cel()
	if err != nil {
		return nil, err
	}
	env, err := v.cel.Extend(cel.Variable(name.Name, t))
	if err != nil {
		return nil, fmt.Errorf("cel: %w", err)
	}
	return &Values{cel: env, files: v.files, types: v.types}, nil
}

// Value is a compiled expression that makes a value. It is immutable and safe
// for concurrent use.
type Value struct {
	program cel.Program
	loops   bool
	names   map[string]bool
	element bool // of a repeated field
}

// Uses reports whether the expression looks at the variable.
func (v *Value) Uses(name string) bool { return v.names[name] }

// Field compiles an expression whose value a field can take, or, with element,
// one that an element of a repeated field can.
func (v *Values) Field(text string, field protoreflect.FieldDescriptor, element bool) (*Value, error) {
	want, err := fieldType(field, element)
	if err != nil {
		return nil, err
	}
	program, checked, err := v.compile(text)
	if err != nil {
		return nil, err
	}
	if got := checked.OutputType(); !want.IsAssignableType(got) || got.Kind() == cel.DynKind && want.Kind() != cel.DynKind {
		return nil, fmt.Errorf("%q gives %s; want %s", text, cel.FormatCELType(got), cel.FormatCELType(want))
	}
	return &Value{program: program, loops: loops(checked.NativeRep()), names: namesIn(checked.NativeRep()), element: element}, nil
}

// List compiles an expression that gives a list, and tells of what.
func (v *Values) List(text string) (*Value, Variable, error) {
	program, checked, err := v.compile(text)
	if err != nil {
		return nil, Variable{}, err
	}
	of := Variable{}
	if t := checked.OutputType(); t.Kind() == cel.ListKind {
		of = variableOf(t.Parameters()[0])
	}
	if of.Kind == 0 {
		return nil, of, fmt.Errorf("%q gives %s; want a list of messages or of plain values", text, cel.FormatCELType(checked.OutputType()))
	}
	return &Value{program: program, loops: loops(checked.NativeRep()), names: namesIn(checked.NativeRep())}, of, nil
}

// variableOf is the type of a list's elements; Kind is 0 if it is none that a
// field could have.
func variableOf(t *cel.Type) Variable {
	switch t.Kind() {
	case cel.StringKind:
		return Variable{Kind: protoreflect.StringKind}
	case cel.BytesKind:
		return Variable{Kind: protoreflect.BytesKind}
	case cel.IntKind:
		return Variable{Kind: protoreflect.Int64Kind}
	case cel.UintKind:
		return Variable{Kind: protoreflect.Uint64Kind}
	case cel.DoubleKind:
		return Variable{Kind: protoreflect.DoubleKind}
	case cel.BoolKind:
		return Variable{Kind: protoreflect.BoolKind}
	case cel.StructKind:
		return Variable{Kind: protoreflect.MessageKind, Message: protoreflect.FullName(t.TypeName())}
	default:
		return Variable{}
	}
}

func (v *Values) compile(text string) (cel.Program, *cel.Ast, error) {
	checked, issues := v.cel.Compile(text)
	if issues.Err() != nil {
		var errs []error
		for _, problem := range issues.Errors() {
			errs = append(errs, fmt.Errorf("%q, column %d: %s", text, problem.Location.Column()+1, problem.Message))
		}
		return nil, nil, errors.Join(errs...)
	}
	program, err := v.cel.Program(checked, limits()...)
	if err != nil {
		return nil, nil, fmt.Errorf("%q: %w", text, err)
	}
	return program, checked, nil
}

// Lookup gives the value of a variable: a *view.Message, int64, uint64, float64,
// bool, string, []byte, or []any of these.
type Lookup func(name string) (any, error)

// lookups are variables as CEL asks for them.
type lookups struct {
	look Lookup
	seen []any // what was looked up
	err  error
}

var _ cel.Activation = (*lookups)(nil)

func (l *lookups) Parent() cel.Activation { return nil }

func (l *lookups) ResolveName(name string) (any, bool) {
	v, err := l.look(name)
	if err != nil {
		l.err = errors.Join(l.err, err)
	}
	l.seen = append(l.seen, v)
	return v, err == nil && v != nil
}

func (v *Value) eval(ctx context.Context, look Lookup) (ref.Val, error) {
	vars := &lookups{look: look}
	out, err := run(ctx, v.program, v.loops, vars)
	if vars.err != nil {
		return nil, vars.err
	}
	if failed := viewErr(vars.seen); failed != nil {
		return nil, failed
	}
	return out, err
}

// Set gives the field of m the value of the expression.
func (v *Value) Set(ctx context.Context, m protoreflect.Message, field protoreflect.FieldDescriptor, look Lookup) error {
	out, err := v.eval(ctx, look)
	if err != nil {
		return err
	}
	switch {
	case v.element:
		return appendTo(m.Mutable(field).List(), field, out)
	case field.IsMap():
		return setMap(m, field, out)
	case field.IsList():
		list, ok := out.(traits.Lister)
		if !ok {
			return wrongValue(out, "a list")
		}
		for it := list.Iterator(); it.HasNext() == types.True; {
			if err := appendTo(m.Mutable(field).List(), field, it.Next()); err != nil {
				return err
			}
		}
		return nil
	default:
		value, err := valueOf(out, field)
		if err == nil && value.IsValid() {
			m.Set(field, value)
		}
		return err
	}
}

func appendTo(list protoreflect.List, field protoreflect.FieldDescriptor, v ref.Val) error {
	value, err := valueOf(v, field)
	if err != nil {
		return err
	}
	if !value.IsValid() {
		value = list.NewElement()
	}
	list.Append(value)
	return nil
}

func setMap(m protoreflect.Message, field protoreflect.FieldDescriptor, v ref.Val) error {
	from, ok := v.(traits.Mapper)
	if !ok {
		return wrongValue(v, "a map")
	}
	for it := from.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		k, err := valueOf(key, field.MapKey())
		if err != nil {
			return err
		}
		value, err := valueOf(from.Get(key), field.MapValue())
		if err != nil {
			return err
		}
		if !value.IsValid() {
			value = m.Mutable(field).Map().NewValue()
		}
		m.Mutable(field).Map().Set(k.MapKey(), value)
	}
	return nil
}

// Each gives the elements of a list, in the forms of Lookup, and how many they are.
// It gives none if they are more than most.
func (v *Value) Each(ctx context.Context, look Lookup, most int) (all []any, n int, _ error) {
	out, err := v.eval(ctx, look)
	if err != nil {
		return nil, 0, err
	}
	list, ok := out.(traits.Lister)
	if !ok {
		return nil, 0, wrongValue(out, "a list")
	}
	if size, ok := list.Size().(types.Int); ok && int(size) > most {
		return nil, int(size), nil
	}
	for it := list.Iterator(); it.HasNext() == types.True; {
		one := it.Next().Value()
		switch one.(type) {
		case proto.Message, int64, uint64, float64, bool, string, []byte:
			all = append(all, one)
		default:
			return nil, 0, fmt.Errorf("gave %T in the list; want a message or a plain value", one)
		}
	}
	return all, len(all), nil
}

func wrongValue(v ref.Val, want string) error {
	return fmt.Errorf("gave %s, want %s", strings.TrimPrefix(v.Type().TypeName(), "google.protobuf."), want)
}

// Message is a type as the expressions know it.
func (v *Values) Message(name protoreflect.FullName) (*view.Type, error) {
	d, err := v.files.FindDescriptorByName(name)
	if err != nil {
		return nil, err
	}
	m, ok := d.(protoreflect.MessageDescriptor)
	if !ok {
		return nil, fmt.Errorf("%s is not a message", name)
	}
	return v.types.Of(m), nil
}
