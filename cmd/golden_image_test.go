package cmd_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	// Contracts that the images have beside those of gatewaytest.
	_ "github.com/gatehouse-dev/gatehouse/gen/shop/pages/v1"
)

// shopImage is the contract of the shop with all that it imports.
func shopImage(t *testing.T) *descriptorpb.FileDescriptorSet {
	t.Helper()
	set, seen := new(descriptorpb.FileDescriptorSet), map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	var files []protoreflect.FileDescriptor
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(string(file.Package()), "shop.") {
			files = append(files, file)
		}
		return true
	})
	slices.SortFunc(files, func(a, b protoreflect.FileDescriptor) int { return strings.Compare(a.Path(), b.Path()) })
	for _, file := range files {
		add(file)
	}
	return set
}

func wire(t *testing.T, set *descriptorpb.FileDescriptorSet) []byte {
	t.Helper()
	data, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// message finds a message of an image by its full name.
func message(set *descriptorpb.FileDescriptorSet, name string) *descriptorpb.DescriptorProto {
	for _, file := range set.GetFile() {
		for _, m := range file.GetMessageType() {
			if file.GetPackage()+"."+m.GetName() == name {
				return m
			}
		}
	}
	panic("no message " + name)
}

// service finds a service of an image by its full name.
func service(set *descriptorpb.FileDescriptorSet, name string) *descriptorpb.ServiceDescriptorProto {
	for _, file := range set.GetFile() {
		for _, s := range file.GetService() {
			if file.GetPackage()+"."+s.GetName() == name {
				return s
			}
		}
	}
	panic("no service " + name)
}

// field finds a field of a message by its name.
func field(m *descriptorpb.DescriptorProto, name string) *descriptorpb.FieldDescriptorProto {
	i := slices.IndexFunc(m.GetField(), func(f *descriptorpb.FieldDescriptorProto) bool { return f.GetName() == name })
	return m.GetField()[i]
}

// rpc finds an RPC of a service by its name.
func rpc(s *descriptorpb.ServiceDescriptorProto, name string) *descriptorpb.MethodDescriptorProto {
	i := slices.IndexFunc(s.GetMethod(), func(m *descriptorpb.MethodDescriptorProto) bool { return m.GetName() == name })
	return s.GetMethod()[i]
}

// drop takes an RPC out of a service.
func drop(s *descriptorpb.ServiceDescriptorProto, name string) {
	s.Method = slices.DeleteFunc(s.GetMethod(), func(m *descriptorpb.MethodDescriptorProto) bool { return m.GetName() == name })
}

// addField adds a field that holds a string.
func addField(m *descriptorpb.DescriptorProto, name string, number int32) {
	m.Field = append(m.Field, &descriptorpb.FieldDescriptorProto{
		Name: &name, JsonName: &name, Number: &number,
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
	})
}
