package contract_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

// oneRPC is a contract; changes are made by replacing text of it.
const oneRPC = `
name: "a.proto" package: "a" syntax: "proto3"
message_type {
  name: "Q"
  field {name: "id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL}
  field {name: "sub" number: 2 type: TYPE_MESSAGE type_name: ".a.Q" label: LABEL_OPTIONAL}
  field {name: "kind" number: 3 type: TYPE_ENUM type_name: ".a.E" label: LABEL_REPEATED}
}
message_type {
  name: "A"
  field {name: "q" number: 1 type: TYPE_MESSAGE type_name: ".a.Q" label: LABEL_OPTIONAL}
  field {name: "n" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL}
}
enum_type {name: "E" value {name: "NONE" number: 0} value {name: "ONE" number: 1}}
service {name: "S" method {name: "M" input_type: ".a.Q" output_type: ".a.A" server_streaming: false}}
`

func methodOf(t *testing.T, replace ...string) protoreflect.MethodDescriptor {
	t.Helper()
	file := new(descriptorpb.FileDescriptorProto)
	if err := prototext.Unmarshal([]byte(strings.NewReplacer(replace...).Replace(oneRPC)), file); err != nil {
		t.Fatal(err)
	}
	fd, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return fd.Services().Get(0).Methods().Get(0)
}

func TestSame(t *testing.T) {
	have := methodOf(t)
	for _, tc := range []struct {
		name    string
		replace []string
		want    string // in the error; "" for none
	}{
		{name: "the same"},
		{name: "a new field", replace: []string{`name: "A"`, `name: "A" field {name: "more" number: 9 type: TYPE_STRING label: LABEL_OPTIONAL}`}},
		{name: "a field less", replace: []string{`field {name: "n" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL}`, ""}},
		{name: "a new value", replace: []string{`value {name: "ONE"`, `value {name: "TWO" number: 2} value {name: "ONE"`}},
		{name: "another type", replace: []string{"TYPE_INT32", "TYPE_INT64"}, want: "its answers differ: field a.A.n is a int64 there, not a int32"},
		{name: "another name", replace: []string{`"n"`, `"m"`}, want: "its answers differ: field a.A.n is called m there"},
		{name: "another number", replace: []string{`"n" number: 2`, `"n" number: 3`}, want: "field a.A.n has the number 3 there, not 2"},
		{name: "not repeated", replace: []string{"LABEL_REPEATED", "LABEL_OPTIONAL"}, want: "its requests differ: field a.Q.kind is one value there, not repeated"},
		{name: "another value", replace: []string{`"ONE" number: 1`, `"ONE" number: 2`}, want: "field a.Q.kind has the value ONE = 2 there, not 1"},
		{name: "another request", replace: []string{`input_type: ".a.Q"`, `input_type: ".a.A"`}, want: "its requests differ: message a.Q is a.A there"},
		{name: "a stream", replace: []string{"server_streaming: false", "server_streaming: true"}, want: "its answers are a stream, not one message"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := contract.Same(have, methodOf(t, tc.replace...))
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}
