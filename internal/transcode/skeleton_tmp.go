package transcode

import (
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

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
	opts Options
	in   inRuntime
}

func NewCompiler(opts Options, r Resolver) *Compiler {
	c := &Compiler{opts: opts}
	c.in.init(opts, r)
	return c
}

func (c *Compiler) Decoder(md protoreflect.MessageDescriptor) (*Decoder, error) {
	return c.in.decoder(md), nil
}

type Encoder struct {
	md protoreflect.MessageDescriptor
	c  *Compiler
}

func (c *Compiler) Encoder(md protoreflect.MessageDescriptor) (*Encoder, error) {
	return &Encoder{md, c}, nil
}
func (e *Encoder) Append(dst, wire []byte) ([]byte, error) {
	m := dynamicpb.NewMessage(e.md)
	if err := proto.Unmarshal(wire, m); err != nil {
		return dst, err
	}
	return protojson.MarshalOptions{UseProtoNames: e.c.opts.UseProtoNames, UseEnumNumbers: e.c.opts.UseEnumNumbers, EmitUnpopulated: e.c.opts.EmitDefaults}.MarshalAppend(dst, m)
}
