package contract

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// MessageSet (option message_set_wire_format) is a wire format of proto1 that
// the protobuf module does not support: it refuses a whole file for one. So the
// linker describes such a message as an ordinary one and remembers its name, and
// [Set.MessageSets] finds the RPCs that cannot be served because of it.

// withoutMessageSets returns the file with its MessageSets described as ordinary
// messages, and their full names. Extensions whose numbers only a MessageSet can
// have are left out. A file without any is returned as it is.
func withoutMessageSets(file *descriptorpb.FileDescriptorProto) (*descriptorpb.FileDescriptorProto, []protoreflect.FullName) {
	if !declaresMessageSet(file.GetMessageType()) && !extendsMessageSet(file.GetExtension(), file.GetMessageType()) {
		return file, nil
	}
	file = proto.CloneOf(file)
	file.Extension = slices.DeleteFunc(file.GetExtension(), onlyInMessageSet)
	var names []protoreflect.FullName
	var visit func(scope protoreflect.FullName, messages []*descriptorpb.DescriptorProto)
	visit = func(scope protoreflect.FullName, messages []*descriptorpb.DescriptorProto) {
		for _, m := range messages {
			name := protoreflect.FullName(m.GetName())
			if scope != "" {
				name = scope.Append(protoreflect.Name(m.GetName()))
			}
			if m.GetOptions().GetMessageSetWireFormat() {
				names = append(names, name)
				m.Options.MessageSetWireFormat = nil
				boundExtensionRanges(m)
			}
			m.Extension = slices.DeleteFunc(m.GetExtension(), onlyInMessageSet)
			visit(name, m.GetNestedType())
		}
	}
	visit(protoreflect.FullName(file.GetPackage()), file.GetMessageType())
	return file, names
}

func declaresMessageSet(messages []*descriptorpb.DescriptorProto) bool {
	return slices.ContainsFunc(messages, func(m *descriptorpb.DescriptorProto) bool {
		return m.GetOptions().GetMessageSetWireFormat() || declaresMessageSet(m.GetNestedType())
	})
}

func extendsMessageSet(extensions []*descriptorpb.FieldDescriptorProto, messages []*descriptorpb.DescriptorProto) bool {
	return slices.ContainsFunc(extensions, onlyInMessageSet) || slices.ContainsFunc(messages, func(m *descriptorpb.DescriptorProto) bool {
		return extendsMessageSet(m.GetExtension(), m.GetNestedType())
	})
}

// onlyInMessageSet reports whether an extension's number is above those of
// fields. A MessageSet may have such, since it sends numbers as values.
func onlyInMessageSet(x *descriptorpb.FieldDescriptorProto) bool {
	return x.GetNumber() > int32(protowire.MaxValidNumber)
}

// boundExtensionRanges ends the extension ranges at the largest number of a field.
func boundExtensionRanges(m *descriptorpb.DescriptorProto) {
	const end = int32(protowire.MaxValidNumber) + 1 // ranges exclude their end
	m.ExtensionRange = slices.DeleteFunc(m.GetExtensionRange(), func(r *descriptorpb.DescriptorProto_ExtensionRange) bool {
		return r.GetStart() >= end
	})
	for _, r := range m.GetExtensionRange() {
		r.End = new(min(r.GetEnd(), end))
	}
}

// MessageSets finds those of the RPCs whose request or response contains a
// MessageSet, at any depth, and tells which MessageSet that is.
func (s *Set) MessageSets(methods iter.Seq[protoreflect.MethodDescriptor]) map[protoreflect.FullName]protoreflect.FullName {
	if len(s.messageSets) == 0 && !s.linkedIn {
		return nil
	}
	search := &messageSetSearch{named: s.messageSets, extensions: s.extensions(), without: map[protoreflect.FullName]bool{}}
	found := map[protoreflect.FullName]protoreflect.FullName{}
	for m := range methods {
		if name := cmp.Or(search.in(m.Input()), search.in(m.Output())); name != "" {
			found[m.FullName()] = name
		}
	}
	return found
}

// extensions lists the messages that can stand in the extension fields of each
// message. Of what is linked in, the extensions are not looked at: the compiler
// of Go code refuses extensions of MessageSets.
func (s *Set) extensions() map[protoreflect.FullName][]protoreflect.MessageDescriptor {
	if s.linkedIn {
		return nil
	}
	all := map[protoreflect.FullName][]protoreflect.MessageDescriptor{}
	note := func(list protoreflect.ExtensionDescriptors) {
		for i := range list.Len() {
			if x := list.Get(i); x.Message() != nil {
				name := x.ContainingMessage().FullName()
				all[name] = append(all[name], x.Message())
			}
		}
	}
	var visit func(protoreflect.MessageDescriptors)
	visit = func(messages protoreflect.MessageDescriptors) {
		for i := range messages.Len() {
			note(messages.Get(i).Extensions())
			visit(messages.Get(i).Messages())
		}
	}
	s.Files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		note(file.Extensions())
		visit(file.Messages())
		return true
	})
	return all
}

// messageSetSearch looks at each message once, for however many RPCs, unless it
// finds something.
type messageSetSearch struct {
	named      map[protoreflect.FullName]bool
	extensions map[protoreflect.FullName][]protoreflect.MessageDescriptor
	without    map[protoreflect.FullName]bool // messages known to contain none
}

// in returns the name of a MessageSet that m is or contains, "" for none.
func (s *messageSetSearch) in(m protoreflect.MessageDescriptor) protoreflect.FullName {
	seen := map[protoreflect.FullName]bool{}
	name := s.walk(m, seen)
	if name == "" {
		maps.Copy(s.without, seen)
	}
	return name
}

func (s *messageSetSearch) walk(m protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) protoreflect.FullName {
	if set, ok := m.(interface{ IsMessageSet() bool }); s.named[m.FullName()] || ok && set.IsMessageSet() {
		return m.FullName()
	}
	if seen[m.FullName()] || s.without[m.FullName()] {
		return ""
	}
	seen[m.FullName()] = true
	for i := range m.Fields().Len() {
		if inner := m.Fields().Get(i).Message(); inner != nil {
			if name := s.walk(inner, seen); name != "" {
				return name
			}
		}
	}
	for _, inner := range s.extensions[m.FullName()] {
		if name := s.walk(inner, seen); name != "" {
			return name
		}
	}
	return ""
}
