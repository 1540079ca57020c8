package shop

import (
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// update returns a copy of old in which the fields that the mask names have the
// values of changes (AIP-134). No mask means every field that has a value, "*"
// means all. Fields that only the shop may set keep what they have (AIP-203).
func update[M proto.Message](old, changes M, mask *fieldmaskpb.FieldMask) (M, error) {
	updated := proto.CloneOf(old)
	to, from := updated.ProtoReflect(), proto.CloneOf(changes).ProtoReflect()
	var wrong violations
	for _, path := range maskPaths(from, mask) {
		if !copyPath(to, from, strings.Split(path, ".")) {
			wrong.addf("update_mask", "%q is no field of %s that can be updated",
				path, from.Descriptor().Name())
		}
	}
	return updated, wrong.err()
}

func maskPaths(from protoreflect.Message, mask *fieldmaskpb.FieldMask) []string {
	paths := mask.GetPaths()
	everything := len(paths) == 1 && paths[0] == "*"
	if len(paths) > 0 && !everything {
		return paths
	}
	var list []string
	fields := from.Descriptor().Fields()
	for i := range fields.Len() {
		if field := fields.Get(i); everything || from.Has(field) {
			list = append(list, string(field.Name()))
		}
	}
	return list
}

// copyPath copies one field, or clears it where from has none. It tells whether
// there is such a field.
func copyPath(to, from protoreflect.Message, path []string) bool {
	field := to.Descriptor().Fields().ByName(protoreflect.Name(path[0]))
	if field == nil {
		return false
	}
	if isOurs(field) {
		return true
	}
	if len(path) == 1 {
		copyField(to, from, field)
		return true
	}
	if field.Message() == nil || field.IsList() || field.IsMap() {
		return false
	}
	return copyPath(to.Mutable(field).Message(), from.Get(field).Message(), path[1:])
}

// copyField leaves another member of a oneof alone when this one has no value.
func copyField(to, from protoreflect.Message, field protoreflect.FieldDescriptor) {
	if from.Has(field) {
		to.Set(field, from.Get(field))
		return
	}
	to.Clear(field)
}

// isOurs tells whether only the shop sets a field.
func isOurs(field protoreflect.FieldDescriptor) bool {
	behavior, ok := proto.GetExtension(field.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	return ok && (slices.Contains(behavior, annotations.FieldBehavior_OUTPUT_ONLY) ||
		slices.Contains(behavior, annotations.FieldBehavior_IDENTIFIER))
}

// clearOurs empties the fields of a new resource that only the shop sets.
func clearOurs(m proto.Message) {
	message := m.ProtoReflect()
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		if isOurs(fields.Get(i)) {
			message.Clear(fields.Get(i))
		}
	}
}
