package contract

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Same tells whether two descriptors of an RPC mean the same on the
// wire, so that either upstream can be sent the other's calls. What one of them
// has in addition is no difference: that is how contracts grow. The error names
// the first difference; have is what the RPC is served as.
func Same(have, other protoreflect.MethodDescriptor) error {
	switch {
	case have.IsStreamingClient() != other.IsStreamingClient():
		return fmt.Errorf("its requests are %s, not %s", streaming(other.IsStreamingClient()), streaming(have.IsStreamingClient()))
	case have.IsStreamingServer() != other.IsStreamingServer():
		return fmt.Errorf("its answers are %s, not %s", streaming(other.IsStreamingServer()), streaming(have.IsStreamingServer()))
	}
	c := comparison{}
	if err := c.messages(have.Input(), other.Input()); err != nil {
		return fmt.Errorf("its requests differ: %w", err)
	}
	if err := c.messages(have.Output(), other.Output()); err != nil {
		return fmt.Errorf("its answers differ: %w", err)
	}
	return nil
}

// comparison knows the pairs of messages that were compared or are about to be:
// messages may contain themselves.
type comparison map[[2]protoreflect.FullName]bool

func (c comparison) messages(have, other protoreflect.MessageDescriptor) error {
	pair := [2]protoreflect.FullName{have.FullName(), other.FullName()}
	if have == other || c[pair] {
		return nil
	}
	c[pair] = true
	if have.FullName() != other.FullName() {
		return fmt.Errorf("message %s is %s there", have.FullName(), other.FullName())
	}
	for i := range have.Fields().Len() {
		f := have.Fields().Get(i)
		if err := c.field(f, other); err != nil {
			return fmt.Errorf("field %s %w", f.FullName(), err)
		}
	}
	return nil
}

// field compares a field with what has its number, and its name, in other.
func (c comparison) field(f protoreflect.FieldDescriptor, other protoreflect.MessageDescriptor) error {
	if named := other.Fields().ByName(f.Name()); named != nil && named.Number() != f.Number() {
		return fmt.Errorf("has the number %d there, not %d", named.Number(), f.Number())
	}
	o := other.Fields().ByNumber(f.Number())
	if o == nil {
		return nil
	}
	switch {
	case o.Name() != f.Name():
		return fmt.Errorf("is called %s there", o.Name())
	case o.Kind() != f.Kind():
		return fmt.Errorf("is a %v there, not a %v", o.Kind(), f.Kind())
	case o.IsMap() != f.IsMap() || o.IsList() != f.IsList():
		return fmt.Errorf("is %s there, not %s", shape(o), shape(f))
	case f.Enum() != nil:
		return enums(f.Enum(), o.Enum())
	case f.Message() != nil:
		return c.inner(f, o)
	}
	return nil
}

func (c comparison) inner(f, o protoreflect.FieldDescriptor) error {
	if err := c.messages(f.Message(), o.Message()); err != nil {
		return fmt.Errorf("differs: %w", err)
	}
	return nil
}

func shape(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return "a map"
	case f.IsList():
		return "repeated"
	default:
		return "one value"
	}
}

func enums(have, other protoreflect.EnumDescriptor) error {
	if have == other {
		return nil
	}
	for i := range have.Values().Len() {
		v := have.Values().Get(i)
		o := other.Values().ByName(v.Name())
		if o != nil && o.Number() != v.Number() {
			return fmt.Errorf("has the value %s = %d there, not %d", v.Name(), o.Number(), v.Number())
		}
	}
	return nil
}
