package gateway

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// contract is what the gateway tells of what it serves: the exposed services,
// and the descriptors behind them. It looks into the contracts of all upstreams
// in the order of their names, then into what is linked in, which has the types
// of google.rpc's error details. Immutable.
type contract struct {
	services map[string]grpc.ServiceInfo
	sources  []*source
}

func newContract(schemas map[string]*source, methods map[string]*call.Method) *contract {
	c := &contract{services: map[string]grpc.ServiceInfo{}}
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		c.sources = append(c.sources, schemas[name])
	}
	for name, m := range methods {
		service, _, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
		info := c.services[service]
		info.Methods = append(info.Methods, grpc.MethodInfo{
			Name: m.Stream.StreamName, IsClientStream: m.Stream.ClientStreams, IsServerStream: m.Stream.ServerStreams,
		})
		c.services[service] = info
	}
	return c
}

// register serves reflection, so that grpcurl and its like find their way. It
// tells of exposed services only, by the table in force when it is asked.
func register(srv *grpc.Server, now func() *contract) {
	c := current(now)
	o := reflection.ServerOptions{Services: c, DescriptorResolver: c, ExtensionResolver: c}
	reflectionv1.RegisterServerReflectionServer(srv, reflection.NewServerV1(o))
	reflectionv1alpha.RegisterServerReflectionServer(srv, reflection.NewServer(o))
}

// current is the contract in force.
type current func() *contract

func (c current) GetServiceInfo() map[string]grpc.ServiceInfo { return c().services }

func (c current) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	return c().FindFileByPath(path)
}

func (c current) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	return c().FindDescriptorByName(name)
}

func (c current) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return c().FindExtensionByName(name)
}

func (c current) FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return c().FindExtensionByNumber(message, field)
}

func (c current) RangeExtensionsByMessage(message protoreflect.FullName, f func(protoreflect.ExtensionType) bool) {
	c().RangeExtensionsByMessage(message, f)
}

// GetServiceInfo lists the exposed services.
func (c *contract) GetServiceInfo() map[string]grpc.ServiceInfo { return c.services }

// firstFound asks each source in turn.
func firstFound[T any](c *contract, ask func(*source) (T, error), last func() (T, error)) (T, error) {
	for _, s := range c.sources {
		if v, err := ask(s); err == nil {
			return v, nil
		}
	}
	return last()
}

// FindFileByPath serves reflection.
func (c *contract) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	return firstFound(c, func(s *source) (protoreflect.FileDescriptor, error) { return s.set.Files.FindFileByPath(path) },
		func() (protoreflect.FileDescriptor, error) { return protoregistry.GlobalFiles.FindFileByPath(path) })
}

// FindDescriptorByName serves reflection.
func (c *contract) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	return firstFound(c, func(s *source) (protoreflect.Descriptor, error) { return s.set.Files.FindDescriptorByName(name) },
		func() (protoreflect.Descriptor, error) { return protoregistry.GlobalFiles.FindDescriptorByName(name) })
}

// FindMessageByName serves google.protobuf.Any.
func (c *contract) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	return firstFound(c, func(s *source) (protoreflect.MessageType, error) { return s.set.Types.FindMessageByName(name) },
		func() (protoreflect.MessageType, error) { return protoregistry.GlobalTypes.FindMessageByName(name) })
}

// FindMessageByURL serves google.protobuf.Any.
func (c *contract) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	return firstFound(c, func(s *source) (protoreflect.MessageType, error) { return s.set.Types.FindMessageByURL(url) },
		func() (protoreflect.MessageType, error) { return protoregistry.GlobalTypes.FindMessageByURL(url) })
}

// FindExtensionByName serves JSON.
func (c *contract) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return firstFound(c, func(s *source) (protoreflect.ExtensionType, error) { return s.set.Types.FindExtensionByName(name) },
		func() (protoreflect.ExtensionType, error) { return protoregistry.GlobalTypes.FindExtensionByName(name) })
}

// FindExtensionByNumber serves JSON and reflection.
func (c *contract) FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return firstFound(c, func(s *source) (protoreflect.ExtensionType, error) {
		return s.set.Types.FindExtensionByNumber(message, field)
	}, func() (protoreflect.ExtensionType, error) {
		return protoregistry.GlobalTypes.FindExtensionByNumber(message, field)
	})
}

// RangeExtensionsByMessage serves reflection.
func (c *contract) RangeExtensionsByMessage(message protoreflect.FullName, f func(protoreflect.ExtensionType) bool) {
	protoregistry.GlobalTypes.RangeExtensionsByMessage(message, f)
}
