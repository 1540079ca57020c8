package docs_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const libraryProto = `
syntax = "proto3";

package library.v1;

import "google/api/annotations.proto";

option go_package = "example.com/library/gen/library/v1;libraryv1";

service LibraryService {
  rpc GetBook(GetBookRequest) returns (Book) {
    option (google.api.http) = {get: "/v1/{name=books/*}"};
  }
}

message GetBookRequest {
  string name = 1;
}

message Book {
  string name = 1;
  string title = 2;
}
`

const libraryFile = "library/v1/library.proto"

// library is a contract such as a reader of the README has.
type library struct {
	set   *descriptorpb.FileDescriptorSet // with its imports
	files *protoregistry.Files
}

func newLibrary(t *testing.T) *library {
	t.Helper()
	_ = annotations.E_Http // links google/api/annotations.proto in
	linked := protocompile.ResolverFunc(func(path string) (protocompile.SearchResult, error) {
		fd, err := protoregistry.GlobalFiles.FindFileByPath(path)
		return protocompile.SearchResult{Desc: fd}, err
	})
	source := &protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(map[string]string{libraryFile: libraryProto})}
	compiler := protocompile.Compiler{Resolver: protocompile.CompositeResolver{source, linked}}
	compiled, err := compiler.Compile(t.Context(), libraryFile)
	if err != nil {
		t.Fatal(err)
	}
	l := &library{set: &descriptorpb.FileDescriptorSet{}}
	l.add(compiled[0], map[string]bool{})
	if l.files, err = protodesc.NewFiles(l.set); err != nil {
		t.Fatal(err)
	}
	return l
}

// add adds a file after its imports.
func (l *library) add(fd protoreflect.FileDescriptor, done map[string]bool) {
	if done[fd.Path()] {
		return
	}
	done[fd.Path()] = true
	for i := range fd.Imports().Len() {
		l.add(fd.Imports().Get(i).FileDescriptor, done)
	}
	l.set.File = append(l.set.File, protodesc.ToFileDescriptorProto(fd))
}

// writeImage writes what `buf build -o` would.
func (l *library) writeImage(t *testing.T, file string) {
	t.Helper()
	image, err := proto.Marshal(l.set)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, string(image))
}

// writeGo writes what protoc-gen-go makes of the contract below dir.
func (l *library) writeGo(t *testing.T, dir string) {
	t.Helper()
	plugin, err := protogen.Options{}.New(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{libraryFile},
		Parameter:      new("paths=source_relative"),
		ProtoFile:      l.set.GetFile(),
	})
	if err != nil {
		t.Fatal(err)
	}
	internal_gengo.GenerateFile(plugin, plugin.FilesByPath[libraryFile])
	for _, f := range plugin.Response().GetFile() {
		write(t, filepath.Join(dir, f.GetName()), f.GetContent())
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// message makes an empty message of the contract.
func (l *library) message(t *testing.T, name protoreflect.FullName) *dynamicpb.Message {
	t.Helper()
	d, err := l.files.FindDescriptorByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return dynamicpb.NewMessage(d.(protoreflect.MessageDescriptor))
}

// GetServiceInfo serves reflection.
func (l *library) GetServiceInfo() map[string]grpc.ServiceInfo {
	return map[string]grpc.ServiceInfo{"library.v1.LibraryService": {}}
}

// serve runs a server of the contract and returns its address. Every book is
// titled after its name.
func (l *library) serve(t *testing.T) string {
	t.Helper()
	handler := func(_ any, stream grpc.ServerStream) error {
		request, book := l.message(t, "library.v1.GetBookRequest"), l.message(t, "library.v1.Book")
		if err := stream.RecvMsg(request); err != nil {
			return err
		}
		name := request.Get(request.Descriptor().Fields().ByName("name"))
		book.Set(book.Descriptor().Fields().ByName("name"), name)
		book.Set(book.Descriptor().Fields().ByName("title"), protoreflect.ValueOfString(title(name.String())))
		return stream.SendMsg(book)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(handler))
	reflectionv1.RegisterServerReflectionServer(server, reflection.NewServerV1(reflection.ServerOptions{Services: l, DescriptorResolver: l.files}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func title(name string) string {
	return fmt.Sprintf("On %s", strings.TrimPrefix(name, "books/"))
}
