// Command protoc-gen-options is a plug-in of buf that copies the option files and
// what they import for users: `gatehouse protos` writes these copies. The rules of
// validation are left out, since who declares a policy would need buf/validate to
// compile them.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/jhump/protoreflect/v2/protoprint"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// folders are those that are copied.
var folders = []string{"gatehouse/policy/v1/", "gatehouse/compose/v1/", "google/api/"}

// imports is the field of a file that has its imports, in source locations.
const imports = 3

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "protoc-gen-options:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	wire, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	request := new(pluginpb.CodeGeneratorRequest)
	if err := proto.Unmarshal(wire, request); err != nil {
		return err
	}
	response := &pluginpb.CodeGeneratorResponse{
		SupportedFeatures: new(uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL)),
	}
	if err := copyTo(response, request.GetProtoFile()); err != nil {
		return err
	}
	if wire, err = proto.Marshal(response); err != nil {
		return err
	}
	_, err = out.Write(wire)
	return err
}

func copyTo(response *pluginpb.CodeGeneratorResponse, all []*descriptorpb.FileDescriptorProto) error {
	for _, file := range all {
		strip(file)
	}
	files, err := protodesc.NewFiles(&descriptorpb.FileDescriptorSet{File: all})
	if err != nil {
		return err
	}
	var printer protoprint.Printer
	for _, file := range all {
		if !slices.ContainsFunc(folders, func(f string) bool { return strings.HasPrefix(file.GetName(), f) }) {
			continue
		}
		desc, err := files.FindFileByPath(file.GetName())
		if err != nil {
			return err
		}
		text, err := printer.PrintProtoToString(desc)
		if err != nil {
			return fmt.Errorf("%s: %w", file.GetName(), err)
		}
		response.File = append(response.File, &pluginpb.CodeGeneratorResponse_File{Name: file.Name, Content: &text})
	}
	return nil
}

// strip takes the rules of validation and their import out of a file.
func strip(file *descriptorpb.FileDescriptorProto) {
	path := validate.File_buf_validate_validate_proto.Path()
	if !slices.Contains(file.GetDependency(), path) {
		return
	}
	file.Dependency = slices.DeleteFunc(file.GetDependency(), func(d string) bool { return d == path })
	stripMessage(file.ProtoReflect())
	if info := file.GetSourceCodeInfo(); info != nil { // what is said of imports stands elsewhere now
		info.Location = slices.DeleteFunc(info.GetLocation(), func(l *descriptorpb.SourceCodeInfo_Location) bool {
			return len(l.GetPath()) > 0 && l.GetPath()[0] == imports
		})
	}
}

// stripMessage takes the rules out of m, and leaves no options that are empty.
func stripMessage(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsExtension() && field.ParentFile().Path() == validate.File_buf_validate_validate_proto.Path():
			m.Clear(field)
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for i := range value.List().Len() {
				stripMessage(value.List().Get(i).Message())
			}
		default:
			stripMessage(value.Message())
			if field.Name() == "options" && proto.Size(value.Message().Interface()) == 0 {
				m.Clear(field)
			}
		}
		return true
	})
}
