package transcode

import "google.golang.org/protobuf/reflect/protoregistry"
import "google.golang.org/protobuf/reflect/protoreflect"

type Options struct {
	EmitDefaults   bool
	UseProtoNames  bool
	UseEnumNumbers bool
	IgnoreUnknown  bool
	MaxDepth       int
}
type Resolver interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
}
type Compiler struct {
	in inRuntime
}

func NewCompiler(opts Options, r Resolver) *Compiler {
	c := &Compiler{}
	c.in.init(opts, r)
	return c
}

func (c *Compiler) Decoder(md protoreflect.MessageDescriptor) (*Decoder, error) {
	return c.in.decoder(md), nil
}
