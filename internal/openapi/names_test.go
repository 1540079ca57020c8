package openapi_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/openapi"
)

// service is a contract of one service: its RPCs take and return a Box, which has a Thing
// with some fields of text.
func service(t *testing.T, pkg, name string, fields []string, rpcs ...string) protoreflect.ServiceDescriptor {
	t.Helper()
	thing := &descriptorpb.DescriptorProto{Name: new("Thing")}
	for i, field := range fields {
		thing.Field = append(thing.Field, &descriptorpb.FieldDescriptorProto{
			Name: &field, Number: new(int32(i + 1)), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		})
	}
	box := &descriptorpb.DescriptorProto{Name: new("Box"), Field: []*descriptorpb.FieldDescriptorProto{{
		Name: new("thing"), Number: new(int32(1)), Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), TypeName: new("." + pkg + ".Thing"),
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}}}
	s := &descriptorpb.ServiceDescriptorProto{Name: &name}
	for _, rpc := range rpcs {
		options := new(descriptorpb.MethodOptions)
		proto.SetExtension(options, annotations.E_Http, &annotations.HttpRule{Pattern: &annotations.HttpRule_Post{Post: "/" + pkg + "/" + name + "/" + rpc}, Body: "*"})
		s.Method = append(s.Method, &descriptorpb.MethodDescriptorProto{Name: &rpc, InputType: new("." + pkg + ".Box"), OutputType: new("." + pkg + ".Box"), Options: options})
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("a.proto"), Package: &pkg, Syntax: new("proto3"), Service: []*descriptorpb.ServiceDescriptorProto{s}, MessageType: []*descriptorpb.DescriptorProto{thing, box},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file.Services().Get(0)
}

// exposed are all RPCs of a service of an upstream.
func exposed(upstream string, s protoreflect.ServiceDescriptor) []*openapi.Method {
	var list []*openapi.Method
	for i := range s.Methods().Len() {
		desc := s.Methods().Get(i)
		list = append(list, &openapi.Method{
			Desc: desc, Upstream: upstream, Bindings: contract.NewMethod(desc, upstream).Bindings, Policy: &policyv1.Policy{Auth: &policyv1.Auth{Public: new(true)}},
		})
	}
	return list
}

// TestMessagesOfTwoUpstreams: a message that two upstreams have differently has two
// schemas, and so have the messages around it.
func TestMessagesOfTwoUpstreams(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		upstream string
		fields   []string
		schemas  []string // without those of errors
		got      string   // what B.Get is answered with
	}{
		{"same", "new", []string{"a", "b"}, []string{"Box", "BoxInput", "Thing", "ThingInput"}, "Box"},
		{"differs", "new", []string{"a", "c"}, []string{"Box", "BoxInput", "BoxInput_new", "Box_new", "Thing", "ThingInput", "ThingInput_new", "Thing_new"}, "Box_new"},
		{"one upstream", "old", []string{"a", "b"}, []string{"Box", "BoxInput", "Thing", "ThingInput"}, "Box"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			first, second := service(t, "p", "A", []string{"a", "b"}, "Get"), service(t, "p", "B", test.fields, "Get")
			text := write(t, &openapi.Source{Config: config.Default(), Methods: slices.Concat(exposed("old", first), exposed(test.upstream, second))}, openapi.JSON)
			var names []string
			for name := range at(t, text, []any{"components", "schemas"}).(map[string]any) {
				if !slices.Contains([]string{"ErrorBody", "ErrorResponse", "ProtobufAny", "StatusCode"}, name) {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			if diff := cmp.Diff(test.schemas, names); diff != "" {
				t.Error(diff)
			}
			answer := []any{"paths", "/p/B/Get", "post", "responses", "200", "content", "application/json", "schema", "$ref"}
			if got := at(t, text, answer); got != "#/components/schemas/"+test.got {
				t.Errorf("B.Get is answered with %v", got)
			}
			if got := at(t, text, []any{"components", "schemas", test.got, "properties", "thing", "$ref"}); test.got != "Box" && got != "#/components/schemas/Thing_new" {
				t.Errorf("%s has %v", test.got, got)
			}
			if got := at(t, text, []any{"components", "schemas", "Thing", "properties", "b", "type"}); got != "string" {
				t.Errorf("Thing.b is %v", got)
			}
		})
	}
}

// TestOperationIDs: what is added behind RPCs renames none of them.
func TestOperationIDs(t *testing.T) {
	t.Parallel()
	fields := []string{"a"}
	first, second := service(t, "p.v1", "Things", fields, "Get", "Get_2"), service(t, "p.v2", "Things", fields, "Get", "List")
	third := service(t, "q", "ThingsG", fields, "et")
	for _, test := range []struct {
		name    string
		methods []*openapi.Method
		want    map[string]string
	}{
		{"one", exposed("", first), map[string]string{"p.v1/Things/Get": "Things_Get", "p.v1/Things/Get_2": "Things_Get_2"}},
		{"a service of the same name", slices.Concat(exposed("", first), exposed("", second)), map[string]string{
			"p.v1/Things/Get": "Things_Get", "p.v1/Things/Get_2": "Things_Get_2", "p.v2/Things/Get": "p_v2_Things_Get", "p.v2/Things/List": "p_v2_Things_List",
		}},
		{"the same to some generators", slices.Concat(exposed("", first), exposed("", third)), map[string]string{
			"p.v1/Things/Get": "Things_Get", "p.v1/Things/Get_2": "Things_Get_2", "q/ThingsG/et": "ThingsG_et_3",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			text := write(t, &openapi.Source{Config: config.Default(), Methods: test.methods}, openapi.JSON)
			for path, want := range test.want {
				if got := at(t, text, []any{"paths", "/" + path, "post", "operationId"}); got != want {
					t.Errorf("%s: got %v, want %s", path, got, want)
				}
			}
		})
	}
}
