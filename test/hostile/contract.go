package hostile

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	_ "google.golang.org/genproto/googleapis/api/annotations" // so that it is linked in for imports
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

const (
	protoName = "thing.proto"
	// Service is the service that each gateway under attack serves.
	Service = "hostile.v1.Things"
	// Pages is the service whose answers are composed.
	Pages = "hostile.v1.Pages"
)

//go:embed thing.proto
var protoSource string

// image returns the contract and its imports as a FileDescriptorSet.
func image() ([]byte, error) {
	c := protocompile.Compiler{Resolver: protocompile.CompositeResolver{
		&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(map[string]string{protoName: protoSource})},
		protocompile.ResolverFunc(linked),
	}}
	files, err := c.Compile(context.Background(), protoName)
	if err != nil {
		return nil, fmt.Errorf("compile the contract: %w", err)
	}
	set := new(descriptorpb.FileDescriptorSet)
	collect(files[0], set, map[string]bool{})
	return proto.Marshal(set)
}

// linked finds an import among the contracts that Go modules link in.
func linked(path string) (protocompile.SearchResult, error) {
	file, err := protoregistry.GlobalFiles.FindFileByPath(path)
	if err != nil {
		return protocompile.SearchResult{}, err
	}
	return protocompile.SearchResult{Desc: file}, nil
}

func collect(file protoreflect.FileDescriptor, set *descriptorpb.FileDescriptorSet, seen map[string]bool) {
	if seen[file.Path()] {
		return
	}
	seen[file.Path()] = true
	for i := range file.Imports().Len() {
		collect(file.Imports().Get(i).FileDescriptor, set, seen)
	}
	if file.Path() == protoName {
		set.File = append(set.File, protoutil.ProtoFromFileDescriptor(file))
		return
	}
	set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
}
