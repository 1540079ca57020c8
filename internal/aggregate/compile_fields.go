package aggregate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	"github.com/gatehouse-dev/gatehouse/internal/expr"
)

// field compiles one field of a step's request.
func (k *compiler) field(st *step, key, text string) {
	at := fmt.Sprintf(".request[%q]", key)
	n, err := k.place(st, key)
	if err != nil {
		k.failf(at, "%v", err)
		return
	}
	n.element = st.batch != nil && key == string(n.desc.Name()) && n.field.num == st.batch.items.num
	if n.element {
		st.perItem = n
	}
	n.from = &source{}
	begin, names, isPath := splitPath(text)
	if !isPath {
		k.expression(st, n, at, text)
		return
	}
	of, err := k.begin(n.from, begin, st, n.element || st.batch == nil)
	if err == nil {
		n.from.path, err = fieldPath(of, begin, names)
	}
	want := shapeOf(n.desc)
	if n.element {
		want = want.element()
	}
	switch got := n.from.path.of; {
	case err != nil:
		k.failf(at, "%q: %v", text, err)
	case !got.same(want):
		k.failf(at, "%q is %v, and %s is %v%s", text, got, n.desc.FullName(), want, advice(got, want, text))
	}
}

// advice tells how a value of another type could be made to fit.
func advice(got, want shape, text string) string {
	switch {
	case got.list && !want.list:
		return "; make a call for each with for_each, or take one with an expression such as " + text + "[0]"
	case !got.list && want.list && got.same(want.element()):
		return "; make a list of it with an expression, [" + text + "]"
	case want.message == nil && want.kind != protoreflect.EnumKind && got.message == nil:
		return fmt.Sprintf("; convert it with an expression, such as %s(%s)", converter(want.kind), text)
	default:
		return "; make one with an expression"
	}
}

// converter is CEL's function that makes a value of a kind.
func converter(kind protoreflect.Kind) string {
	switch kind {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.BoolKind:
		return kind.String()
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "double"
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return "uint"
	default:
		return "int"
	}
}

// expression compiles a field's value as CEL.
func (k *compiler) expression(st *step, n *node, at, text string) {
	values, err := k.names()
	if err == nil && st.each != nil && (n.element || st.batch == nil) {
		values, err = values.With(variable("item", st.item))
	}
	if err == nil {
		n.from.value, err = values.Field(text, n.desc, n.element)
	}
	if err != nil {
		k.failf(at, "%v", err)
		return
	}
	k.used(st, n.from)
}

// used notes which steps an expression looks at.
func (k *compiler) used(st *step, src *source) {
	src.client = src.value.Uses("request") && !src.value.Uses("item")
	for _, other := range k.plan.steps {
		if src.value.Uses("steps." + other.name) {
			k.look(st, other)
			src.client = false
		}
	}
}

func variable(name string, of shape) expr.Variable {
	v := expr.Variable{Name: name, Kind: of.kind, List: of.list}
	if of.message != nil {
		v.Message = of.message.FullName()
	}
	return v
}

// names are what expressions may use, item aside.
func (k *compiler) names() (*expr.Values, error) {
	if k.values != nil {
		return k.values, nil
	}
	files := []protoreflect.FileDescriptor{k.plan.request.ParentFile(), k.plan.rpc.Output().ParentFile()}
	vars := []expr.Variable{{Name: "request", Message: k.plan.request.FullName()}}
	for _, s := range k.plan.steps {
		files = append(files, s.method.Desc.Output().ParentFile(), s.method.Desc.Input().ParentFile())
		vars = append(vars, variable("steps."+s.name, k.answerOf(s)))
	}
	all, err := expr.FilesOf(files...)
	if err != nil {
		return nil, fmt.Errorf("the contracts of the steps do not go together in an expression: %w", err)
	}
	k.values, err = expr.NewValues(all, vars)
	return k.values, err
}

// message finds a type that an expression gives.
func (k *compiler) message(name protoreflect.FullName) (protoreflect.MessageDescriptor, error) {
	t, err := k.values.Message(name)
	if err != nil {
		return nil, fmt.Errorf("the type %s is not known", name)
	}
	return t.Descriptor(), nil
}

// place finds the field of the request that a key names, and makes room for it.
func (k *compiler) place(st *step, key string) (*node, error) {
	desc, list := st.method.Desc.Input(), &st.build
	var n *node
	for name := range strings.SplitSeq(key, ".") {
		if n != nil && (n.field.list || n.desc.Message() == nil) {
			return nil, fmt.Errorf("%q is %v: only fields of single messages can be set one by one", n.desc.FullName(), shapeOf(n.desc))
		}
		fd, err := fieldOf(desc, name)
		if err != nil {
			return nil, err
		}
		if at := slices.IndexFunc(*list, func(o *node) bool { return o.field.num == fd.Number() }); at >= 0 {
			n = (*list)[at]
		} else {
			n = &node{field: newWireField(fd), desc: fd}
			for _, o := range *list {
				if slices.ContainsFunc(o.field.rivals, func(f wireField) bool { return f.num == n.field.num }) {
					return nil, fmt.Errorf("%s and %s are of one oneof; set one of them", o.desc.FullName(), fd.FullName())
				}
			}
			*list = append(*list, n)
			slices.SortFunc(*list, func(a, b *node) int { return cmp.Compare(a.field.num, b.field.num) })
		}
		if n.from != nil {
			return nil, fmt.Errorf("%s is set as a whole, too; set it, or its fields", n.desc.FullName())
		}
		desc, list = fd.Message(), &n.fields
	}
	if len(n.fields) > 0 {
		return nil, fmt.Errorf("fields of %s are set, too; set it, or its fields", n.desc.FullName())
	}
	return n, nil
}

// lands compiles what is taken of the answer, where it goes, and what stands
// there instead.
func (k *compiler) lands(st *step, s *composev1.Step) {
	of := st.whole
	if s.GetTake() != "" {
		p, err := fieldPath(st.whole, "", strings.Split(s.GetTake(), "."))
		switch {
		case err != nil:
			k.failf(".take", "%v", err)
			return
		case s.GetInto() == "":
			k.failf(".take", "it goes nowhere; say with into where")
			return
		case p.of.list && st.each != nil:
			k.failf(".take", "%q is %v, and for_each gives one element for each item", s.GetTake(), p.of)
			return
		}
		st.take, st.scanned, of = &p, true, p.of
	}
	st.out = of
	if s.GetInto() == "" {
		if s.GetOnFailure() == composev1.Step_FAILURE_DEFAULT {
			k.failf(".on_failure", "there is no field to have a default; say with into where the answer lands")
		}
		return
	}
	into, err := fieldOf(k.plan.rpc.Output(), s.GetInto())
	if err != nil {
		k.failf(".into", "%v", err)
		return
	}
	if st.each != nil {
		of.list = true
	}
	if got := shapeOf(into); !got.same(of) {
		k.failf(".into", "%s is %v, and what lands there is %v", into.FullName(), got, of)
		return
	}
	f := newWireField(into)
	for _, other := range k.plan.steps[:st.index] {
		switch {
		case other.into == nil:
		case other.into.num == into.Number():
			k.failf(".into", "step %q lands in %s, too; give each a field of its own", other.name, into.FullName())
			return
		case slices.ContainsFunc(f.rivals, func(r wireField) bool { return r.num == other.into.num }):
			k.failf(".into", "step %q lands in another field of its oneof; give each a field of its own", other.name)
			return
		}
	}
	st.into = &f
	k.instead(st, s, into)
}

// instead compiles the default.
func (k *compiler) instead(st *step, s *composev1.Step, into protoreflect.FieldDescriptor) {
	isDefault := s.GetOnFailure() == composev1.Step_FAILURE_DEFAULT
	switch {
	case s.GetDefault() == "" && isDefault:
		k.failf(".default", "say the value in JSON, as on_failure wants it")
		return
	case s.GetDefault() != "" && !isDefault:
		k.failf(".default", "it is for on_failure: default only")
		return
	case !isDefault:
		return
	}
	text := s.GetDefault()
	if st.each != nil {
		text = "[" + text + "]"
	}
	var err error
	st.instead, err = k.contracts.JSON(k.plan.rpc.Output(), fmt.Appendf(nil, "{%q: %s}", into.JSONName(), text))
	if err == nil && st.each != nil {
		st.elements, err = st.into.all(st.instead)
	}
	if err != nil || st.each != nil && len(st.elements) != 1 {
		k.failf(".default", "%s is not a %v in JSON", s.GetDefault(), st.out)
	}
}
