package expr_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/gatehouse-dev/gatehouse/internal/expr"
)

// TestMessagesThatAreFoundAreSetAsTheyAre has expressions give fields what they find
// in a view.
func TestMessagesThatAreFoundAreSetAsTheyAre(t *testing.T) {
	md := ask(t).Input()
	from := asked(t, md)
	from.Set(md.Fields().ByName("next"), protoreflect.ValueOfMessage(proto.CloneOf[proto.Message](from).ProtoReflect()))
	wire, err := proto.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	files, err := expr.FilesOf(md.ParentFile())
	if err != nil {
		t.Fatal(err)
	}
	values, err := expr.NewValues(files, []expr.Variable{{Name: "request", Message: md.FullName()}})
	if err != nil {
		t.Fatal(err)
	}
	typ, err := values.Message(md.FullName())
	if err != nil {
		t.Fatal(err)
	}
	get := func(name protoreflect.Name) protoreflect.Value { return from.Get(md.Fields().ByName(name)) }
	for _, tc := range []struct {
		field protoreflect.Name
		text  string
		want  func(*dynamicpb.Message)
	}{
		{"next", `request.next`, nil},
		{"meta", `request.meta`, nil},
		{"list", `request.list`, nil},
		{"value", `request.value`, nil},
		{"any", `request.any`, nil},
		{"at", `request.at`, nil},
		{"count", `request.count`, nil},
		{"values", `request.values`, nil},
		{"items", `[request.next, request.next]`, func(m *dynamicpb.Message) {
			list := m.Mutable(md.Fields().ByName("items")).List()
			list.Append(get("next"))
			list.Append(get("next"))
		}},
		{"asks", `{"k": request.next}`, func(m *dynamicpb.Message) {
			m.Mutable(md.Fields().ByName("asks")).Map().Set(protoreflect.ValueOfString("k").MapKey(), get("next"))
		}},
		{"value", `dyn(request.meta)`, nil}, // of which a value is made
		{"name", `request.meta.role`, func(m *dynamicpb.Message) {
			m.Set(md.Fields().ByName("name"), protoreflect.ValueOfString("admin"))
		}},
	} {
		t.Run(string(tc.field)+" "+tc.text, func(t *testing.T) {
			fd := md.Fields().ByName(tc.field)
			v, err := values.Field(tc.text, fd, false)
			if err != nil {
				if tc.field == "name" {
					return // the type is known only when it is evaluated
				}
				t.Fatal(err)
			}
			into, want := dynamicpb.NewMessage(md), dynamicpb.NewMessage(md)
			if err := v.Set(t.Context(), into, fd, func(string) (any, error) { return typ.New(string(wire)), nil }); err != nil {
				t.Fatal(err)
			}
			if tc.want != nil {
				tc.want(want)
			} else if from.Has(fd) {
				want.Set(fd, from.Get(fd))
			}
			b, err := proto.Marshal(into)
			if err != nil {
				t.Fatal(err)
			}
			got := dynamicpb.NewMessage(md)
			if err := proto.Unmarshal(b, got); err != nil || !proto.Equal(got, want) {
				t.Errorf("%v, %v, want %v", got, err, want)
			}
		})
	}
}
