package aggregate

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/expr"
	"github.com/gatehouse-dev/gatehouse/internal/nearest"
	"github.com/gatehouse-dev/gatehouse/internal/view"
)

// Error is a mistake in a composition.
type Error struct {
	Field string // below the composition, as in `steps[1].request["name"]`
	text  string
}

// Error tells the step, and what would be right.
func (e *Error) Error() string { return e.text }

// Contracts is what compositions are compiled against.
type Contracts struct {
	// Find finds an RPC by its full name, as in
	// "shop.catalog.v1.CatalogService.GetProduct". Its error says what would be right.
	Find func(rpc protoreflect.FullName) (*call.Method, error)
	// JSON makes wire bytes of a message in JSON.
	JSON func(desc protoreflect.MessageDescriptor, text []byte) ([]byte, error)
}

// Compile makes the connection ready for calls of rpc. The composition has its
// defaults filled in. The error joins an [Error] for each mistake.
func (c *Conn) Compile(from *composev1.Composition, rpc protoreflect.MethodDescriptor, contracts Contracts) error {
	k := &compiler{plan: &plan{rpc: rpc, request: rpc.Input()}, contracts: contracts, byName: map[string]*step{}}
	if rpc.IsStreamingClient() || rpc.IsStreamingServer() {
		return &Error{"", fmt.Sprintf("%s streams: only an RPC with one request and one answer can be composed", rpc.FullName())}
	}
	for i, s := range from.GetSteps() {
		k.declare(i, s)
	}
	if len(k.errs) == 0 {
		for i, s := range from.GetSteps() {
			k.at = fmt.Sprintf("steps[%d]", i)
			k.step(k.plan.steps[i], s)
		}
		k.missing(from.GetMissing())
	}
	if len(k.errs) == 0 {
		k.order()
	}
	if err := errors.Join(k.errs...); err != nil {
		return err
	}
	c.plan = k.plan
	return nil
}

// compiler is used once.
type compiler struct {
	plan   *plan
	byName map[string]*step
	values *expr.Values // made when an expression comes
	errs   []error

	contracts Contracts

	at      string // the step at hand, as a field
	current *step
}

// failf notes a mistake in a field of the step at hand.
func (k *compiler) failf(field, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if k.current != nil {
		text = fmt.Sprintf("step %q: %s", k.current.name, text)
	}
	k.errs = append(k.errs, &Error{k.at + field, text})
}

// declare finds what a step calls, so that others can name its answer.
func (k *compiler) declare(i int, s *composev1.Step) {
	st := &step{
		name: s.GetName(), index: i, failure: s.GetOnFailure(), timeout: s.GetTimeout().AsDuration(), plural: s.GetForEach() != "",
		parallel: int(s.GetParallel()), most: int(s.GetMaxItems()),
	}
	k.plan.steps = append(k.plan.steps, st)
	k.at, k.current = fmt.Sprintf("steps[%d]", i), st
	defer func() { k.current = nil }()
	if other := k.byName[st.name]; other != nil {
		k.failf(".name", "taken by steps[%d]; give each step a name of its own", other.index)
	}
	k.byName[st.name] = st
	m, err := k.contracts.Find(protoreflect.FullName(s.GetCall()))
	switch {
	case err != nil:
		k.failf(".call", "%v", err)
		return
	case !m.Unary():
		k.failf(".call", "%s streams: a step calls an RPC with one request and one answer", s.GetCall())
		return
	}
	st.method = m
	st.whole = messageShape(m.Desc.Output())
	if s.GetBatch() != nil {
		k.declareBatch(st, s.GetBatch())
	}
}

// declareBatch finds the two lists of a batch RPC.
func (k *compiler) declareBatch(st *step, b *composev1.Batch) {
	items, err := listOf(st.method.Desc.Input(), b.GetItems())
	if err != nil {
		k.failf(".batch.items", "%v", err)
		return
	}
	answers, err := listOf(st.method.Desc.Output(), b.GetAnswers())
	if err != nil {
		k.failf(".batch.answers", "%v", err)
		return
	}
	st.batch = &batch{items: newWireField(items), answers: newWireField(answers), most: int(b.GetMaxSize())}
	st.whole = shapeOf(answers).element()
}

func listOf(desc protoreflect.MessageDescriptor, name string) (protoreflect.FieldDescriptor, error) {
	fd, err := fieldOf(desc, name)
	if err == nil && !fd.IsList() {
		err = fmt.Errorf("%s is %v; want a repeated field", fd.FullName(), shapeOf(fd))
	}
	return fd, err
}

// step compiles what a step is made from, and where it lands.
func (k *compiler) step(st *step, s *composev1.Step) {
	k.current = st
	defer func() { k.current = nil }()
	st.scanned = st.batch != nil
	if s.GetForEach() != "" {
		k.forEach(st, s.GetForEach())
	} else if s.GetBatch() != nil {
		k.failf(".batch", "there are no items; say with for_each where they are from")
	}
	request := maps.Clone(s.GetRequest())
	if st.batch != nil && request[s.GetBatch().GetItems()] == "" {
		if request == nil {
			request = map[string]string{}
		}
		request[s.GetBatch().GetItems()] = "item"
	}
	for _, key := range slices.Sorted(maps.Keys(request)) {
		k.field(st, key, request[key])
	}
	k.lands(st, s)
}

// forEach compiles where the items are from.
func (k *compiler) forEach(st *step, text string) {
	src := &source{}
	if begin, names, ok := splitPath(text); ok {
		of, err := k.begin(src, begin, st, false)
		if err == nil {
			src.path, err = fieldPath(of, begin, names)
		}
		switch {
		case err != nil:
			k.failf(".for_each", "%q: %v", text, err)
			return
		case !src.path.of.list || strings.HasPrefix(src.path.of.name, "map<"):
			k.failf(".for_each", "%q is %v; want a repeated field", text, src.path.of)
			return
		}
		st.each, st.item = src, src.path.of.element()
		return
	}
	values, err := k.names()
	if err != nil {
		k.failf(".for_each", "%v", err)
		return
	}
	v, of, err := values.List(text)
	if err != nil {
		k.failf(".for_each", "%v", err)
		return
	}
	src.value = v
	st.each, st.item = src, shape{kind: of.Kind, name: string(of.Message)}
	if of.Message != "" {
		if st.item.message, err = k.message(of.Message); err != nil {
			k.failf(".for_each", "%v", err)
		}
	}
	k.used(st, src)
}

// begin finds what the beginning of a path stands for.
func (k *compiler) begin(src *source, begin string, st *step, item bool) (shape, error) {
	switch {
	case begin == "request":
		src.root = root{kind: fromRequest}
		return messageShape(k.plan.request), nil
	case begin == "item" && item && st.each != nil:
		src.root = root{kind: fromItem}
		return st.item, nil
	case begin == "item" && st.each != nil:
		return shape{}, errors.New("an item is there only where a field is made of each")
	case begin == "item":
		return shape{}, errors.New("there is no item without for_each")
	}
	name := strings.TrimPrefix(begin, "steps.")
	other := k.byName[name]
	if other == nil {
		return shape{}, fmt.Errorf("there is no step %q%s", name, nearest.DidYouMean(name, slices.Sorted(maps.Keys(k.byName))))
	}
	src.root = root{kind: fromStep, step: other.index}
	k.look(st, other)
	return k.answerOf(other), nil
}

// answerOf is what others see of a step: its answer, or all of them.
func (k *compiler) answerOf(other *step) shape {
	of := other.whole
	of.list = other.plural
	return of
}

// look notes that a step looks at the answer of another.
func (k *compiler) look(st, other *step) {
	other.scanned = true
	if !slices.Contains(st.needs, other.index) {
		st.needs = append(st.needs, other.index)
	}
}

// missing finds the field that tells what is missing.
func (k *compiler) missing(name string) {
	if name == "" {
		return
	}
	k.at = ""
	fd, err := fieldOf(k.plan.rpc.Output(), name)
	want := (&composev1.Missing{}).ProtoReflect().Descriptor().FullName()
	switch {
	case err != nil:
		k.failf("missing", "%v", err)
	case !fd.IsList() || fd.Message() == nil || fd.Message().FullName() != want:
		k.failf("missing", "%s is %v; want repeated %s", fd.FullName(), shapeOf(fd), want)
	default:
		f := newWireField(fd)
		k.plan.missing = &f
	}
}

// order links the steps, and refuses those that wait for each other.
func (k *compiler) order() {
	for _, s := range k.plan.steps {
		slices.Sort(s.needs)
		for _, n := range s.needs {
			k.plan.steps[n].serves = append(k.plan.steps[n].serves, s.index)
		}
		if s.into != nil {
			k.plan.joined = append(k.plan.joined, s)
		}
		for _, other := range k.plan.steps {
			s.shared = s.shared || other != s && other.method == s.method
		}
	}
	k.types()
	slices.SortFunc(k.plan.joined, func(a, b *step) int { return cmp.Compare(a.into.num, b.into.num) })
	k.cycles()
}

// cycles finds steps that wait for each other, by going back from each.
func (k *compiler) cycles() {
	done := make([]bool, len(k.plan.steps))
	var way []int
	var visit func(int) bool
	visit = func(i int) bool {
		if begin := slices.Index(way, i); begin >= 0 {
			var names []string
			for _, n := range append(way[begin:], i) {
				names = append(names, k.plan.steps[n].name)
			}
			k.at, k.current = fmt.Sprintf("steps[%d]", i), k.plan.steps[i]
			k.failf("", "the steps wait for each other: %s", strings.Join(names, " -> "))
			return false
		}
		if done[i] {
			return true
		}
		way = append(way, i)
		for _, n := range k.plan.steps[i].needs {
			if !visit(n) {
				return false
			}
		}
		way = way[:len(way)-1]
		done[i] = true
		return true
	}
	for i := range k.plan.steps {
		if !visit(i) {
			return
		}
	}
}

// types finds the messages as expressions know them: an upstream may have one of
// the same name from a contract of its own.
func (k *compiler) types() {
	if k.values == nil {
		return
	}
	known := func(at string, of shape) *view.Type {
		if of.message == nil {
			return nil
		}
		t, err := k.values.Message(of.message.FullName())
		if err != nil {
			k.at = at
			k.failf("", "%s is in a file of a name that another contract has, too: expressions cannot be used here", of)
		}
		return t
	}
	k.plan.requestType = known("", messageShape(k.plan.request))
	for i, s := range k.plan.steps {
		at := fmt.Sprintf("steps[%d]", i)
		s.itemType, s.wholeType = known(at, s.item), known(at, s.whole)
	}
}
