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
	sources []*Contract
	// shown returns what reflection shows. It is made by the first call.
	shown func() (*reflection.Contract, error)
}

func newDescriptors(contracts map[string]*Contract, methods calls, log *slog.Logger) *descriptors {
	c := new(descriptors)
	for _, name := range slices.Sorted(maps.Keys(contracts)) {
		c.sources = append(c.sources, contracts[name])
	}
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

// firstFound asks each source in turn.
func firstFound[T any](c *descriptors, ask func(*Contract) (T, error), last func() (T, error)) (T, error) {
	for _, s := range c.sources {
		if v, err := ask(s); err == nil {
			return v, nil
		}
	}
	return last()
}

// FindMessageByName serves google.protobuf.Any.
func (c *descriptors) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	return firstFound(c, func(s *Contract) (protoreflect.MessageType, error) { return s.Set.Types.FindMessageByName(name) },
		func() (protoreflect.MessageType, error) { return protoregistry.GlobalTypes.FindMessageByName(name) })
}

// FindMessageByURL serves google.protobuf.Any.
func (c *descriptors) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	return firstFound(c, func(s *Contract) (protoreflect.MessageType, error) { return s.Set.Types.FindMessageByURL(url) },
		func() (protoreflect.MessageType, error) { return protoregistry.GlobalTypes.FindMessageByURL(url) })
}

// FindExtensionByName serves JSON.
func (c *descriptors) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return firstFound(c, func(s *Contract) (protoreflect.ExtensionType, error) { return s.Set.Types.FindExtensionByName(name) },
		func() (protoreflect.ExtensionType, error) { return protoregistry.GlobalTypes.FindExtensionByName(name) })
}

// FindExtensionByNumber serves JSON.
func (c *descriptors) FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return firstFound(c, func(s *Contract) (protoreflect.ExtensionType, error) {
		return s.Set.Types.FindExtensionByNumber(message, field)
	}, func() (protoreflect.ExtensionType, error) {
		return protoregistry.GlobalTypes.FindExtensionByNumber(message, field)
	})
}
