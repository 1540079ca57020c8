package transcode_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

const sharedNamesSchema = `
message Event
  optional string event_type 1
  optional string eventType 2
  optional int32 other_field 3
message Plain
  optional string event_type 1
`

// TestFieldsOfOneJSONName: in proto2 two fields may have one name in JSON. Both
// keep their proto names there, in documents and in queries, so that nothing is
// lost on the way.
func TestFieldsOfOneJSONName(t *testing.T) {
	s := newSchema(t, "proto2", sharedNamesSchema)
	md := s.message(t, "Event")
	c := transcode.NewCompiler(transcode.Options{}, s.types)
	enc, err := c.Encoder(md)
	if err != nil {
		t.Fatal(err)
	}
	m := dynamicpb.NewMessage(md)
	if err := prototext.Unmarshal([]byte(`event_type: "a" eventType: "b" other_field: 1`), m); err != nil {
		t.Fatal(err)
	}
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(m) // else dynamicpb writes fields in any order
	if err != nil {
		t.Fatal(err)
	}
	const doc = `{"event_type":"a","eventType":"b","otherField":1}`
	if got, err := enc.Append(nil, wire); err != nil || string(got) != doc {
		t.Errorf("encoded: %s, %v; want %s", got, err, doc)
	}
	for name, in := range map[string]*call.Input{
		"body":  body(doc),
		"query": {RawQuery: "event_type=a&eventType=b&otherField=1"},
	} {
		rule := &contract.Binding{Verb: "POST", Template: vars()}
		if name == "body" {
			rule.Body = "*"
		}
		b, err := c.Bind(md, md, rule)
		if err != nil {
			t.Fatal(err)
		}
		got := dynamicpb.NewMessage(md)
		if data, err := b.AppendRequest(nil, in); err != nil || proto.Unmarshal(data, got) != nil || !proto.Equal(got, m) {
			t.Errorf("%s: got %v, %v; want %v", name, got, err, m)
		}
	}
	if name, fields := transcode.SharedJSONName(md); name != "eventType" || !slices.Equal(fields, []string{"event_type", "eventType"}) {
		t.Errorf("shared: %q of %q", name, fields)
	}
	if name, fields := transcode.SharedJSONName(s.message(t, "Plain")); name != "" || fields != nil {
		t.Errorf("shared in Plain: %q of %q", name, fields)
	}
}
