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

	services    []service // by full name
	messageSets map[protoreflect.FullName]bool
	raw         rawFiles // nothing if linkedIn
	comments    packed
	sharedNames bool // see SharesJSONNames
	linkedIn    bool // the descriptors are those of Go code
}

// service is a service with the names of its methods, which are known before its
// descriptor is looked at.
type service struct {
	name    protoreflect.FullName
	methods []protoreflect.FullName
}

// Linked is the set of all contracts that are linked into this binary, but for
// the services of control planes and of clouds, which come with grpc-go's xDS
// client.
func Linked() (*Set, error) {
	s := &Set{linkedIn: true, sharedNames: true}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		s.addServices(file)
		return true
	})
	s.services = slices.DeleteFunc(s.services, func(d service) bool {
		return slices.ContainsFunc([]string{"envoy.", "xds.", "grpc.lookup.", "grpc.gcp."}, func(prefix string) bool {
			return strings.HasPrefix(string(d.name), prefix)
		})
	})
	s.complete(protoregistry.GlobalFiles)
	return s, nil
}

func (s *Set) addServices(file protoreflect.FileDescriptor) {
	for i := range file.Services().Len() {
		d := file.Services().Get(i)
		methods := make([]protoreflect.FullName, 0, d.Methods().Len())
		for j := range d.Methods().Len() {
			methods = append(methods, cloneName(d.Methods().Get(j).FullName()))
		}
		s.services = append(s.services, service{cloneName(d.FullName()), methods})
	}
}

// settle ends the making of a set of files that were checked: it makes their
// descriptors, and copies what was noted on the way, so that it stands together in
// memory.
func (s *Set) settle() {
	s.raw, s.comments = s.raw.together(), s.comments.finish()
	for i, one := range s.services {
		methods := make([]protoreflect.FullName, 0, len(one.methods))
		for _, name := range one.methods {
			methods = append(methods, cloneName(name))
		}
		s.services[i] = service{cloneName(one.name), methods}
	}
	s.complete(s.raw.register().Files)
}

// cloneName copies a name: those of a file's descriptors are parts of one text.
func cloneName(name protoreflect.FullName) protoreflect.FullName {
	return protoreflect.FullName(strings.Clone(string(name)))
}

// complete ends the making of a set, whose services were added.
func (s *Set) complete(files *protoregistry.Files) {
	s.Files, s.Types = files, dynamicpb.NewTypes(files)
	slices.SortFunc(s.services, func(a, b service) int { return cmp.Compare(a.name, b.name) })
}

// Scratch returns the same set with descriptors of its own, for who looks at many of
// them and then lets go of them: what has been looked at stays in memory as long as its
// set does.
func (s *Set) Scratch() *Set {
	if s.linkedIn {
		return s
	}
	scratch := *s
	scratch.Files = s.raw.register().Files
	scratch.Types = dynamicpb.NewTypes(scratch.Files)
	return &scratch
}

// SharesJSONNames reports whether the set may have a message in which several fields
// ask for the same name in JSON.
func (s *Set) SharesJSONNames() bool { return s.sharedNames }

func shareJSONNames(messages protoreflect.MessageDescriptors) bool {
	for i := range messages.Len() {
		fields := messages.Get(i).Fields()
		for j := range fields.Len() {
			if f := fields.Get(j); fields.ByJSONName(f.JSONName()) != f {
				return true
			}
		}
		if shareJSONNames(messages.Get(i).Messages()) {
			return true
		}
	}
	return false
}

// Sum is a hash of all descriptors: two sets with the same sum are the same. Those that
// are linked in have none.
func (s *Set) Sum() string {
	files := make(map[string][]byte, len(s.raw))
	for _, wire := range s.raw {
		name, _ := headOf(wire)
		files[name] = wire
	}
	hash := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		_ = binary.Write(hash, binary.BigEndian, int64(len(files[name]))) // a hash takes all
		_, _ = hash.Write(files[name])
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// Services yields the names of the services, sorted, with those of their RPCs in the
// order of the contract.
func (s *Set) Services() iter.Seq2[protoreflect.FullName, []protoreflect.FullName] {
	return func(yield func(protoreflect.FullName, []protoreflect.FullName) bool) {
		for _, one := range s.services {
			if !yield(one.name, one.methods) {
				return
			}
		}
	}
}

// Methods yields the names of the RPCs, service by service, in the order of the
// contract.
func (s *Set) Methods() iter.Seq[protoreflect.FullName] {
	return func(yield func(protoreflect.FullName) bool) {
		for _, one := range s.services {
			for _, name := range one.methods {
				if !yield(name) {
					return
				}
			}
		}
	}
}

// Has reports whether the set has an RPC of a full name.
func (s *Set) Has(name protoreflect.FullName) bool {
	i, found := slices.BinarySearchFunc(s.services, name.Parent(), func(one service, want protoreflect.FullName) int {
		return cmp.Compare(one.name, want)
	})
	return found && slices.Contains(s.services[i].methods, name)
}

// Method finds an RPC by its full name, as in
// "shop.catalog.v1.CatalogService.GetProduct"; nil if the set has none such.
func (s *Set) Method(name protoreflect.FullName) protoreflect.MethodDescriptor {
	if !s.Has(name) {
		return nil
	}
	d, err := s.Files.FindDescriptorByName(name)
	if err != nil {
		return nil
	}
	m, _ := d.(protoreflect.MethodDescriptor)
	return m
}
