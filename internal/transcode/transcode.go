// Package transcode shows protobuf messages as JSON and reads JSON as protobuf
// messages, without making the messages: JSON is written straight from wire
// bytes and wire bytes straight from JSON, by plans compiled once from the
// descriptors.
//
// [Compiler] makes the plans: an [Encoder] for answers, a [Decoder] for
// requests, a [Binding] for what one HTTP rule makes of both. The form of JSON
// is ProtoJSON (https://protobuf.dev/programming-guides/json/), and its judge
// is google.golang.org/protobuf/encoding/protojson.
package transcode

import (
	"cmp"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Options choose among the forms that ProtoJSON leaves open.
type Options struct {
	// EmitDefaults writes fields that are not set too, as protojson's
	// EmitUnpopulated does; members of oneofs stay away.
	EmitDefaults bool
	// UseProtoNames writes names as in the contract, not in lowerCamelCase.
	// Both are always read.
	UseProtoNames bool
	// UseEnumNumbers writes numbers in the place of enums' names.
	UseEnumNumbers bool
	// IgnoreUnknown reads over unknown members of requests.
	IgnoreUnknown bool
	// MaxDepth bounds how deep the messages of a request nest. 0 means 100.
	MaxDepth int
	// AllowQuery names query parameters that are ignored instead of refused;
	// "*" stands for any text, as in "utm_*".
	AllowQuery []string
	// IgnoreUnknownQuery ignores all query parameters that name no field.
	IgnoreUnknownQuery bool
	// MaxQueryParams bounds the number of query parameters; 0 means 1000.
	MaxQueryParams int
	// AnyMedia reads bodies of every media type as JSON, as grpc-gateway does.
	// A page of another site may then have a browser send them.
	AnyMedia bool
}

// defaultQueryParams bounds a query unless the options do.
const defaultQueryParams = 1000

// Resolver finds the types inside google.protobuf.Any and the extensions of a
// message, for example [google.golang.org/protobuf/types/dynamicpb.Types].
type Resolver interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
}

// Compiler makes plans and keeps them. It is safe for concurrent use; so is
// all that it makes.
type Compiler struct {
	opts Options
	in   inRuntime
	out  outRuntime
}

// NewCompiler returns a compiler for messages whose Any and extensions r
// resolves.
func NewCompiler(opts Options, r Resolver) *Compiler {
	opts.MaxQueryParams = cmp.Or(opts.MaxQueryParams, defaultQueryParams)
	c := &Compiler{opts: opts}
	if r != nil {
		r = boundedNames{r}
	}
	c.in.init(opts, r)
	c.out.init(opts, r)
	return c
}

// Encoder compiles the plan that writes messages of type md as JSON.
func (c *Compiler) Encoder(md protoreflect.MessageDescriptor) (*Encoder, error) {
	return c.out.encoder(md), nil
}

// Decoder compiles the plan that reads messages of type md from JSON.
func (c *Compiler) Decoder(md protoreflect.MessageDescriptor) (*Decoder, error) {
	return c.in.decoder(md), nil
}
