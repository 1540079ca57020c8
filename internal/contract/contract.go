// Package contract is the model of what backends promise: a [Set] of descriptors that
// are linked into the binary ([Linked]), come from a file ([ParseImage]) or from the
// upstream itself ([Reflect]); in it the [Method]s, and the [Binding]s by which HTTP shows
// them. [Breaking] compares two contracts.
package contract

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
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

	services    []protoreflect.ServiceDescriptor
	messageSets map[protoreflect.FullName]bool
	linkedIn    bool // the descriptors are those of Go code
}

// Linked is the set of all contracts that are linked into this binary, but for
// the services of control planes and of clouds, which come with grpc-go's xDS
// client.
func Linked() (*Set, error) {
	s := newSet(protoregistry.GlobalFiles)
	s.linkedIn = true
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

// Sum is a hash of all descriptors: two sets with the same sum are the same.
func (s *Set) Sum() string {
	paths := map[string]protoreflect.FileDescriptor{}
	s.Files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		paths[file.Path()] = file
		return true
	})
	hash := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		// A message that was made of a descriptor can be written.
		data, _ := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(protodesc.ToFileDescriptorProto(paths[path]))
		_ = binary.Write(hash, binary.BigEndian, int64(len(data))) // a hash takes all
		_, _ = hash.Write(data)
	}
	return hex.EncodeToString(hash.Sum(nil))
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
