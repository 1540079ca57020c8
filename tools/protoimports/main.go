// Command protoimports writes the .proto files that the contracts import, and
// that this repository does not own, into a folder:
//
//	protoimports DIR GO.MOD
//
// The text is printed from the descriptors that Go modules link in, so that an
// import is pinned where every other dependency is and nothing is copied into
// the tree. The modules those descriptors come from must have the same version
// here and in GO.MOD, the product's; otherwise contract and binary would
// disagree about what an option means, and the command fails.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	openapi_v3 "github.com/google/gnostic-models/openapiv3"
	"github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2/options"
	"github.com/jhump/protoreflect/v2/protoprint"
	"golang.org/x/mod/modfile"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// modules are those whose descriptors are printed, and the one that prints
// generated code for them.
var modules = []string{
	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go",
	"github.com/grpc-ecosystem/grpc-gateway/v2",
	"google.golang.org/genproto",
	"google.golang.org/genproto/googleapis/api",
	"google.golang.org/genproto/googleapis/rpc",
	"google.golang.org/protobuf",
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: protoimports DIR GO.MOD")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "protoimports:", err)
		os.Exit(1)
	}
}

func run(dir, gomod string) error {
	if err := checkVersions(gomod); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	printer := protoprint.Printer{}
	for _, file := range withImports(roots()) {
		if err := write(&printer, dir, file); err != nil {
			return fmt.Errorf("%s: %w", file.Path(), err)
		}
	}
	return nil
}

// roots are the files that a contract of ours may import.
func roots() []protoreflect.FileDescriptor {
	return []protoreflect.FileDescriptor{
		annotations.File_google_api_annotations_proto,
		annotations.File_google_api_client_proto,
		annotations.File_google_api_field_behavior_proto,
		annotations.File_google_api_resource_proto,
		errdetails.File_google_rpc_error_details_proto,
		httpbody.File_google_api_httpbody_proto,
		money.File_google_type_money_proto,
		openapi_v3.File_openapiv3_annotations_proto,
		options.File_protoc_gen_openapiv2_options_annotations_proto,
		status.File_google_rpc_status_proto,
		validate.File_buf_validate_validate_proto,
	}
}

// withImports adds whatever the files import, transitively, but for
// google/protobuf, which every compiler brings along.
func withImports(files []protoreflect.FileDescriptor) []protoreflect.FileDescriptor {
	var all []protoreflect.FileDescriptor
	seen := map[string]bool{}
	var visit func(protoreflect.FileDescriptor)
	visit = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] || strings.HasPrefix(file.Path(), "google/protobuf/") {
			return
		}
		seen[file.Path()] = true
		all = append(all, file)
		for i := range file.Imports().Len() {
			visit(file.Imports().Get(i).FileDescriptor)
		}
	}
	for _, file := range files {
		visit(file)
	}
	return all
}

func write(printer *protoprint.Printer, dir string, file protoreflect.FileDescriptor) (err error) {
	path := filepath.Join(dir, filepath.FromSlash(file.Path()))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	return printer.PrintProtoFile(file, out)
}

// checkVersions compares the modules linked into this program with those that
// the go.mod at path requires. All differences are told at once.
func checkVersions(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	product, err := modfile.Parse(path, data, nil)
	if err != nil {
		return err
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("built without module information")
	}
	var problems []error
	for _, module := range modules {
		linked, wanted := linkedVersion(info, module), requiredVersion(product, module)
		if wanted != "" && linked != wanted {
			problems = append(problems, fmt.Errorf(
				"%s is %s here and %s in %s: run go -C tools get %s@%s",
				module, linked, wanted, path, module, wanted))
		}
	}
	return errors.Join(problems...)
}

func linkedVersion(info *debug.BuildInfo, module string) string {
	i := slices.IndexFunc(info.Deps, func(m *debug.Module) bool { return m.Path == module })
	if i < 0 {
		return "missing"
	}
	return info.Deps[i].Version
}

func requiredVersion(file *modfile.File, module string) string {
	i := slices.IndexFunc(file.Require, func(r *modfile.Require) bool { return r.Mod.Path == module })
	if i < 0 {
		return ""
	}
	return file.Require[i].Mod.Version
}
