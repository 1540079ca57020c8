// Package raw carries gRPC messages as the bytes they are. It is a codec of
// the benchmark's own, so that the backend and the floor share no code with
// what is measured.
package raw

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// Frame is one message. A Frame that was received holds a reference to its
// buffers, which Free gives up.
type Frame struct{ data mem.BufferSlice }

// New returns a Frame of bytes that never change and may be sent any number of
// times, by several calls at once.
func New(b []byte) *Frame { return &Frame{data: mem.BufferSlice{mem.SliceBuffer(b)}} }

// Bytes returns a copy of the message.
func (f *Frame) Bytes() []byte { return f.data.Materialize() }

// Len is the length of the message in bytes.
func (f *Frame) Len() int { return f.data.Len() }

// Free gives up the buffers of a received Frame.
func (f *Frame) Free() {
	f.data.Free()
	f.data = nil
}

// Codec passes Frames through grpc-go. The zero value is ready and safe for
// concurrent use.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Name is the content subtype that every gRPC server takes.
func (Codec) Name() string { return "proto" }

// Marshal lends out the bytes of a *Frame.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*Frame)
	if !ok {
		return nil, fmt.Errorf("cannot send %T: want *raw.Frame", v)
	}
	f.data.Ref()
	return f.data, nil
}

// Unmarshal keeps a reference to data in a *Frame.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*Frame)
	if !ok {
		return fmt.Errorf("cannot receive into %T: want *raw.Frame", v)
	}
	data.Ref()
	f.data = data
	return nil
}
