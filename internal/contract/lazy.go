package contract

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/runtime/protoimpl"
	"google.golang.org/protobuf/types/descriptorpb"
)

// rawFiles are checked files on the wire, each behind its imports.
type rawFiles [][]byte

func (r rawFiles) size() (bytes int) {
	for _, wire := range r {
		bytes += len(wire)
	}
	return bytes
}

// together returns the files in memory of their own, one behind the other.
func (r rawFiles) together() rawFiles {
	all, own := make([]byte, 0, r.size()), make(rawFiles, 0, len(r))
	for _, wire := range r {
		begin := len(all)
		all = append(all, wire...)
		own = append(own, all[begin:len(all):len(all)])
	}
	return own
}

// register makes descriptors of all files anew.
func (r rawFiles) register() *fileRegistry {
	files := newRegistry()
	for _, wire := range r {
		_ = files.add(wire, false) // was added before
	}
	return files
}

// fileRegistry holds the files of a set. Most of a large contract is never looked at,
// and descriptors take twelve times the room of their bytes. So a file is kept as its
// bytes, in which the names of its messages and services are known; the rest is made,
// for the whole file, when somebody looks at a field or a method. That is how the
// descriptors of generated code are made, by the same part of the protobuf module.
// protodesc makes them all at once.
type fileRegistry struct {
	*protoregistry.Files
	public   map[string]bool // files that import others publicly, by path
	isPublic bool            // whether the next file does
	err      error           // of the last registration
}

func newRegistry() *fileRegistry {
	return &fileRegistry{Files: new(protoregistry.Files), public: map[string]bool{}}
}

// RegisterFile registers a file. The builder of files panics at an error, which is
// thus kept for add.
func (r *fileRegistry) RegisterFile(file protoreflect.FileDescriptor) error {
	if r.err = r.Files.RegisterFile(file); r.err == nil && r.isPublic {
		r.public[file.Path()] = true
	}
	return nil
}

// unresolved are the types of options to descriptors that are made when they are
// looked at: none, so that extensions stay bytes. See [Option].
var unresolved = new(protoregistry.Types)

// add registers a file that was checked. The builder relies on that: it takes what is
// wrong with a file for a mistake of a compiler, and panics.
func (r *fileRegistry) add(wire []byte, public bool) error {
	r.isPublic = public
	protoimpl.DescBuilder{RawDescriptor: wire, TypeResolver: unresolved, FileRegistry: r}.Build()
	return r.err
}

// registryOfChecks is the registry for a file that is checked: of the imports of its
// imports it shows only those that count, so that these stay unmade.
type registryOfChecks struct{ *fileRegistry }

// FindFileByPath finds a file that others may import.
func (r registryOfChecks) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	file, err := r.Files.FindFileByPath(path)
	if err != nil || r.public[path] {
		return file, err
	}
	return withoutImports{file}, nil
}

type withoutImports struct{ protoreflect.FileDescriptor }

func (withoutImports) Imports() protoreflect.FileImports { return noImports{} }

type noImports struct{ protoreflect.FileImports }

func (noImports) Len() int { return 0 }

// isResolved reports whether the file refers to types as compilers do: by their full
// names behind a dot, and with their kind.
func isResolved(file *descriptorpb.FileDescriptorProto) bool {
	for _, s := range file.GetService() {
		for _, m := range s.GetMethod() {
			if !isFull(m.GetInputType()) || !isFull(m.GetOutputType()) {
				return false
			}
		}
	}
	return areResolved(file.GetExtension()) && haveResolved(file.GetMessageType())
}

func haveResolved(messages []*descriptorpb.DescriptorProto) bool {
	for _, m := range messages {
		if !areResolved(m.GetField()) || !areResolved(m.GetExtension()) || !haveResolved(m.GetNestedType()) {
			return false
		}
	}
	return true
}

func areResolved(fields []*descriptorpb.FieldDescriptorProto) bool {
	for _, f := range fields {
		if f.Type == nil || f.TypeName != nil && !isFull(f.GetTypeName()) || f.Extendee != nil && !isFull(f.GetExtendee()) {
			return false
		}
	}
	return true
}

func isFull(name string) bool { return strings.HasPrefix(name, ".") }
