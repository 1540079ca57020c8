package call

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
)

// inProcess is a stream as the caller inside the process sees it.
type inProcess struct {
	grpc.ClientStream
	call   *Call
	single bool // the answer is one message
	stop   func() bool
}

// Header gives the backend's headers and the gateway's own.
func (s *inProcess) Header() (metadata.MD, error) {
	header, err := s.ClientStream.Header()
	return metadata.Join(header, s.call.Header()), err
}

func (s *inProcess) SendMsg(v any) error {
	msg, free, err := encoded(v)
	if err != nil {
		return err
	}
	defer free()
	s.call.In.Add(msg.Len())
	return s.ClientStream.SendMsg(msg)
}

func (s *inProcess) RecvMsg(v any) error {
	err := s.receive(v)
	if err != nil || s.single {
		s.stop()
		s.call.Finish(outcome(err))
	}
	return err
}

func (s *inProcess) receive(v any) error {
	msg, own := v.(*Message)
	if !own {
		msg = new(Message)
		defer msg.Free()
	}
	if err := s.ClientStream.RecvMsg(msg); err != nil {
		return err
	}
	s.call.Out.Add(msg.Len())
	if own {
		return nil
	}
	return s.call.decode(msg, v)
}

// oneRequest is a stream of answers, which begins when its request is there.
type oneRequest struct {
	ctx    context.Context // ClientStream has a Context method
	call   *Call
	method *Method
	table  *Table
	begin  func() grpc.ClientStream

	up    grpc.ClientStream
	begun chan struct{} // closed when up is there
}

// SendMsg begins the stream with v. What goes wrong is told by RecvMsg, as
// grpc-go does where there is one request.
func (s *oneRequest) SendMsg(v any) error {
	if s.up != nil {
		return Refuse(Client, codes.Internal, "the method takes exactly one request, and it was sent before")
	}
	msg, free, err := encoded(v)
	if err != nil {
		err = s.table.Refuse(s.ctx, err)
		s.call.Finish(err)
		return err
	}
	defer free()
	// A copy: policies may look at it for as long as the call runs.
	request := &Message{Data: mem.BufferSlice{mem.SliceBuffer(msg.Data.Materialize())}}
	s.call.carries(given(s.method, s.call, request).Message)
	s.up = s.begin()
	close(s.begun)
	if err := s.up.SendMsg(request); err != io.EOF {
		return err
	}
	return nil
}

// wait returns the stream once it has begun.
func (s *oneRequest) wait() (grpc.ClientStream, error) {
	select {
	case <-s.begun:
		return s.up, nil
	case <-s.ctx.Done():
		return nil, StatusOf(s.ctx.Err()).Err()
	}
}

func (s *oneRequest) Header() (metadata.MD, error) {
	up, err := s.wait()
	if err != nil {
		return nil, err
	}
	return up.Header()
}

func (s *oneRequest) RecvMsg(v any) error {
	up, err := s.wait()
	if err != nil {
		return err
	}
	return up.RecvMsg(v)
}

// CloseSend is called after the request was sent.
func (s *oneRequest) CloseSend() error {
	if s.up == nil {
		return nil
	}
	return s.up.CloseSend()
}

// Trailer is called after the status was received.
func (s *oneRequest) Trailer() metadata.MD {
	if s.up == nil {
		return nil
	}
	return s.up.Trailer()
}

func (s *oneRequest) Context() context.Context { return s.ctx }

// refusedStream is a stream that ended before it began. As with a client of
// grpc-go its status comes with the first message that is looked for, and what
// else the gateway has to say with the trailer.
type refusedStream struct {
	ctx     context.Context // ClientStream has a Context method
	err     error
	trailer metadata.MD
}

var _ grpc.ClientStream = (*refusedStream)(nil)

func (s *refusedStream) Header() (metadata.MD, error) { return nil, s.err }
func (s *refusedStream) Trailer() metadata.MD         { return s.trailer }
func (s *refusedStream) CloseSend() error             { return nil }
func (s *refusedStream) Context() context.Context     { return s.ctx }
func (s *refusedStream) SendMsg(any) error            { return nil }
func (s *refusedStream) RecvMsg(any) error            { return s.err }

// outcome reads the end of a stream as success.
func outcome(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

var (
	_ grpc.ClientStream = (*inProcess)(nil)
	_ grpc.ClientStream = (*oneRequest)(nil)
)
