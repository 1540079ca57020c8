package contract_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

// FuzzImage looks at all descriptors of an image that was taken: they are made when they
// are looked at, by a builder that panics at what is wrong with a file.
func FuzzImage(f *testing.F) {
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{file("c.proto", commented)}}
	data, err := proto.Marshal(set)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"file": [{"name": "c.proto", ` + commented[1:] + `]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := contract.ParseImage("fuzz", data)
		if err != nil {
			return
		}
		comments := set.Comments()
		set.Files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
			protodesc.ToFileDescriptorProto(file)
			for i := range file.Messages().Len() {
				lookAt(file.Messages().Get(i), comments)
			}
			for i := range file.Enums().Len() {
				comments.Leading(file.Enums().Get(i))
			}
			return true
		})
		for name := range set.Methods() {
			m := set.Method(name)
			if m == nil {
				t.Fatalf("%s is listed and not found", name)
			}
			comments.Leading(m)
			if m.Input().IsPlaceholder() || m.Output().IsPlaceholder() {
				t.Errorf("%s has messages that are not in the set", name)
			}
		}
	})
}

func lookAt(md protoreflect.MessageDescriptor, comments *contract.Comments) {
	comments.Leading(md)
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		comments.Leading(fd)
		_, _, _ = fd.Default(), fd.JSONName(), fd.ContainingOneof()
		if fd.Message() != nil {
			_ = fd.Message().Fields().Len()
		}
		if fd.Enum() != nil {
			_ = fd.Enum().Values().Len()
		}
	}
	for i := range md.Messages().Len() {
		lookAt(md.Messages().Get(i), comments)
	}
}
