package contract

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Changed lists the messages and enums of RPCs in both that are not the same in
// both, sorted, whether that breaks clients or not.
func Changed(old, next []*Method) []protoreflect.FullName {
	now := map[string]*Method{}
	for _, m := range next {
		now[m.Name] = m
	}
	before, after := types{}, types{}
	for _, m := range old {
		if is := now[m.Name]; is != nil {
			before.of(m.Desc)
			after.of(is.Desc)
		}
	}
	var changed []protoreflect.FullName
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if b, ok := after[name]; ok && !proto.Equal(before[name], b) {
			changed = append(changed, name)
		}
	}
	return changed
}

// types are messages and enums by their names. Messages are without those that are
// declared in them, which have names of their own.
type types map[protoreflect.FullName]proto.Message

func (t types) of(m protoreflect.MethodDescriptor) {
	t.message(m.Input())
	t.message(m.Output())
}

func (t types) message(m protoreflect.MessageDescriptor) {
	if _, ok := t[m.FullName()]; ok || m.IsPlaceholder() {
		return
	}
	alone := protodesc.ToDescriptorProto(m)
	alone.NestedType, alone.EnumType, alone.Extension = nil, nil, nil
	t[m.FullName()] = alone
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if f.Message() != nil {
			t.message(f.Message())
		}
		if e := f.Enum(); e != nil && !e.IsPlaceholder() {
			t[e.FullName()] = protodesc.ToEnumDescriptorProto(e)
		}
	}
}
