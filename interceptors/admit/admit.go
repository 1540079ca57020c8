// Package admit has a call wait for its client before it takes anything that other
// calls need. It stands in front of the policies that give out places: behind it a
// request is there.
package admit

import (
	"context"
	"io"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Policy is the policy of RPCs for whose calls there are places.
type Policy struct {
	// Shedding says that there is a place for each unary call.
	Shedding bool
}

// Build returns the policy of one RPC. A call with one request goes on when that has been read,
// and is refused here if it cannot be. With a stream of requests it goes on with the
// first of them, or with their end: until then the backend does not hear of it, and
// a backend that speaks first is not heard.
func (p Policy) Build(m *interceptors.Method) (interceptors.Interceptor, error) {
	capped := slices.ContainsFunc(m.Policy.GetConcurrency(), func(c *policyv1.Concurrency) bool { return !c.GetUnlimited() })
	if sheds := p.Shedding && m.Unary(); !capped && !sheds {
		return interceptors.Interceptor{}, nil
	}
	return interceptors.Interceptor{Name: "admit", Unary: unary, Stream: stream}, nil
}

func unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if err := call.From(ctx).ReadRequest(); err != nil {
		return err
	}
	return next(ctx, method, req, reply, cc, opts...)
}

func stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if !desc.ClientStreams {
		if err := call.From(ctx).ReadRequest(); err != nil {
			return nil, err
		}
		return next(ctx, desc, cc, method, opts...)
	}
	return &awaiting{
		ctx: ctx, begun: make(chan struct{}),
		open: func() (grpc.ClientStream, error) { return next(ctx, desc, cc, method, opts...) },
	}, nil
}

// awaiting is a stream of requests that begins with the first of them. One goroutine
// sends while another receives, as grpc-go promises for a ClientStream.
type awaiting struct {
	ctx  context.Context // ClientStream has a Context method
	open func() (grpc.ClientStream, error)

	once  sync.Once
	begun chan struct{} // closed when what follows is set
	up    grpc.ClientStream
	err   error // why there is none
}

var _ grpc.ClientStream = (*awaiting)(nil)

// errAborted is the end of a stream whose beginning panicked.
var errAborted error = call.Refuse(call.Gateway, codes.Internal, "internal error")

// begin opens the stream. The goroutine that sends calls it. If a policy further in
// panics, begin first wakes the goroutine that receives, and the panic goes on.
func (s *awaiting) begin() error {
	s.once.Do(func() {
		s.err = errAborted // stays so only if open panics
		defer close(s.begun)
		s.up, s.err = s.open()
	})
	return s.err
}

// SendMsg begins the stream if m is its first message. What goes wrong with the
// beginning is told by RecvMsg, as grpc-go does for a stream that has ended.
func (s *awaiting) SendMsg(m any) error {
	if s.begin() != nil {
		return io.EOF
	}
	return s.up.SendMsg(m)
}

// CloseSend begins a stream without messages, too.
func (s *awaiting) CloseSend() error {
	if s.begin() != nil {
		return nil //nolint:nilerr // RecvMsg tells it
	}
	return s.up.CloseSend()
}

// wait returns the stream once it has begun.
func (s *awaiting) wait() (grpc.ClientStream, error) {
	select {
	case <-s.begun:
		return s.up, s.err
	case <-s.ctx.Done():
		return nil, call.StatusOf(s.ctx.Err()).Err()
	}
}

func (s *awaiting) Header() (metadata.MD, error) {
	up, err := s.wait()
	if err != nil {
		return nil, err
	}
	return up.Header()
}

func (s *awaiting) RecvMsg(m any) error {
	up, err := s.wait()
	if err != nil {
		return err
	}
	return up.RecvMsg(m)
}

// Trailer is called after the status was received.
func (s *awaiting) Trailer() metadata.MD {
	select {
	case <-s.begun:
		if s.up != nil {
			return s.up.Trailer()
		}
	default:
	}
	return nil
}

func (s *awaiting) Context() context.Context { return s.ctx }
