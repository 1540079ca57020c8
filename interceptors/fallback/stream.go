package fallback

import (
	"context"
	"io"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// stream serves the fixed answer where the upstream's does not begin.
func (r *rpc) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	up, err := next(ctx, desc, cc, method, opts...)
	if err != nil && !unanswered(ctx, err) {
		return nil, err
	}
	return &guarded{ClientStream: up, rpc: r, ctx: ctx, failed: err}, nil
}

// guarded is a stream whose answer may turn out to be the fixed one. Sending and
// receiving may go on at once, as with any stream; receiving is one goroutine's.
type guarded struct {
	grpc.ClientStream // nil if it could not be opened
	rpc               *rpc
	ctx               context.Context // of the stream

	failed error // why it could not be opened
	begun  bool  // something of the upstream's answer has been passed on
	served bool  // the fixed answer has been given

	over atomic.Bool // the upstream is out of it: what is sent goes nowhere
}

// Header blocks until the upstream's header comes; from then on the answer is
// the upstream's.
func (s *guarded) Header() (metadata.MD, error) {
	if s.ClientStream == nil {
		return nil, nil // it has none: the message follows
	}
	md, err := s.ClientStream.Header()
	s.begun = s.begun || len(md) > 0
	return md, err
}

// RecvMsg gives the upstream's messages, or the fixed one and then the end.
func (s *guarded) RecvMsg(m any) error {
	if s.served {
		return io.EOF
	}
	err := s.failed
	if err == nil {
		err = s.ClientStream.RecvMsg(m)
	}
	if err == nil || err == io.EOF {
		s.begun = true
		return err
	}
	if s.begun || !unanswered(s.ctx, err) {
		return err
	}
	s.over.Store(true)
	if s.rpc.fixed.Into(m, nil) != nil {
		return err
	}
	s.served = true
	s.rpc.degraded(s.ctx, err)
	return nil
}

// SendMsg says io.EOF once nobody listens, as grpc-go does: the outcome is for
// RecvMsg to tell.
func (s *guarded) SendMsg(m any) error {
	if s.gone() {
		return io.EOF
	}
	return s.ClientStream.SendMsg(m)
}

// CloseSend ends the requests.
func (s *guarded) CloseSend() error {
	if s.gone() {
		return nil
	}
	return s.ClientStream.CloseSend()
}

// Trailer is the upstream's, unless the answer is not.
func (s *guarded) Trailer() metadata.MD {
	if s.served || s.failed != nil {
		return nil
	}
	return s.ClientStream.Trailer()
}

func (s *guarded) gone() bool { return s.failed != nil || s.over.Load() }

var _ grpc.ClientStream = (*guarded)(nil)
