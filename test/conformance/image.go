package conformance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// contract is the file of the suite that declares its service.
const contract = "connectrpc/conformance/v1/service.proto"

// WriteImage writes the suite's contract to a file, as `buf build` would. It is
// compiled from the .proto files in the suite's module, because the suite keeps
// its generated types internal and its servers do not serve reflection.
func WriteImage(ctx context.Context, path string) error {
	dir, err := moduleDir(ctx, "connectrpc.com/conformance")
	if err != nil {
		return err
	}
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(
		&protocompile.SourceResolver{ImportPaths: []string{filepath.Join(dir, "proto")}},
	)}
	files, err := compiler.Compile(ctx, contract)
	if err != nil {
		return fmt.Errorf("compile the suite's contract: %w", err)
	}
	set := new(descriptorpb.FileDescriptorSet)
	for _, file := range files {
		collect(file, set, map[string]bool{})
	}
	data, err := proto.Marshal(set)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// collect appends a file behind what it imports.
func collect(file protoreflect.FileDescriptor, set *descriptorpb.FileDescriptorSet, seen map[string]bool) {
	if seen[file.Path()] {
		return
	}
	seen[file.Path()] = true
	for i := range file.Imports().Len() {
		collect(file.Imports().Get(i).FileDescriptor, set, seen)
	}
	set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
}

func moduleDir(ctx context.Context, module string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("find the module %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}
