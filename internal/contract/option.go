package contract

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Option reads the option xt of d, with T the Go type of its value; the zero
// value and false if d does not have it.
//
// Descriptors from elsewhere carry options as whatever their maker knew them
// as: a linked type, a dynamic one, or unknown bytes. So the options are always
// brought back to wire bytes and read anew with the linked type.
func Option[T any](d protoreflect.Descriptor, xt protoreflect.ExtensionType) (T, bool, error) {
	var zero T
	options := d.Options()
	if options == nil || !options.ProtoReflect().IsValid() {
		return zero, false, nil
	}
	wire, err := proto.MarshalOptions{AllowPartial: true}.Marshal(options)
	if err != nil {
		return zero, false, broken(d, xt)
	}
	known := new(protoregistry.Types)
	if err := known.RegisterExtension(xt); err != nil {
		return zero, false, fmt.Errorf("option %s: %s", xt.TypeDescriptor().FullName(), plain(err))
	}
	fresh := options.ProtoReflect().New().Interface()
	if err := (proto.UnmarshalOptions{AllowPartial: true, Resolver: known}).Unmarshal(wire, fresh); err != nil {
		return zero, false, broken(d, xt)
	}
	if !proto.HasExtension(fresh, xt) {
		return zero, false, nil
	}
	value, ok := proto.GetExtension(fresh, xt).(T)
	if !ok {
		return zero, false, fmt.Errorf("option %s is not a %T", xt.TypeDescriptor().FullName(), zero)
	}
	return value, true, nil
}

func broken(d protoreflect.Descriptor, xt protoreflect.ExtensionType) error {
	return fmt.Errorf("%s: its options are damaged: option (%s) cannot be read", d.FullName(), xt.TypeDescriptor().FullName())
}
