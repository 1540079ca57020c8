package contract_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

const commented = `{"package": "c", "syntax": "proto2",
	"messageType": [
		{"name": "M", "field": [
			{"name": "f", "number": 1, "label": "LABEL_OPTIONAL", "type": "TYPE_STRING", "oneofIndex": 0},
			{"name": "g", "number": 2, "label": "LABEL_OPTIONAL", "type": "TYPE_ENUM", "typeName": ".c.M.E", "defaultValue": "B"}],
		 "oneofDecl": [{"name": "o"}], "extensionRange": [{"start": 100, "end": 200}],
		 "nestedType": [{"name": "N"}], "enumType": [{"name": "E", "value": [{"name": "A", "number": 1}, {"name": "B", "number": 2}]}],
		 "extension": [{"name": "x", "number": 100, "label": "LABEL_OPTIONAL", "type": "TYPE_STRING", "extendee": ".c.M"}]}],
	"enumType": [{"name": "F", "value": [{"name": "Z", "number": 0}]}],
	"extension": [{"name": "y", "number": 101, "label": "LABEL_OPTIONAL", "type": "TYPE_MESSAGE", "typeName": ".c.M.N", "extendee": ".c.M"}],
	"service": [{"name": "S", "method": [{"name": "R", "inputType": ".c.M", "outputType": ".c.M.N"}]}]}`

func TestComments(t *testing.T) {
	f := file("c.proto", commented)
	comments := map[protoreflect.FullName][]int32{
		"c.M": {4, 0}, "c.M.f": {4, 0, 2, 0}, "c.M.o": {4, 0, 8, 0}, "c.M.N": {4, 0, 3, 0}, "c.M.E": {4, 0, 4, 0}, "c.M.B": {4, 0, 4, 0, 2, 1},
		"c.M.x": {4, 0, 6, 0}, "c.F": {5, 0}, "c.Z": {5, 0, 2, 0}, "c.y": {7, 0}, "c.S": {6, 0}, "c.S.R": {6, 0, 2, 0},
	}
	f.SourceCodeInfo = &descriptorpb.SourceCodeInfo{Location: []*descriptorpb.SourceCodeInfo_Location{
		{Path: []int32{4, 0, 2, 1}, Span: []int32{1, 2, 3}, LeadingDetachedComments: []string{"elsewhere"}},
		{Path: []int32{4, 0, 2, 1, 5}, Span: []int32{1, 2, 3}, LeadingComments: new("of a part of the field")},
	}}
	for name, path := range comments {
		f.SourceCodeInfo.Location = append(f.SourceCodeInfo.Location, &descriptorpb.SourceCodeInfo_Location{
			Path: path, Span: []int32{1, 2, 3}, LeadingComments: new(" about " + string(name) + "\n"),
		})
	}
	set, err := contract.Image(write(t, "c.binpb", binary(t, &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{f, file("bare.proto", `{"package": "bare", "messageType": [{"name": "M"}]}`)}})))
	if err != nil {
		t.Fatal(err)
	}
	found := set.Comments()
	find := func(name protoreflect.FullName) protoreflect.Descriptor {
		d, err := set.Files.FindDescriptorByName(name)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for name := range comments {
		if got, want := found.Leading(find(name)), " about "+string(name)+"\n"; got != want {
			t.Errorf("the comment of %s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []protoreflect.FullName{"c.M.g", "c.M.A", "bare.M"} {
		if got := found.Leading(find(name)); got != "" {
			t.Errorf("the comment of %s is %q, want none", name, got)
		}
	}
	if got := found.Leading(find("c.M").ParentFile()); got != "" {
		t.Errorf("the comment of the file is %q, want none", got)
	}
}

// TestManyComments reads comments that stand in several compressed blocks, some of which
// hold those of several files.
func TestManyComments(t *testing.T) {
	set := new(descriptorpb.FileDescriptorSet)
	comments := map[protoreflect.FullName]string{}
	for i := range 40 {
		name := fmt.Sprintf("p%d", i)
		f := file(name+".proto", fmt.Sprintf(`{"package": %q, "messageType": [{"name": "M"}, {"name": "N"}]}`, name))
		for j, message := range []string{"M", "N"} {
			full := protoreflect.FullName(name + "." + message)
			comments[full] = string(full) + strings.Repeat(" and more", 100*i*(1-j))
			f.SourceCodeInfo = &descriptorpb.SourceCodeInfo{Location: append(f.GetSourceCodeInfo().GetLocation(),
				&descriptorpb.SourceCodeInfo_Location{Path: []int32{4, int32(j)}, LeadingComments: new(comments[full])})}
		}
		set.File = append(set.File, f)
	}
	contracts, err := contract.Image(write(t, "many.binpb", binary(t, set)))
	if err != nil {
		t.Fatal(err)
	}
	found := contracts.Comments()
	for name, want := range comments {
		d, err := contracts.Files.FindDescriptorByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := found.Leading(d); got != want {
			t.Errorf("the comment of %s has %d bytes, want %d: %.40q", name, len(got), len(want), got)
		}
	}
}

// TestDescriptors compares descriptors, which are made when they are looked at, with
// those that protodesc makes of the same files.
func TestDescriptors(t *testing.T) {
	given := []*descriptorpb.FileDescriptorProto{file("c.proto", commented)}
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		given = append(given, protodesc.ToFileDescriptorProto(f))
		return true
	})
	want, err := protodesc.NewFiles(&descriptorpb.FileDescriptorSet{File: given})
	if err != nil {
		t.Fatal(err)
	}
	set, err := contract.Image(write(t, "all.binpb", binary(t, &descriptorpb.FileDescriptorSet{File: given})))
	if err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]*protoregistry.Files{"set": set.Files, "scratch": set.Scratch().Files} {
		if files.NumFiles() != len(given) {
			t.Errorf("%s: %d files, want %d", name, files.NumFiles(), len(given))
		}
		files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
			wanted, err := want.FindFileByPath(f.Path())
			if err != nil {
				t.Fatal(err)
			}
			// Through the wire, so that options are equal whatever they are read as.
			a, b := new(descriptorpb.FileDescriptorProto), new(descriptorpb.FileDescriptorProto)
			for to, from := range map[*descriptorpb.FileDescriptorProto]protoreflect.FileDescriptor{a: f, b: wanted} {
				if err := proto.Unmarshal(binary(t, protodesc.ToFileDescriptorProto(from)), to); err != nil {
					t.Fatal(err)
				}
			}
			if !proto.Equal(a, b) {
				t.Errorf("%s: %s is not what it is when protodesc makes it:\n%v\n%v", name, f.Path(), a, b)
			}
			return true
		})
	}
}

// TestRelativeNames reads a file that refers to types as no compiler does.
func TestRelativeNames(t *testing.T) {
	f := file("r.proto", `{"package": "r.s", "syntax": "proto3", "messageType": [{"name": "M", "field": [
		{"name": "m", "number": 1, "label": "LABEL_OPTIONAL", "typeName": "M"}]}],
		"service": [{"name": "S", "method": [{"name": "R", "inputType": "M", "outputType": "s.M"}]}]}`)
	set, err := contract.Image(write(t, "r.binpb", binary(t, &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{f}})))
	if err != nil {
		t.Fatal(err)
	}
	m := set.Method("r.s.S.R")
	if m.Input() != m.Output() || m.Input().Fields().Get(0).Message() != m.Input() {
		t.Errorf("%v -> %v, with the field %v", m.Input().FullName(), m.Output().FullName(), m.Input().Fields().Get(0))
	}
}
