// Package schema finds out what an upstream's contract is: descriptors that
// are linked into the binary ([Linked]), that stand in a file ([Image]), or
// that the upstream itself tells ([Reflect]). [HTTPRule] and [Option] read the
// options on them, whichever way they came.
package schema

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Set is a closed set of descriptors: all that its files refer to is in it. It
// is immutable and safe for concurrent use.
type Set struct {
	// Files are the descriptors.
	Files *protoregistry.Files
	// Types makes messages and extensions of them, for Any and for extension
	// fields.
	Types *dynamicpb.Types

	services []protoreflect.ServiceDescriptor
}

// Linked is the set of all contracts that are linked into this binary, but for
// the services of control planes and of clouds, which come with grpc-go's xDS
// client.
func Linked() (*Set, error) {
	s := newSet(protoregistry.GlobalFiles)
	s.services = slices.DeleteFunc(s.services, func(d protoreflect.ServiceDescriptor) bool {
		return slices.ContainsFunc([]string{"envoy.", "xds.", "grpc.lookup.", "grpc.gcp."}, func(prefix string) bool {
			return strings.HasPrefix(string(d.FullName()), prefix)
		})
	})
	return s, nil
}

func newSet(files *protoregistry.Files) *Set {
	s := &Set{Files: files, Types: dynamicpb.NewTypes(files)}
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			s.services = append(s.services, file.Services().Get(i))
		}
		return true
	})
	slices.SortFunc(s.services, func(a, b protoreflect.ServiceDescriptor) int {
		return cmp.Compare(a.FullName(), b.FullName())
	})
	return s
}

// Services yields the services by full name.
func (s *Set) Services() iter.Seq[protoreflect.ServiceDescriptor] {
	return slices.Values(s.services)
}

// Methods yields the RPCs, service by service, in the order of the contract.
func (s *Set) Methods() iter.Seq[protoreflect.MethodDescriptor] {
	return func(yield func(protoreflect.MethodDescriptor) bool) {
		for _, service := range s.services {
			for i := range service.Methods().Len() {
				if !yield(service.Methods().Get(i)) {
					return
				}
			}
		}
	}
}

// Method finds an RPC by its full name, as in
// "shop.catalog.v1.CatalogService.GetProduct"; nil if the set has none such.
func (s *Set) Method(name protoreflect.FullName) protoreflect.MethodDescriptor {
	i, found := slices.BinarySearchFunc(s.services, name.Parent(), func(d protoreflect.ServiceDescriptor, want protoreflect.FullName) int {
		return cmp.Compare(d.FullName(), want)
	})
	if !found {
		return nil
	}
	return s.services[i].Methods().ByName(name.Name())
}
