// Package e2e runs Gatehouse as its users do, processes with a configuration
// file: one in front of a backend that nobody here wrote, etcd; and several that
// share a Redis.
package e2e

import (
	"fmt"
	"os"
	pathpkg "path"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// WriteImage writes etcd's contract to a file, as `buf build` would: the
// descriptors linked in by etcd's own modules, which carry google.api.http,
// each behind the files that it imports.
func WriteImage(path string) error {
	set := new(descriptorpb.FileDescriptorSet)
	seen := map[string]bool{}
	for _, top := range []struct {
		path string
		file protoreflect.FileDescriptor
	}{
		{"etcd/api/etcdserverpb/rpc.proto", etcdserverpb.File_rpc_proto},
		{"v3lock.proto", v3lockpb.File_v3lock_proto},
		{"v3election.proto", v3electionpb.File_v3election_proto},
	} {
		if err := collect(top.path, top.file, set, seen); err != nil {
			return err
		}
	}
	data, err := proto.Marshal(set)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// collect appends a file under the given path behind what it imports.
//
// The generated code of etcd's kv.proto, auth.proto, version.proto and
// rpc.proto is registered under these bare names, but the files import one
// another by full paths, such as etcd/api/mvccpb/kv.proto: linked in, such an
// import leads nowhere. Here each such file gets the name that it is imported by.
func collect(path string, file protoreflect.FileDescriptor, set *descriptorpb.FileDescriptorSet, seen map[string]bool) error {
	if file.IsPlaceholder() {
		linked, err := protoregistry.GlobalFiles.FindFileByPath(pathpkg.Base(path))
		if err != nil {
			return fmt.Errorf("import %q: %w", path, err)
		}
		file = linked
	}
	if seen[path] {
		return nil
	}
	seen[path] = true
	for i := range file.Imports().Len() {
		imported := file.Imports().Get(i).FileDescriptor
		if err := collect(imported.Path(), imported, set, seen); err != nil {
			return err
		}
	}
	linked := protodesc.ToFileDescriptorProto(file)
	linked.Name = new(path)
	set.File = append(set.File, linked)
	return nil
}
