package connect

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

// options are those of the library. The source bounds what is read.
func options() []connecthttp.Option {
	return []connecthttp.Option{
		connecthttp.WithCodecs(wireCodec{}, jsonCodec{}),
		connecthttp.WithCompressors(compressors...),
		connecthttp.WithCompressMinBytes(compressFrom),
		connecthttp.WithReadMaxBytes(0),
	}
}

// wireCodec passes a [call.Message] as it is. The library also has it encode errors,
// which are generated messages.
type wireCodec struct{ errors connectproto.BinaryCodec }

var _ connect.Codec = wireCodec{}

// Name is the codec's, as media types have it.
func (wireCodec) Name() string { return codecProto }

// MarshalWrite writes the message's bytes.
func (c wireCodec) MarshalWrite(ctx context.Context, dst io.Writer, msg any) error {
	switch m := msg.(type) {
	case *call.Message:
		s := streamOf(ctx)
		s.Call.Out.Add(m.Len())
		if b, ok := dst.(*bytes.Buffer); ok {
			b.Grow(m.Len()) // by parts it would grow to twice the size
		}
		for _, b := range m.Data {
			if _, err := dst.Write(b.ReadOnlyData()); err != nil {
				return err
			}
		}
		s.written(m)
		return nil
	case proto.Message:
		return c.errors.MarshalWrite(ctx, dst, m)
	}
	return fmt.Errorf("cannot send %T", msg)
}

// UnmarshalRead copies the bytes: they are the library's.
func (wireCodec) UnmarshalRead(_ context.Context, src io.Reader, msg any) error {
	m, ok := msg.(*call.Message)
	if !ok {
		return fmt.Errorf("cannot receive into %T", msg)
	}
	wire, err := whole(src)
	if err != nil {
		return err
	}
	m.Free()
	m.Data = mem.BufferSlice{mem.Copy(wire, mem.DefaultBufferPool())}
	return nil
}

// whole returns the whole message. Its bytes belong to the library and are valid until
// the codec returns.
func whole(src io.Reader) ([]byte, error) {
	if b, ok := src.(*bytes.Buffer); ok {
		return b.Bytes(), nil
	}
	return io.ReadAll(src)
}

// jsonCodec makes JSON of a [call.Message], and the message of JSON.
type jsonCodec struct{}

var _ connect.Codec = jsonCodec{}

// Name is the codec's, as media types have it.
func (jsonCodec) Name() string { return codecJSON }

// MarshalWrite writes the message as JSON.
func (jsonCodec) MarshalWrite(ctx context.Context, dst io.Writer, msg any) error {
	m, ok := msg.(*call.Message)
	if !ok {
		return fmt.Errorf("cannot send %T", msg)
	}
	s := streamOf(ctx)
	encoder, err := s.plans().Encoder(s.Method.Desc.Output())
	if err != nil {
		return s.failsToSend(err)
	}
	wire := m.Data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer wire.Free()
	out, err := encoder.AppendUntil(room(dst, encoder.SizeHint(wire.Len())), wire.ReadOnlyData(), s)
	if err != nil {
		return s.failsToSend(err)
	}
	s.Call.Out.Add(len(out))
	s.written(m)
	_, err = dst.Write(out)
	return err
}

// room returns the free space of the library's buffer for n bytes, so that they are
// written in place.
func room(dst io.Writer, n int) []byte {
	if b, ok := dst.(*bytes.Buffer); ok {
		b.Grow(n)
		return b.AvailableBuffer()
	}
	return make([]byte, 0, n)
}

// UnmarshalRead reads the message from JSON.
func (jsonCodec) UnmarshalRead(ctx context.Context, src io.Reader, msg any) error {
	m, ok := msg.(*call.Message)
	if !ok {
		return fmt.Errorf("cannot receive into %T", msg)
	}
	text, err := whole(src)
	if err != nil {
		return err
	}
	s := streamOf(ctx)
	decoder, err := s.plans().Decoder(s.Method.Desc.Input())
	if err != nil {
		s.inFault = err
		return err
	}
	pool := mem.DefaultBufferPool()
	buf := pool.Get(len(text))
	wire, err := decoder.AppendUntil((*buf)[:0], text, s)
	*buf = wire
	if err != nil {
		pool.Put(buf)
		s.inFault = edge.RefuseInput(err)
		return err
	}
	m.Free()
	m.Data = mem.BufferSlice{mem.NewBuffer(buf, pool)}
	return nil
}

// failsToSend notes that an answer cannot be made.
func (s *stream) failsToSend(err error) error {
	s.outFault = s.InvalidAnswer(err)
	return err
}

// written gives up the wire bytes of the only answer: the client may take long to read
// what they became.
func (s *stream) written(m *call.Message) {
	if !s.Method.Stream.ServerStreams {
		m.Free()
	}
}

// streamOf is the stream of the call for which a codec works.
func streamOf(ctx context.Context) *stream {
	return ctx.Value(streamKey{}).(*stream) //nolint:forcetypeassert // carry has set it
}

// plans has what makes JSON of the method's messages.
func (s *stream) plans() *transcode.Compiler { return s.Table.Plans(s.Method.Upstream) }
