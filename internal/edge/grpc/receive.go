package grpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// frames reads the messages of a call from grpc-go's transport. A grpc.ServerStream reads
// and decompresses a message whole before its size can be checked, and a hundred calls may
// do so at once. These methods of the transport's streams read the size first. They are
// exported methods of an internal type.
type frames interface {
	ReadMessageHeader(header []byte) error
	Read(n int) (mem.BufferSlice, error)
	RecvCompress() string
}

// framesOf returns the frames of ss, nil if grpc-go has changed.
func framesOf(ss grpc.ServerStream) frames {
	f, _ := grpc.ServerTransportStreamFromContext(ss.Context()).(frames)
	return f
}

const (
	frameHeader = 5 // a flag and four bytes of length (gRPC over HTTP/2, "Length-Prefixed-Message")
	// gzipMost is by how much a message can grow at most (RFC 1951).
	gzipMost = 1032
)

// receiver reads the messages of one call. It reserves memory for each before it reads
// it.
type receiver struct {
	frames  frames
	body    *demandedBody // behind net/http; else nil
	limit   int           // of one message, in bytes
	header  [frameHeader]byte
	timer   *requestTimer     // nil for a stream of requests
	release bool              // the requests are a stream: the memory of each is released with it
	rest    memory.ClientWait // for the rest of a request
}

// receive reads the next message.
func (r *receiver) receive(ctx context.Context, share *memory.Share, m *call.Message) (err error) {
	if !r.release && (share.Held() >= worthEnding || share.Busy()) { // a stream of requests may pause
		r.rest.Begin(share, r.endFull)
	}
	defer func() {
		if r.rest.Done(); err != nil && r.rest.Ended() {
			err = call.MemoryError(memory.ErrFull)
		}
	}()
	r.body.demand(frameHeader)
	if err := r.frames.ReadMessageHeader(r.header[:]); err != nil {
		return received(err)
	}
	n := int(binary.BigEndian.Uint32(r.header[1:]))
	if share.Busy() { // the transport has up to 64 KiB of the message before it is read
		r.rest.Begin(share, r.endFull)
	}
	if n > r.limit {
		return r.tooLarge(n)
	}
	compressor, err := r.compressor()
	if err != nil {
		return err
	}
	room := n
	if compressor != nil {
		room = min(r.limit, n*gzipMost) + n
	}
	if err := r.promise(ctx, share, int64(room)); err != nil {
		return call.MemoryError(err)
	}
	data, err := r.read(share, n)
	if err == nil && compressor != nil {
		data, err = r.decompress(share, compressor, data)
	}
	share.Forgo(int64(room))
	if err != nil { // which ends the call, and with it what it holds
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return received(err)
	}
	r.keep(share, m, data)
	return nil
}

// promise reserves memory for a message. While the call waits for other calls of its
// client, the time for its request does not run.
func (r *receiver) promise(ctx context.Context, share *memory.Share, room int64) error {
	if r.timer == nil || share.HasRoom(room) {
		return share.Promise(ctx, room)
	}
	r.timer.pause()
	defer r.timer.resume()
	return share.Promise(ctx, room)
}

// read reads the n bytes of a message.
func (r *receiver) read(share *memory.Share, n int) (mem.BufferSlice, error) {
	data, small, err := r.readPart(share, min(n, firstPart))
	if n -= data.Len(); n > 0 {
		r.rest.Begin(share, r.endFull)
	}
	for n > 0 && err == nil {
		most := largePart
		if small {
			most = smallPart
		}
		var next mem.BufferSlice
		next, small, err = r.readPart(share, min(n, most))
		data = append(data, next...)
		n -= next.Len()
	}
	if err != nil {
		data.Free()
		return nil, err
	}
	return data, nil
}

// readPart reads n bytes. They come in the pieces that the client has sent, each of which
// has a cost of its own: very small pieces are copied into one.
func (r *receiver) readPart(share *memory.Share, n int) (data mem.BufferSlice, small bool, err error) {
	r.body.demand(n)
	if data, err = r.frames.Read(n); err != nil {
		return nil, false, err
	}
	if err := share.Arrived(int64(n)); err != nil {
		data.Free()
		return nil, false, call.MemoryError(err)
	}
	if len(data) <= smallPieces || n/len(data) >= smallPiece {
		return data, false, nil
	}
	defer data.Free()
	return mem.BufferSlice{data.MaterializeToBuffer(mem.DefaultBufferPool())}, true, nil
}

const (
	// A message is read in parts, so that small pieces are copied together before there
	// are many. Parts are large if the pieces are not small: the client may send that
	// much ahead.
	firstPart, smallPart, largePart = 64 << 10, 16 << 10, 256 << 10
	// smallPiece is the size below which more than smallPieces of them are.
	smallPiece, smallPieces = 256, 4
)

// worthEnding is how many bytes a call must hold to be ended when memory is short.
const worthEnding = 4 << 10

// endFull ends a call that waits for the rest of its request, by writing its status:
// grpc-go has no deadline for reading. The transport may block for a moment, hence the
// goroutine.
func (r *receiver) endFull() {
	if ts, ok := r.frames.(statusWriter); ok {
		go func() { _ = ts.WriteStatus(call.StatusOf(call.MemoryError(memory.ErrFull))) }() // fails where the client is gone
	}
}

// keep puts data into m. The call holds its memory.
func (r *receiver) keep(share *memory.Share, m *call.Message, data mem.BufferSlice) {
	n := data.Len()
	if r.release && n > 0 {
		data = append(data, memory.NewBarrier(func() { share.Release(int64(n)) }))
	}
	m.Free()
	m.Data = data
}

// compressor returns what decompresses the next message, nil for none. grpc-go has refused
// calls with an unknown compression.
func (r *receiver) compressor() (encoding.Compressor, error) {
	switch name := r.frames.RecvCompress(); {
	case r.header[0] == 0:
		return nil, nil
	case r.header[0] > 1:
		return nil, call.Refuse(call.Client, codes.Internal, "the message begins with the flag %d: want 0, or 1 for a compressed one", r.header[0])
	case name == "" || name == encoding.Identity:
		return nil, call.Refuse(call.Client, codes.Internal, "the message is compressed, and the call names no grpc-encoding")
	default:
		return encoding.GetCompressor(name), nil
	}
}

// decompress frees data and returns what it decompresses to.
func (r *receiver) decompress(share *memory.Share, c encoding.Compressor, data mem.BufferSlice) (mem.BufferSlice, error) {
	compressed, most := data.Len(), min(r.limit, data.Len()*gzipMost)
	defer data.Free()
	if err := share.Arrived(int64(most)); err != nil {
		return nil, call.MemoryError(err)
	}
	out, err := r.expand(c, data)
	if err == nil {
		share.Release(int64(compressed + most - out.Len()))
	}
	return out, err
}

// expand returns what data decompresses to.
func (r *receiver) expand(c encoding.Compressor, data mem.BufferSlice) (mem.BufferSlice, error) {
	compressed := data.Reader()
	defer func() { _ = compressed.Close() }() // it has no errors
	plain, err := c.Decompress(compressed)
	if err != nil {
		return nil, call.Refuse(call.Client, codes.Internal, "the message cannot be decompressed by %s", c.Name()).Because(err)
	}
	out, err := mem.ReadAll(io.LimitReader(plain, int64(r.limit)+1), mem.DefaultBufferPool())
	if err != nil {
		out.Free()
		return nil, call.Refuse(call.Client, codes.Internal, "the message cannot be decompressed by %s", c.Name()).Because(err)
	}
	if n := out.Len(); n > r.limit {
		out.Free()
		return nil, r.tooLarge(n)
	}
	return out, nil
}

func (r *receiver) tooLarge(n int) error {
	return call.Refuse(call.Client, codes.ResourceExhausted, "the message is larger than %d bytes, which are taken at most", r.limit).
		Because(fmt.Errorf("it has %d, or more", n))
}

// received returns the outcome of a call whose client's half ended with err.
func received(err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return call.Refuse(call.Client, codes.Internal, "the request ended within a message")
	}
	if _, ok := errors.AsType[*call.Error](err); ok {
		return err
	}
	if _, ok := status.FromError(err); !ok { // the connection is gone
		return call.Refuse(call.Client, codes.Canceled, "the client went away").Because(err)
	}
	return call.RefuseStatus(call.Client, call.StatusOf(err))
}
