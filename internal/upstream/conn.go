package upstream

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Conn is the last link of every chain: it reads the request, which until here
// nobody has, and sends its bytes as they are. It is safe for concurrent use.
type Conn struct {
	name string
	cc   grpc.ClientConnInterface
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
	err := c.cc.Invoke(ctx, method, args, reply, opts...)
	if err == nil || answered(opts) {
		return err
	}
	return c.hide(ctx, err)
}

// answered reports whether the backend itself said how the call ended: what
// grpc-go says on its own comes without metadata, and a backend's answer has at
// least a content type. Callers that ask for no metadata are inside the
// process, where there is nothing to hide.
func answered(opts []grpc.CallOption) bool {
	asked := false
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			asked = true
			if len(*o.HeaderAddr) > 0 {
				return true
			}
		case grpc.TrailerCallOption:
			asked = true
			if len(*o.TrailerAddr) > 0 {
				return true
			}
		}
	}
	return !asked
}

// NewStream begins a streaming call.
func (c *Conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	up, err := c.cc.NewStream(ctx, desc, method, opts...)
	if err != nil {
		return nil, c.hide(ctx, err)
	}
	return &clientStream{ClientStream: up, conn: c, ctx: ctx}, nil
}

type clientStream struct {
	grpc.ClientStream
	conn *Conn
	ctx  context.Context //nolint:containedctx // of the stream, to tell whose deadline passed
}

func (s *clientStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil || err == io.EOF {
		return err
	}
	if header, herr := s.ClientStream.Header(); herr == nil && len(header) > 0 || len(s.ClientStream.Trailer()) > 0 {
		return err
	}
	return s.conn.hide(s.ctx, err)
}

// Header gives the backend's headers. Its errors are told by RecvMsg.
func (s *clientStream) Header() (metadata.MD, error) { return s.ClientStream.Header() }

// hide turns an error that grpc-go made into one that names the upstream and
// neither its addresses nor how it failed; that stays as the cause, for logs.
func (c *Conn) hide(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*call.Error](context.Cause(ctx)); ok {
		return err // a policy knows better why
	}
	switch status.Code(err) {
	case codes.Unavailable:
		return call.Refuse(call.Upstream, codes.Unavailable, "upstream %q is unavailable", c.name).Because(err)
	case codes.DeadlineExceeded:
		return call.Refuse(call.Upstream, codes.DeadlineExceeded, "no answer from upstream %q before the deadline", c.name).Because(err)
	case codes.Canceled:
		if ctx.Err() == nil {
			return call.Refuse(call.Upstream, codes.Unavailable, "upstream %q cancelled the call", c.name).Because(err)
		}
		return call.Refuse(call.Client, codes.Canceled, "the client cancelled the call").Because(err)
	case codes.ResourceExhausted:
		return call.Refuse(call.Upstream, codes.ResourceExhausted, "a message of upstream %q is larger than its max_receive_bytes", c.name).Because(err)
	case codes.Internal, codes.Unknown:
		return call.Refuse(call.Upstream, codes.Internal, "upstream %q gave an answer that is not gRPC", c.name).Because(err)
	default:
		return err
	}
}
