package transcode

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// maxName is the longest name of a type that is looked up, in bytes.
// [protoregistry.Files] looks for a name with each of its parts left out, so that a
// name of a megabyte, which clients may send, takes seconds.
const maxName = 512

// boundedNames is a resolver that knows no names longer than maxName.
type boundedNames struct{ Resolver }

func (r boundedNames) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	if len(name) > maxName {
		return nil, protoregistry.NotFound
	}
	return r.Resolver.FindMessageByName(name)
}

func (r boundedNames) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	if len(url)-strings.LastIndexByte(url, '/')-1 > maxName {
		return nil, protoregistry.NotFound
	}
	return r.Resolver.FindMessageByURL(url)
}

func (r boundedNames) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	if len(name) > maxName {
		return nil, protoregistry.NotFound
	}
	return r.Resolver.FindExtensionByName(name)
}
