package upstream

import (
	"context"
	"io"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Conn is the last link of every chain: it reads the request, which until here
// nobody has, and sends its bytes as they are. It is safe for concurrent use.
type Conn struct {
	name string
	cc   grpc.ClientConnInterface
	age  *age // of streams
}

var _ grpc.ClientConnInterface = (*Conn)(nil)

// NewConn makes the last link before cc. name is the upstream's in the
// configuration; it stands in errors in the place of addresses, which are
// nobody's business outside.
func NewConn(name string, cc grpc.ClientConnInterface) *Conn { return &Conn{name: name, cc: cc} }

// Invoke sends a unary call.
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if p, ok := args.(*call.Pending); ok {
		msg, err := p.Message()
		if err != nil {
			return err
		}
		args = msg
	}
	err := c.send(ctx, method, args, reply, opts)
	if err == nil || answeredUnary(opts, err) {
		return err
	}
	return c.hide(ctx, err)
}

// send sends a unary call, and tells whether it did if somebody wants to know. A
// call for which grpc-go had no connection, or whose stream it could not begin, has
// no peer.
func (c *Conn) send(ctx context.Context, method string, args, reply any, opts []grpc.CallOption) error {
	reach := call.ReachOf(opts)
	if reach == nil {
		return c.cc.Invoke(ctx, method, args, reply, opts...)
	}
	reach.Begin()
	var to peer.Peer
	err := c.cc.Invoke(ctx, method, args, reply, append(slices.Clip(opts), grpc.Peer(&to))...)
	if err != nil && to.Addr == nil {
		reach.Unsent()
	}
	return err
}

// NewStream begins a streaming call.
func (c *Conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := call.From(ctx).ReadRequest(); err != nil {
		return nil, err
	}
	ctx, end := c.age.begin(ctx)
	up, err := c.cc.NewStream(ctx, desc, method, opts...)
	if err != nil {
		err = c.ended(ctx, err)
		end()
		return nil, err
	}
	return &clientStream{ClientStream: up, conn: c, ctx: ctx, end: end, one: !desc.ServerStreams}, nil
}

// ended is how a stream ended, as it may be told.
func (c *Conn) ended(ctx context.Context, err error) error {
	if c.age.ended(ctx) {
		return c.age.over
	}
	return c.hide(ctx, err)
}

type clientStream struct {
	grpc.ClientStream
	conn *Conn
	ctx  context.Context // of the stream, to tell whose deadline passed
	end  func()          // lets go of what bounds the stream's age
	one  bool            // there is one answer, and it ends the stream
}

func (s *clientStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil && !s.one {
		return nil
	}
	defer s.end()
	if err == nil || err == io.EOF {
		return err
	}
	header, _ := s.ClientStream.Header() // its error is err
	if answered(header, s.Trailer(), err) {
		return err
	}
	return s.conn.ended(s.ctx, err)
}

// Header gives the backend's headers. Its errors are told by RecvMsg.
func (s *clientStream) Header() (metadata.MD, error) { return s.ClientStream.Header() }
