package contract_test

import (
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

// legacy has MessageSets as protoc describes them: ranges of extensions up to
// 2^31-1, an extension with such a number, and RPCs that reach one directly, by
// a field, in a circle, by an extension, and not at all.
const legacy = `{"package": "old", "syntax": "proto2", "messageType": [
	{"name": "Set", "extensionRange": [{"start": 4, "end": 2147483647}], "options": {"messageSetWireFormat": true}},
	{"name": "High", "extensionRange": [{"start": 600000000, "end": 2147483647}], "options": {"messageSetWireFormat": true}},
	{"name": "Item", "extension": [
		{"name": "low", "number": 5, "label": "LABEL_OPTIONAL", "type": "TYPE_MESSAGE", "typeName": ".old.Item", "extendee": ".old.Set"},
		{"name": "high", "number": 700000000, "label": "LABEL_OPTIONAL", "type": "TYPE_MESSAGE", "typeName": ".old.Item", "extendee": ".old.Set"}]},
	{"name": "Plain", "field": [{"name": "id", "number": 1, "label": "LABEL_OPTIONAL", "type": "TYPE_STRING"}]},
	{"name": "Open", "extensionRange": [{"start": 100, "end": 200}]},
	{"name": "Outer", "nestedType": [{"name": "Inner", "options": {"messageSetWireFormat": true}, "extensionRange": [{"start": 1, "end": 10}]}]},
	{"name": "A", "field": [
		{"name": "b", "number": 1, "label": "LABEL_OPTIONAL", "type": "TYPE_MESSAGE", "typeName": ".old.B"},
		{"name": "inner", "number": 2, "label": "LABEL_REPEATED", "type": "TYPE_MESSAGE", "typeName": ".old.Outer.Inner"}]},
	{"name": "B", "field": [{"name": "a", "number": 1, "label": "LABEL_OPTIONAL", "type": "TYPE_MESSAGE", "typeName": ".old.A"}]}],
	"extension": [{"name": "more", "number": 100, "label": "LABEL_OPTIONAL", "type": "TYPE_MESSAGE", "typeName": ".old.High", "extendee": ".old.Open"}],
	"service": [{"name": "Old", "method": [
		{"name": "Direct", "inputType": ".old.Set", "outputType": ".old.Plain"},
		{"name": "Answer", "inputType": ".old.Plain", "outputType": ".old.A"},
		{"name": "Circle", "inputType": ".old.B", "outputType": ".old.Plain"},
		{"name": "Extended", "inputType": ".old.Plain", "outputType": ".old.Open"},
		{"name": "Fine", "inputType": ".old.Plain", "outputType": ".old.Item"}]}]}`

func TestMessageSets(t *testing.T) {
	f := file("old.proto", legacy)
	set, err := contract.Image(write(t, "old.binpb", binary(t, &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{f}})))
	if err != nil {
		t.Fatal(err)
	}
	methods := descriptors(set)
	got := set.MessageSets(slices.Values(methods))
	want := map[protoreflect.FullName]protoreflect.FullName{
		"old.Old.Direct": "old.Set", "old.Old.Answer": "old.Outer.Inner", "old.Old.Circle": "old.Outer.Inner", "old.Old.Extended": "old.High",
	}
	if !maps.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	if !proto.Equal(f, file("old.proto", legacy)) {
		t.Error("the file that was given has changed")
	}
	// Whatever order they are asked for in.
	slices.Reverse(methods)
	if got := set.MessageSets(slices.Values(methods)); !maps.Equal(got, want) {
		t.Errorf("in the other order %v, want %v", got, want)
	}
}

func TestMessageSetsOfOthers(t *testing.T) {
	set, err := contract.Linked()
	if err != nil {
		t.Fatal(err)
	}
	if got := set.MessageSets(slices.Values(descriptors(set))); len(got) > 0 {
		t.Errorf("found %v where there are none", got)
	}
}

// descriptors are those of all RPCs.
func descriptors(set *contract.Set) (list []protoreflect.MethodDescriptor) {
	for name := range set.Methods() {
		list = append(list, set.Method(name))
	}
	return list
}
