package contract_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

// contract is a file with one service, whose parts a case changes.
type schemaOf struct {
	syntax  string // "proto3" if empty
	rpcs    string // those of a usual service if empty
	request string // fields of Q
	answer  string // fields of A
	more    string // beside the service
	none    bool   // no service
}

const usual = "rpc Do(Q) returns (A);"

func (c schemaOf) text(pkg string) string {
	syntax, rpcs := `syntax = "proto3";`, usual
	if c.syntax != "" {
		syntax = c.syntax
	}
	if c.rpcs != "" {
		rpcs = c.rpcs
	}
	service := "service S { " + rpcs + " }"
	if c.none {
		service = ""
	}
	return fmt.Sprintf("%s\npackage %s;\n%s\nmessage Q { %s }\nmessage A { %s }\n%s\n", syntax, pkg, service, c.request, c.answer, c.more)
}

const (
	proto2   = `syntax = "proto2";`
	editions = `edition = "2023";`
)

// cases are changes, each from old to next. Which rules they break, buf says.
var cases = []struct {
	name      string
	old, next schemaOf
}{
	{"nothing", schemaOf{request: "string a = 1;"}, schemaOf{request: "string a = 1;"}},
	{"rpc added", schemaOf{}, schemaOf{rpcs: usual + " rpc More(Q) returns (A);"}},
	{"rpc removed", schemaOf{rpcs: usual + " rpc More(Q) returns (A);"}, schemaOf{}},
	{"service removed", schemaOf{}, schemaOf{none: true}},
	{"request type", schemaOf{more: "message Other {}"}, schemaOf{rpcs: "rpc Do(Other) returns (A);", more: "message Other {}"}},
	{"response type", schemaOf{more: "message Other {}"}, schemaOf{rpcs: "rpc Do(Q) returns (Other);", more: "message Other {}"}},
	{"client streaming", schemaOf{}, schemaOf{rpcs: "rpc Do(stream Q) returns (A);"}},
	{"server streaming", schemaOf{rpcs: "rpc Do(Q) returns (stream A);"}, schemaOf{}},
	{"idempotency", schemaOf{}, schemaOf{rpcs: "rpc Do(Q) returns (A) { option idempotency_level = NO_SIDE_EFFECTS; }"}},
	{"field added", schemaOf{request: "string a = 1;"}, schemaOf{request: "string a = 1; string b = 2;"}},
	{"field removed", schemaOf{request: "string a = 1;"}, schemaOf{}},
	{"field removed, number reserved", schemaOf{answer: "string a = 1;"}, schemaOf{answer: "reserved 1;"}},
	{"field removed, name reserved", schemaOf{answer: "string a = 1;"}, schemaOf{answer: `reserved "a";`}},
	{"field removed, both reserved", schemaOf{answer: "string a = 1;"}, schemaOf{answer: `reserved 1; reserved "a";`}},
	{"field renamed", schemaOf{request: "string a = 1;"}, schemaOf{request: "string b = 1;"}},
	{"field renamed, json kept", schemaOf{request: "string a = 1;"}, schemaOf{request: `string b = 1 [json_name = "a"];`}},
	{"json name", schemaOf{request: "string a = 1;"}, schemaOf{request: `string a = 1 [json_name = "z"];`}},
	{"field renumbered", schemaOf{request: "string a = 1;"}, schemaOf{request: "string a = 2;"}},
	{"int32 to string", schemaOf{request: "int32 a = 1;"}, schemaOf{request: "string a = 1;"}},
	{"int32 to uint32", schemaOf{request: "int32 a = 1;"}, schemaOf{request: "uint32 a = 1;"}},
	{"int32 to int64", schemaOf{request: "int32 a = 1;"}, schemaOf{request: "int64 a = 1;"}},
	{"int64 to uint64", schemaOf{request: "int64 a = 1;"}, schemaOf{request: "uint64 a = 1;"}},
	{"fixed32 to sfixed32", schemaOf{request: "fixed32 a = 1;"}, schemaOf{request: "sfixed32 a = 1;"}},
	{"fixed64 to sfixed64", schemaOf{request: "fixed64 a = 1;"}, schemaOf{request: "sfixed64 a = 1;"}},
	{"int32 to sint32", schemaOf{request: "int32 a = 1;"}, schemaOf{request: "sint32 a = 1;"}},
	{"int32 to bool", schemaOf{request: "int32 a = 1;"}, schemaOf{request: "bool a = 1;"}},
	{"float to double", schemaOf{request: "float a = 1;"}, schemaOf{request: "double a = 1;"}},
	{"string to bytes", schemaOf{request: "string a = 1;"}, schemaOf{request: "bytes a = 1;"}},
	{"int32 to enum", schemaOf{request: "int32 a = 1;", more: "enum E { Z = 0; }"}, schemaOf{request: "E a = 1;", more: "enum E { Z = 0; }"}},
	{"message to another", schemaOf{request: "M a = 1;", more: "message M {} message N {}"}, schemaOf{request: "N a = 1;", more: "message M {} message N {}"}},
	{
		"enum to a larger one of another name", schemaOf{request: "E a = 1;", more: "enum E { Z = 0; } enum F { Y = 0; }"},
		schemaOf{request: "F a = 1;", more: "enum E { Z = 0; } enum F { Y = 0; }"},
	},
	{
		"enum moved, larger", schemaOf{request: "E a = 1;", more: "enum E { Z = 0; } message In { enum E { Z = 0; X = 1; } }"},
		schemaOf{request: "In.E a = 1;", more: "enum E { Z = 0; } message In { enum E { Z = 0; X = 1; } }"},
	},
	{
		"enum moved, smaller", schemaOf{request: "In.E a = 1;", more: "enum E { Z = 0; } message In { enum E { Z = 0; X = 1; } }"},
		schemaOf{request: "E a = 1;", more: "enum E { Z = 0; } message In { enum E { Z = 0; X = 1; } }"},
	},
	{"single to repeated", schemaOf{answer: "string a = 1;"}, schemaOf{answer: "repeated string a = 1;"}},
	{"single to optional", schemaOf{answer: "string a = 1;"}, schemaOf{answer: "optional string a = 1;"}},
	{
		"repeated to map", schemaOf{answer: "repeated M a = 1;", more: "message M { string key = 1; string value = 2; }"},
		schemaOf{answer: "map<string, string> a = 1;", more: "message M { string key = 1; string value = 2; }"},
	},
	{"map value", schemaOf{answer: "map<string, string> a = 1;"}, schemaOf{answer: "map<string, int32> a = 1;"}},
	{"map key", schemaOf{answer: "map<string, string> a = 1;"}, schemaOf{answer: "map<int32, string> a = 1;"}},
	{"into a oneof", schemaOf{request: "string a = 1; string b = 2;"}, schemaOf{request: "oneof o { string a = 1; string b = 2; }"}},
	{"out of a oneof", schemaOf{request: "oneof o { string a = 1; }"}, schemaOf{request: "string a = 1;"}},
	{"another oneof", schemaOf{request: "oneof o { string a = 1; }"}, schemaOf{request: "oneof p { string a = 1; }"}},
	{"oneof grows", schemaOf{request: "oneof o { string a = 1; }"}, schemaOf{request: "oneof o { string a = 1; string b = 2; }"}},
	{"reserved number gone", schemaOf{request: "reserved 5 to 9;"}, schemaOf{request: "reserved 5, 7 to 9;"}},
	{"reserved number kept otherwise", schemaOf{request: "reserved 5 to 9;"}, schemaOf{request: "reserved 5, 6, 7 to 12;"}},
	{"reserved to max", schemaOf{request: "reserved 5 to max;"}, schemaOf{request: "reserved 5 to 100;"}},
	{"reserved name gone", schemaOf{request: `reserved "a", "b";`}, schemaOf{request: `reserved "a";`}},
	{"enum value added", schemaOf{answer: "E e = 1;", more: "enum E { Z = 0; }"}, schemaOf{answer: "E e = 1;", more: "enum E { Z = 0; X = 1; }"}},
	{"enum value removed", schemaOf{answer: "E e = 1;", more: "enum E { Z = 0; X = 1; }"}, schemaOf{answer: "E e = 1;", more: "enum E { Z = 0; }"}},
	{"enum value removed, number reserved", schemaOf{answer: "E e = 1;", more: "enum E { Z = 0; X = 1; }"}, schemaOf{answer: "E e = 1;", more: "enum E { Z = 0; reserved 1; }"}},
	{"enum value removed, both reserved", schemaOf{answer: "E e = 1;", more: "enum E { Z = 0; X = 1; }"}, schemaOf{answer: "E e = 1;", more: `enum E { Z = 0; reserved 1; reserved "X"; }`}},
	{"enum value renamed", schemaOf{answer: "E e = 1;", more: "enum E { Z = 0; X = 1; }"}, schemaOf{answer: "E e = 1;", more: "enum E { Z = 0; Y = 1; }"}},
	{"enum value renumbered", schemaOf{answer: "E e = 1;", more: "enum E { Z = 0; X = 1; }"}, schemaOf{answer: "E e = 1;", more: "enum E { Z = 0; X = 2; }"}},
	{
		"enum alias added", schemaOf{answer: "E e = 1;", more: "enum E { Z = 0; X = 1; }"},
		schemaOf{answer: "E e = 1;", more: "enum E { option allow_alias = true; Z = 0; X = 1; Y = 1; }"},
	},
	{
		"enum alias removed", schemaOf{answer: "E e = 1;", more: "enum E { option allow_alias = true; Z = 0; X = 1; Y = 1; }"},
		schemaOf{answer: "E e = 1;", more: "enum E { Z = 0; X = 1; }"},
	},
	{
		"enum reserved gone", schemaOf{answer: "E e = 1;", more: `enum E { Z = 0; reserved 2 to 9; reserved "X"; }`},
		schemaOf{answer: "E e = 1;", more: "enum E { Z = 0; }"},
	},
	{
		"deep inside", schemaOf{answer: "M m = 1;", more: "message M { repeated N n = 1; } message N { map<string, P> p = 1; } message P { string a = 1; }"},
		schemaOf{answer: "M m = 1;", more: "message M { repeated N n = 1; } message N { map<string, P> p = 1; } message P { bytes a = 1; }"},
	},
	{
		"recursive", schemaOf{answer: "M m = 1;", more: "message M { M m = 1; string a = 2; }"},
		schemaOf{answer: "M m = 1;", more: "message M { M m = 1; string b = 2; }"},
	},
	{"default", schemaOf{syntax: proto2, request: "optional int32 a = 1 [default = 7];"}, schemaOf{syntax: proto2, request: "optional int32 a = 1 [default = 8];"}},
	{"default added", schemaOf{syntax: proto2, request: "optional string a = 1;"}, schemaOf{syntax: proto2, request: `optional string a = 1 [default = "x"];`}},
	{"default of another type", schemaOf{syntax: proto2, request: "optional int32 a = 1 [default = 7];"}, schemaOf{syntax: proto2, request: "optional uint32 a = 1 [default = 7];"}},
	{"default of zero", schemaOf{syntax: proto2, request: "optional bool a = 1;"}, schemaOf{syntax: proto2, request: "optional bool a = 1 [default = false];"}},
	{"required added", schemaOf{syntax: proto2}, schemaOf{syntax: proto2, request: "required string a = 1;"}},
	{"required relaxed", schemaOf{syntax: proto2, request: "required string a = 1;"}, schemaOf{syntax: proto2, request: "optional string a = 1;"}},
	{"proto3 to proto2", schemaOf{request: "string a = 1;"}, schemaOf{syntax: proto2, request: "optional string a = 1;"}},
	{"proto2 to proto3", schemaOf{syntax: proto2, request: "optional string a = 1;"}, schemaOf{request: "optional string a = 1;"}},
	{
		"json format", schemaOf{syntax: editions, answer: "E e = 1;", more: "enum E { Z = 0; }"},
		schemaOf{syntax: editions, answer: "option features.json_format = LEGACY_BEST_EFFORT; E e = 1;", more: "enum E { option features.json_format = LEGACY_BEST_EFFORT; Z = 0; }"},
	},
	{"group", schemaOf{syntax: editions, answer: "M m = 1;", more: "message M {}"}, schemaOf{syntax: editions, answer: "M m = 1 [features.message_encoding = DELIMITED];", more: "message M {}"}},
}

// extra are buf's rules of another category that hold here too.
var extra = []string{"RPC_NO_DELETE", "SERVICE_NO_DELETE"}

// buf runs the tool that is pinned for the contracts of this repository.
func buf(t *testing.T, args ...string) []byte {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"tool", "-modfile=tools/buf/go.mod", "buf"}, args...)...)
	cmd.Dir = root
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && out.Len() == 0 { // what breaks is an error too, and told
		t.Fatalf("buf %s: %v\n%s", args[0], err, &errs)
	}
	return out.Bytes()
}

// folders writes both sides of all cases.
func folders(t *testing.T) (old, next string) {
	t.Helper()
	root := t.TempDir()
	old, next = filepath.Join(root, "old"), filepath.Join(root, "next")
	for i, c := range cases {
		for folder, side := range map[string]schemaOf{old: c.old, next: c.next} {
			if err := os.MkdirAll(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			pkg := fmt.Sprintf("c%d", i)
			config := "version: v2\nbreaking:\n  use:\n    - WIRE_JSON\n    - " + strings.Join(extra, "\n    - ") + "\n"
			for name, text := range map[string]string{pkg + ".proto": side.text(pkg), "buf.yaml": config} {
				if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return old, next
}

// verdicts are the rules that buf sees broken, by case.
func verdicts(t *testing.T, old, next string) map[string][]string {
	t.Helper()
	rules := map[string][]string{}
	for line := range bytes.Lines(buf(t, "breaking", next, "--against", old, "--error-format", "json")) {
		var a struct{ Path, Type string }
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		pkg := strings.TrimSuffix(filepath.Base(a.Path), ".proto")
		rules[pkg] = append(rules[pkg], a.Type)
	}
	return rules
}

func set(t *testing.T, folder string) *contract.Set {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image.binpb")
	buf(t, "build", folder, "-o", image)
	data, err := contract.ReadImage(image)
	if err != nil {
		t.Fatal(err)
	}
	s, err := contract.ParseImage(image, data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// methods are those of one case.
func methods(s *contract.Set, pkg string) []*contract.Method {
	var list []*contract.Method
	for name := range s.Methods() {
		if m := s.Method(name); m.ParentFile().Package() == protoreflect.FullName(pkg) {
			list = append(list, contract.NewMethod(m, ""))
		}
	}
	return list
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// TestVerdictsAreBufs holds the rules to those of the pinned buf.
func TestVerdictsAreBufs(t *testing.T) {
	if testing.Short() {
		t.Skip("runs buf")
	}
	oldFolder, nextFolder := folders(t)
	want := verdicts(t, oldFolder, nextFolder)
	old, next := set(t, oldFolder), set(t, nextFolder)
	broken := map[string]bool{}
	for i, c := range cases {
		pkg := fmt.Sprintf("c%d", i)
		var got []string
		var told []string
		for _, change := range contract.Breaking(methods(old, pkg), methods(next, pkg)) {
			got = append(got, change.Rule)
			told = append(told, change.String())
			broken[change.Rule] = true
		}
		if got, want := unique(got), unique(want[pkg]); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, buf says %v\n%s", c.name, got, want, strings.Join(told, "\n"))
		}
	}
	const all = 23
	if len(broken) != all {
		t.Errorf("the cases break %d rules, want each of %d", len(broken), all)
	}
}

// method makes an RPC anew, so that it is not taken for the one before.
func method(t *testing.T, bindings ...*contract.Binding) *contract.Method {
	t.Helper()
	file := &descriptorpb.FileDescriptorProto{
		Name: new("p.proto"), Package: new("p"), Syntax: new("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: new("Q")}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("S"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: new("Do"), InputType: new(".p.Q"), OutputType: new(".p.Q"),
		}}}},
	}
	made, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &contract.Method{Desc: made.Services().Get(0).Methods().Get(0), Bindings: bindings}
}

// TestBindings is of what buf has no rules for.
func TestBindings(t *testing.T) {
	get := &contract.Binding{Verb: "GET", Path: "/v1/things"}
	post := &contract.Binding{Verb: "POST", Path: "/v1/things", Body: "*"}
	for _, tc := range []struct {
		old, next []*contract.Binding
		want      []string
	}{
		{[]*contract.Binding{get}, []*contract.Binding{post, get}, nil},
		{[]*contract.Binding{get, post}, []*contract.Binding{get}, []string{"HTTP_BINDING_NO_DELETE"}},
		{[]*contract.Binding{get}, []*contract.Binding{{Verb: "GET", Path: "/v2/things"}}, []string{"HTTP_BINDING_NO_DELETE"}},
		{[]*contract.Binding{post}, []*contract.Binding{{Verb: "POST", Path: post.Path, Body: "thing"}}, []string{"HTTP_BINDING_SAME_BODY"}},
		{[]*contract.Binding{get}, []*contract.Binding{{Verb: "GET", Path: get.Path, ResponseBody: "things"}}, []string{"HTTP_BINDING_SAME_RESPONSE_BODY"}},
	} {
		var got []string
		for _, c := range contract.Breaking([]*contract.Method{method(t, tc.old...)}, []*contract.Method{method(t, tc.next...)}) {
			got = append(got, c.Rule)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%v to %v: got %v, want %v", tc.old, tc.next, got, tc.want)
		}
	}
}
