package contract

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
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
	if options == nil || !options.ProtoReflect().IsValid() || !mayHave(options.ProtoReflect(), xt.TypeDescriptor().Number()) {
		return zero, false, nil
	}
	wire, err := proto.MarshalOptions{AllowPartial: true}.Marshal(options)
	if err != nil {
		return zero, false, broken(d, xt)
	}
	fresh := options.ProtoReflect().New().Interface()
	if err := (proto.UnmarshalOptions{AllowPartial: true, Resolver: only{xt}}).Unmarshal(wire, fresh); err != nil {
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

// RawOption returns the bytes of the option of d with a number, whose value is a message.
// It is for options that no Go type is linked in for: found is false where d does not
// have it.
func RawOption(d protoreflect.Descriptor, number protoreflect.FieldNumber) (wire []byte, found bool) {
	options := d.Options()
	if options == nil || !options.ProtoReflect().IsValid() || !mayHave(options.ProtoReflect(), number) {
		return nil, false
	}
	all, err := proto.MarshalOptions{AllowPartial: true}.Marshal(options)
	if err != nil {
		return nil, false // as if it had none: nothing in it can be read
	}
	eachField(all, func(n protowire.Number, _, contents []byte) {
		if n == number {
			wire, found = append(wire, contents...), true // parts of a message are merged
		}
	})
	return wire, found
}

// mayHave reports whether options have something of a number, as most do not. What
// cannot be read counts.
func mayHave(options protoreflect.Message, number protoreflect.FieldNumber) (found bool) {
	options.Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		found = fd.Number() == number
		return !found
	})
	whole := eachField(options.GetUnknown(), func(n protowire.Number, _, _ []byte) { found = found || n == number })
	return found || !whole
}

// only resolves one type of extension.
type only struct{ xt protoreflect.ExtensionType }

// FindExtensionByName finds the type by its name.
func (o only) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	if name != o.xt.TypeDescriptor().FullName() {
		return nil, protoregistry.NotFound
	}
	return o.xt, nil
}

// FindExtensionByNumber finds the type by its number.
func (o only) FindExtensionByNumber(message protoreflect.FullName, number protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	if d := o.xt.TypeDescriptor(); number != d.Number() || message != d.ContainingMessage().FullName() {
		return nil, protoregistry.NotFound
	}
	return o.xt, nil
}

func broken(d protoreflect.Descriptor, xt protoreflect.ExtensionType) error {
	return fmt.Errorf("%s: its options are damaged: option (%s) cannot be read", d.FullName(), xt.TypeDescriptor().FullName())
}
