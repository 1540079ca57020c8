package compile

import (
	"log/slog"
	"maps"
	"slices"
	"sync"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/reflection"
)

// descriptors finds types in the contracts of all upstreams, in the order of their names,
// and then among those linked in, which include google.rpc's error details. It is immutable.
type descriptors struct {
	resolvers []resolver
	// shown returns what reflection shows. It is made by the first call.
	shown func() (*reflection.Contract, error)
}

// resolver finds types.
type resolver interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
}

func newDescriptors(contracts map[string]*Contract, methods calls, log *slog.Logger) *descriptors {
	c := new(descriptors)
	for _, name := range slices.Sorted(maps.Keys(contracts)) {
		c.resolvers = append(c.resolvers, contracts[name].Set.Types)
	}
	c.resolvers = append(c.resolvers, protoregistry.GlobalTypes)
	c.shown = sync.OnceValues(func() (*reflection.Contract, error) { return show(contracts, methods, log) })
	return c
}

// show returns what reflection shows of the contracts: the exposed methods with the types
// that they reach, and the messages that error details may have.
func show(contracts map[string]*Contract, methods calls, log *slog.Logger) (*reflection.Contract, error) {
	exposed := map[string][]protoreflect.MethodDescriptor{}
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		if m := methods[name]; m.Desc != nil {
			exposed[m.Upstream] = append(exposed[m.Upstream], m.Desc)
		}
	}
	var upstreams []reflection.Upstream
	for _, name := range slices.Sorted(maps.Keys(exposed)) {
		u := reflection.Upstream{Name: name, Methods: exposed[name]}
		if s := contracts[name]; s != nil {
			u.Extensions = extensionsIn(s.Set.Files)
		}
		upstreams = append(upstreams, u)
	}
	details := errdetails.File_google_rpc_error_details_proto.Messages()
	var beside []protoreflect.MessageDescriptor
	for i := range details.Len() {
		beside = append(beside, details.Get(i))
	}
	c, leftOut, err := reflection.New(upstreams, beside)
	if err != nil {
		return nil, call.Refuse(call.Gateway, codes.Internal, "internal error").Because(err)
	}
	if len(leftOut) > 0 {
		log.Warn("reflection leaves out upstreams whose contracts contradict those of others", "upstreams", leftOut)
	}
	return c, nil
}

// extensionsIn are all extensions of some files.
func extensionsIn(files *protoregistry.Files) (list []protoreflect.ExtensionDescriptor) {
	add := func(all protoreflect.ExtensionDescriptors) {
		for i := range all.Len() {
			list = append(list, all.Get(i))
		}
	}
	var nested func(protoreflect.MessageDescriptors)
	nested = func(messages protoreflect.MessageDescriptors) {
		for i := range messages.Len() {
			add(messages.Get(i).Extensions())
			nested(messages.Get(i).Messages())
		}
	}
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		add(file.Extensions())
		nested(file.Messages())
		return true
	})
	return list
}

// firstFound asks each resolver in turn.
func firstFound[T any](c *descriptors, find func(resolver) (T, error)) (found T, err error) {
	for _, r := range c.resolvers {
		if found, err = find(r); err == nil {
			break
		}
	}
	return found, err
}

// FindMessageByName serves google.protobuf.Any.
func (c *descriptors) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	return firstFound(c, func(r resolver) (protoreflect.MessageType, error) { return r.FindMessageByName(name) })
}

// FindMessageByURL serves google.protobuf.Any.
func (c *descriptors) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	return firstFound(c, func(r resolver) (protoreflect.MessageType, error) { return r.FindMessageByURL(url) })
}

// FindExtensionByName serves JSON.
func (c *descriptors) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return firstFound(c, func(r resolver) (protoreflect.ExtensionType, error) { return r.FindExtensionByName(name) })
}

// FindExtensionByNumber serves JSON.
func (c *descriptors) FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return firstFound(c, func(r resolver) (protoreflect.ExtensionType, error) { return r.FindExtensionByNumber(message, field) })
}
