package expr_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/expr"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

// ask is an RPC whose request has a field of each form that CEL shows in its own way.
func ask(t testing.TB) protoreflect.MethodDescriptor {
	t.Helper()
	field := func(num int32, name, message string, repeated bool) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &num, Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
		if message == "" {
			f.Type = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
		} else {
			f.TypeName = new("." + message)
		}
		if repeated {
			f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		}
		return f
	}
	big := field(13, "amount", "", false)
	big.Type, big.OneofIndex = descriptorpb.FieldDescriptorProto_TYPE_INT64.Enum(), proto.Int32(0)
	other := field(14, "note", "", false)
	other.OneofIndex = proto.Int32(0)
	file := &descriptorpb.FileDescriptorProto{
		Name: new("ask.proto"), Package: new("ask"), Syntax: new("proto3"),
		Dependency: []string{"google/protobuf/struct.proto", "google/protobuf/any.proto", "google/protobuf/timestamp.proto", "google/protobuf/duration.proto", "google/protobuf/wrappers.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: new("Ask"), OneofDecl: []*descriptorpb.OneofDescriptorProto{{Name: new("what")}},
			NestedType: []*descriptorpb.DescriptorProto{
				{Name: new("ValuesEntry"), Options: &descriptorpb.MessageOptions{MapEntry: new(true)}, Field: []*descriptorpb.FieldDescriptorProto{field(1, "key", "", false), field(2, "value", "google.protobuf.Value", false)}},
				{Name: new("AsksEntry"), Options: &descriptorpb.MessageOptions{MapEntry: new(true)}, Field: []*descriptorpb.FieldDescriptorProto{field(1, "key", "", false), field(2, "value", "ask.Ask", false)}},
			},
			Field: []*descriptorpb.FieldDescriptorProto{
				field(1, "name", "", false), field(2, "meta", "google.protobuf.Struct", false), field(3, "value", "google.protobuf.Value", false),
				field(4, "list", "google.protobuf.ListValue", false), field(5, "any", "google.protobuf.Any", false), field(6, "at", "google.protobuf.Timestamp", false),
				field(7, "lasts", "google.protobuf.Duration", false), field(8, "count", "google.protobuf.Int32Value", false), field(9, "values", "ask.Ask.ValuesEntry", true),
				field(10, "many", "google.protobuf.Value", true), field(11, "items", "ask.Ask", true), field(12, "next", "ask.Ask", false), big, other, field(15, "asks", "ask.Ask.AsksEntry", true),
			},
		}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("Asks"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: new("Ask"), InputType: new(".ask.Ask"), OutputType: new(".ask.Ask"),
		}}}},
	}
	fd, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return fd.Services().Get(0).Methods().Get(0)
}

// asked is a request with something in each field.
func asked(t testing.TB, md protoreflect.MessageDescriptor) *dynamicpb.Message {
	t.Helper()
	m := dynamicpb.NewMessage(md)
	set := func(name protoreflect.Name, v proto.Message) {
		wire, err := proto.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		fd := md.Fields().ByName(name)
		whole := protowire.AppendBytes(protowire.AppendTag(nil, fd.Number(), protowire.BytesType), wire)
		if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(whole, m); err != nil {
			t.Fatal(err)
		}
	}
	value, err := structpb.NewValue(map[string]any{"role": "admin", "tags": []any{"a", true, nil, 7.5}, "in": map[string]any{"deep": 1}})
	if err != nil {
		t.Fatal(err)
	}
	packed, err := anypb.New(wrapperspb.String("packed"))
	if err != nil {
		t.Fatal(err)
	}
	m.Set(md.Fields().ByName("name"), protoreflect.ValueOfString("ada"))
	set("meta", value.GetStructValue())
	set("value", value)
	set("list", value.GetStructValue().GetFields()["tags"].GetListValue())
	set("any", packed)
	set("at", timestamppb.New(time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)))
	set("lasts", durationpb.New(90*time.Second))
	set("count", wrapperspb.Int32(3))
	set("many", structpb.NewStringValue("one"))
	set("many", structpb.NewNullValue())
	return m
}

// evaluate runs a condition over a request.
func evaluate(t testing.TB, method protoreflect.MethodDescriptor, text, wire string, in func(context.Context) context.Context) (got bool, err error) {
	t.Helper()
	e, err := expr.NewEnv(method)
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Condition(text)
	if err != nil {
		t.Fatal(err)
	}
	ctx := metadata.NewOutgoingContext(call.With(t.Context(), &call.Call{Method: "/s/m"}), metadata.MD{})
	m := &call.Method{Name: "/s/m", Conn: calltest.Conn{OnInvoke: func(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
		if in != nil {
			ctx = in(ctx)
		}
		got, err = p.Bool(ctx)
		return nil
	}}}
	if failed := call.Forward(m, &calltest.ServerStream{Ctx: ctx, Requests: []string{wire}}); failed != nil {
		t.Fatal(failed)
	}
	return got, err
}

func TestConditionsOverEachFormOfAField(t *testing.T) {
	method := ask(t)
	m := asked(t, method.Input())
	inner := proto.CloneOf[proto.Message](m)
	for _, name := range []protoreflect.Name{"items", "items"} {
		m.Mutable(method.Input().Fields().ByName(name)).List().Append(protoreflect.ValueOfMessage(proto.CloneOf[proto.Message](inner).ProtoReflect()))
	}
	m.Set(method.Input().Fields().ByName("next"), protoreflect.ValueOfMessage(inner.ProtoReflect()))
	m.Set(method.Input().Fields().ByName("amount"), protoreflect.ValueOfInt64(1<<40+7))
	m.Mutable(method.Input().Fields().ByName("asks")).Map().Set(protoreflect.ValueOfString("k").MapKey(), protoreflect.ValueOfMessage(inner.ProtoReflect()))
	full, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		text  string
		empty bool // of a request that has nothing
		no    bool // it does not hold
	}{
		{text: `request.name == "ada" && has(request.name) && size(request.name) == 3`},
		{text: `request.meta.role == "admin" && request.meta["in"].deep == 1.0 && "role" in request.meta && !("none" in request.meta)`},
		{text: `has(request.meta.role) && !has(request.meta.none) && size(request.meta) == 3`},
		{text: `request.meta.all(k, k in ["role", "tags", "in"])`},
		{text: `request.value.role == "admin" && request.value.tags[3] == 7.5 && request.value.tags[2] == null`},
		{text: `request.list[0] == "a" && request.list[1] == true && size(request.list) == 4`},
		{text: `request.list.exists(v, v == 7.5) && "a" in request.list`},
		{text: `request.any == "packed"`},
		{text: `request.at == timestamp("2026-11-30T00:00:00Z") && request.at.getFullYear() == 2026`},
		{text: `request.lasts > duration("89s") && request.lasts == duration("1m30s")`},
		{text: `request.count == 3 && request.count != null`},
		{text: `request.many[0] == "one" && request.many[1] == null && request.many.size() == 2`},
		{text: `request.items.all(i, i.name == "ada" && i.meta.role == "admin" && i.any == "packed")`},
		{text: `request.items.map(i, i.name) == ["ada", "ada"] && request.items[1].count == 3`},
		{text: `request.items.filter(i, has(i.next)).size() == 0 && request.items.exists(i, i.value.role == "admin")`},
		{text: `request.next.next.name == "" && !has(request.next.next) && has(request.next)`},
		{text: `request.asks["k"].name == "ada" && request.asks.all(k, request.asks[k].count == 3)`},
		{text: `request.amount == 1099511627783 && !has(request.note) && request.amount > 1000`},
		{text: `request.meta == request.next.meta && request.list == request.items[0].list && request.value == request.meta`},
		{text: `request.asks["k"].lasts == request.lasts && type(request.next) == ask.Ask`},
		{text: `dyn(request.next).meta.role == "admin" && has(dyn(request.next).at) && dyn(request).items[0].name == "ada"`},
		{text: `ask.Ask{name: "ada"}.name == request.name && ask.Ask{next: request.next}.next.count == 3`},
		{text: `request.name == "eve" || request.amount < 1000`, no: true},
		{text: `request.count == null && size(request.meta) == 0 && request.value == null && size(request.list) == 0`, empty: true},
		{text: `request.items.size() == 0 && request.asks.size() == 0 && request.next.items.size() == 0`, empty: true},
		{text: `request.lasts == duration("0s") && request.at == timestamp(0) && !has(request.at)`, empty: true},
		{text: `request == ask.Ask{}`, empty: true},
	} {
		t.Run(tc.text, func(t *testing.T) {
			wire := full
			if tc.empty {
				wire = nil
			}
			got, err := evaluate(t, method, tc.text, string(wire), nil)
			if err != nil || got == tc.no {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestRequestsThatCannotBeLookedInto(t *testing.T) {
	method := ask(t)
	bytesOf := func(num protowire.Number, in string) string {
		return string(protowire.AppendString(protowire.AppendTag(nil, num, protowire.BytesType), in))
	}
	deep := ""
	for range 1002 { // the innermost holds nothing, and is not entered
		deep = bytesOf(12, deep)
	}
	half := bytesOf(1, strings.Repeat("x", 20<<10))
	for _, tc := range []struct{ name, wire, want string }{
		{"cut off", "\x0a\x05ad", "the request is not a valid ask.Ask: it ends within a field"},
		{"no UTF-8", bytesOf(11, bytesOf(1, "\xff")), "a text is not UTF-8"},
		{"no number", "\x00\x00", "a field has an invalid number or wire type"},
		{"too deep", deep, "messages nest more than 1000 deep"},
		{"in pieces", bytesOf(12, half) + bytesOf(12, half), "the request cannot be looked into: messages that come in pieces are larger than 32 KiB together, such as ask.Ask.next"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := evaluate(t, method, `request.next.name != "eve"`, tc.wire, nil)
			if got || call.StatusOf(err).Code() != codes.InvalidArgument || call.FaultOf(err) != call.Client || !strings.Contains(call.StatusOf(err).Message(), tc.want) {
				t.Errorf("%v, %v, want %q", got, err, tc.want)
			}
		})
	}
}

// TestPiecesAreOneMessage has a parser's rule: a message that comes twice is both
// together, so that a condition sees what the backend will.
func TestPiecesAreOneMessage(t *testing.T) {
	method := ask(t)
	wire := string(protowire.AppendString(protowire.AppendTag(nil, 12, protowire.BytesType), "\x0a\x03eve")) +
		string(protowire.AppendString(protowire.AppendTag(nil, 12, protowire.BytesType), "\x42\x02\x08\x05"))
	if got, err := evaluate(t, method, `request.next.name == "eve" && request.next.count == 5`, wire, nil); err != nil || !got {
		t.Errorf("%v, %v", got, err)
	}
}

func TestALoopEndsWithTheCall(t *testing.T) {
	method := ask(t)
	wire := strings.Repeat("\x5a\x00", 20_000) // items
	ended := func(ctx context.Context) context.Context {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx
	}
	if _, err := evaluate(t, method, `request.items.all(i, i.name == "")`, wire, ended); call.StatusOf(err).Code() != codes.Canceled {
		t.Errorf("%v, want the end of the call", err)
	}
	child := strings.Repeat("\x5a\x02\x0a\x00", 50_000) // items with an empty name
	both := wire + string(protowire.AppendString(protowire.AppendTag(nil, 12, protowire.BytesType), child)) +
		string(protowire.AppendString(protowire.AppendTag(nil, 15, protowire.BytesType), "\x0a\x01k"+string(protowire.AppendString([]byte{0x12}, child))))
	if _, err := evaluate(t, method, `request.items.all(i, request.next == request.asks["k"])`, both, nil); err == nil || !strings.Contains(err.Error(), "fields were asked for") {
		t.Errorf("%v, want the limit of fields", err)
	}
	if _, err := evaluate(t, method, `request.items.all(i, request.items.all(j, j.name == ""))`, wire, nil); err == nil || !strings.Contains(err.Error(), "cost limit exceeded") {
		t.Errorf("%v, want the limit of costs", err)
	}
}

func TestAViewIsReservedBeforeItIsMade(t *testing.T) {
	method := ask(t)
	wire := strings.Repeat("\x5a\x00", 1_000)
	for _, tc := range []struct {
		name string
		most int // of the process
		want codes.Code
	}{{"enough", 2 * (40*len(wire) + 64<<10), codes.OK}, {"not even the bytes", len(wire) / 2, codes.Unavailable}, {"not what is made of them", len(wire) + 100, codes.Unavailable}} {
		t.Run(tc.name, func(t *testing.T) {
			process := memory.New(memory.Limits{Process: int64(tc.most)})
			var c *call.Call
			in := func(ctx context.Context) context.Context {
				c = call.From(ctx)
				c.Memory.Open(process.NewClient(), nil)
				return ctx
			}
			if got, err := evaluate(t, method, `request.items.size() == 1000`, wire, in); call.CodeOf(err) != tc.want || got != (tc.want == codes.OK) {
				t.Errorf("%v, %v, want %v", got, err, tc.want)
			}
			if held := c.Memory.Held(); tc.want == codes.OK && held < int64(len(wire)) {
				t.Errorf("%d bytes held, less than those of the message", held)
			}
			if c.Finish(nil); process.Held() != 0 {
				t.Errorf("%d bytes held after the call", process.Held())
			}
		})
	}
}
