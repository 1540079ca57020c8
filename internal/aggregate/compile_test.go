package aggregate_test

import (
	"errors"
	"strings"
	"testing"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	"github.com/gatehouse-dev/gatehouse/internal/aggregate"
)

type fields = map[string]string

func one(s *composev1.Step) []*composev1.Step {
	s.Name = "a"
	return []*composev1.Step{s}
}

const (
	defaulted = composev1.Step_FAILURE_DEFAULT
	optional  = composev1.Step_FAILURE_OPTIONAL
)

// TestMistakes: what is wrong is an error when the table is built, which names the
// step and the field, and says what would be right.
func TestMistakes(t *testing.T) {
	t.Parallel()
	batch := func(items, answers string) *composev1.Batch { return &composev1.Batch{Items: items, Answers: answers} }
	for _, test := range []struct {
		name    string
		steps   []*composev1.Step
		missing string
		field   string
		want    string
	}{
		{name: "unknown RPC", steps: one(&composev1.Step{Call: "t.S.Gett"}), field: "steps[0].call", want: `step "a": no such RPC`},
		{name: "name taken", steps: []*composev1.Step{{Name: "a", Call: "t.S.Get"}, {Name: "a", Call: "t.S.Get"}}, field: "steps[1].name", want: "taken by steps[0]"},
		{name: "unknown field of the request", steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"nam": "request.f_STRING"}}), field: `steps[0].request["nam"]`, want: `t.Leaf has no field "nam"; did you mean "name"?`},
		{name: "unknown field of the composed request", steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"name": "request.f_STRIN"}}), field: `steps[0].request["name"]`, want: `"request.f_STRIN": t.All has no field "f_STRIN"; did you mean "f_STRING"?`},
		{name: "other kind", steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"size": "request.f_INT32"}}), field: `steps[0].request["size"]`, want: `"request.f_INT32" is int32, and t.Leaf.size is int64; convert it with an expression, such as int(request.f_INT32)`},
		{name: "other message", steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"inner": "request"}}), field: `steps[0].request["inner"]`, want: `"request" is t.All, and t.Leaf.inner is t.Leaf`},
		{name: "list for one", steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"name": "request.r_STRING"}}), field: `steps[0].request["name"]`, want: "is repeated string, and t.Leaf.name is string; make a call for each with for_each"},
		{name: "one for a list", steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"tags": "request.f_STRING"}}), field: `steps[0].request["tags"]`, want: "[request.f_STRING]"},
		{name: "path through a list", steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"name": "request.r_leaf.name"}}), field: `steps[0].request["name"]`, want: `"request.r_leaf" is repeated, and a path leads to one value; use for_each, or an expression such as request.r_leaf.map(x, x.name)`},
		{name: "path through a map", steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"name": "request.m_leaf.name"}}), field: `steps[0].request["name"]`, want: `is a map`},
		{name: "path through a scalar", steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"name": "request.f_STRING.x"}}), field: `steps[0].request["name"]`, want: `"request.f_STRING" is string, which has no fields`},
		{name: "unknown step", steps: []*composev1.Step{{Name: "price", Call: "t.S.Leaf"}, {Name: "a", Call: "t.S.Leaf", Request: fields{"name": "steps.prize.name"}}}, field: `steps[1].request["name"]`, want: `there is no step "prize"; did you mean "price"?`},
		{name: "item of nothing", steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"name": "item"}}), field: `steps[0].request["name"]`, want: "there is no item without for_each"},
		{name: "wrong expression", steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"name": "request.f_STRING +"}}), field: `steps[0].request["name"]`, want: "Syntax error"},
		{name: "expression of another type", steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"name": "size(request.r_leaf)"}}), field: `steps[0].request["name"]`, want: "gives int; want string"},
		{name: "expression of a field that is not there", steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"name": "request.nope + 'x'"}}), field: `steps[0].request["name"]`, want: "undefined field 'nope'"},
		{name: "request set twice", steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"inner": "request.f_leaf", "inner.name": "request.f_STRING"}}), field: `steps[0].request["inner.name"]`, want: "is set as a whole, too"},
		{name: "oneof set twice", steps: []*composev1.Step{{Name: "a", Call: "t.S.Get", Request: fields{"child.o_a": "request.o_a", "child.o_b": "request.o_b"}}}, field: `steps[0].request["child.o_b"]`, want: "of one oneof"},
		{name: "into a list", steps: one(&composev1.Step{Call: "t.S.Leaf", Into: "r_leaf"}), field: "steps[0].into", want: "t.Flat.r_leaf is repeated t.Leaf, and what lands there is t.Leaf"},
		{name: "into another type", steps: one(&composev1.Step{Call: "t.S.Get", Into: "f_leaf"}), field: "steps[0].into", want: "t.Flat.f_leaf is t.Leaf, and what lands there is t.All"},
		{name: "into nothing", steps: one(&composev1.Step{Call: "t.S.Leaf", Into: "f_leav"}), field: "steps[0].into", want: `t.Flat has no field "f_leav"; did you mean "f_leaf"?`},
		{name: "into one field twice", steps: []*composev1.Step{{Name: "b", Call: "t.S.Leaf", Into: "f_leaf"}, {Name: "a", Call: "t.S.Leaf", Into: "f_leaf"}}, field: "steps[1].into", want: `step "b" lands in t.Flat.f_leaf, too`},
		{name: "take of nothing", steps: one(&composev1.Step{Call: "t.S.Leaf", Take: "innr", Into: "f_leaf"}), field: "steps[0].take", want: `did you mean "inner"?`},
		{name: "take for nobody", steps: one(&composev1.Step{Call: "t.S.Leaf", Take: "inner"}), field: "steps[0].take", want: "say with into where"},
		{name: "take of lists for each", steps: one(&composev1.Step{Call: "t.S.Leaf", ForEach: "request.r_leaf", Take: "tags", Into: "r_STRING"}), field: "steps[0].take", want: "one element for each item"},
		{name: "each of one", steps: one(&composev1.Step{Call: "t.S.Leaf", ForEach: "request.f_leaf"}), field: "steps[0].for_each", want: `"request.f_leaf" is t.Leaf; want a repeated field`},
		{name: "each of an expression of one", steps: one(&composev1.Step{Call: "t.S.Leaf", ForEach: "request.f_STRING + 'a'"}), field: "steps[0].for_each", want: "gives string; want a list"},
		{name: "each of a map", steps: one(&composev1.Step{Call: "t.S.Leaf", ForEach: "request.m_leaf"}), field: "steps[0].for_each", want: "map<string, t.Leaf>; want a repeated field"},
		{name: "batch of nothing", steps: one(&composev1.Step{Call: "t.S.Leaf", Batch: batch("tags", "tags")}), field: "steps[0].batch", want: "say with for_each"},
		{name: "batch into one", steps: one(&composev1.Step{Call: "t.S.Leaf", ForEach: "request.r_STRING", Batch: batch("name", "tags")}), field: "steps[0].batch.items", want: "t.Leaf.name is string; want a repeated field"},
		{name: "batch of one", steps: one(&composev1.Step{Call: "t.S.Leaf", ForEach: "request.r_STRING", Batch: batch("tags", "name")}), field: "steps[0].batch.answers", want: "want a repeated field"},
		{name: "batch of other items", steps: one(&composev1.Step{Call: "t.S.Leaf", ForEach: "request.r_INT32", Batch: batch("tags", "tags")}), field: `steps[0].request["tags"]`, want: `"item" is int32, and t.Leaf.tags is string`},
		{name: "item beside a batch's", steps: one(&composev1.Step{Call: "t.S.Leaf", ForEach: "request.r_STRING", Request: fields{"name": "item"}, Batch: batch("tags", "tags")}), field: `steps[0].request["name"]`, want: "only where a field is made of each"},
		{name: "default of another type", steps: one(&composev1.Step{Call: "t.S.Leaf", Into: "f_leaf", OnFailure: defaulted, Default: `{"nam": "x"}`}), field: "steps[0].default", want: `{"nam": "x"} is not a t.Leaf in JSON`},
		{name: "no default", steps: one(&composev1.Step{Call: "t.S.Leaf", Into: "f_leaf", OnFailure: defaulted}), field: "steps[0].default", want: "say the value in JSON"},
		{name: "default for nobody", steps: one(&composev1.Step{Call: "t.S.Leaf", Into: "f_leaf", OnFailure: optional, Default: "{}"}), field: "steps[0].default", want: "on_failure: default only"},
		{name: "default without a field", steps: one(&composev1.Step{Call: "t.S.Leaf", OnFailure: defaulted, Default: "{}"}), field: "steps[0].on_failure", want: "say with into"},
		{name: "two defaults smuggled in", steps: one(&composev1.Step{Call: "t.S.Leaf", ForEach: "request.r_STRING", Into: "r_leaf", OnFailure: defaulted, Default: "{}, {}"}), field: "steps[0].default", want: "in JSON"},
		{name: "missing of another type", steps: one(&composev1.Step{Call: "t.S.Leaf"}), missing: "r_leaf", field: "missing", want: "want repeated gatehouse.compose.v1.Missing"},
		{name: "waits for itself", steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"name": "steps.a.name"}}), field: "steps[0]", want: "the steps wait for each other: a -> a"},
		{name: "wait for each other", steps: []*composev1.Step{
			{Name: "a", Call: "t.S.Leaf", Request: fields{"name": "steps.b.name"}},
			{Name: "b", Call: "t.S.Leaf", Request: fields{"name": "'x' + string(size(steps.c))"}},
			{Name: "c", Call: "t.S.Leaf", ForEach: "steps.a.tags"},
		}, field: "steps[0]", want: "a -> b -> c -> a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := compose(t, &composev1.Composition{Steps: test.steps, Missing: test.missing}, backend{})
			mistake, ok := errors.AsType[*aggregate.Error](err)
			if !ok {
				t.Fatalf("got %v, want an error with a field", err)
			}
			if mistake.Field != test.field || !strings.Contains(mistake.Error(), test.want) {
				t.Errorf("got %s: %v\nwant %s: ...%s", mistake.Field, mistake, test.field, test.want)
			}
			if test.missing == "" && !strings.Contains(mistake.Error(), `step "`) {
				t.Errorf("%v does not name the step", mistake)
			}
		})
	}
}
