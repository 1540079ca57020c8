// Package calltest has both halves of a call for tests: a connection and a
// client, without a network between.
package calltest

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Conn is a connection made of functions. A nil one answers nothing.
type Conn struct {
	OnInvoke func(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error
	OnStream func(ctx context.Context, desc *grpc.StreamDesc, method string) (grpc.ClientStream, error)
}

var _ grpc.ClientConnInterface = Conn{}

// Invoke calls OnInvoke.
func (c Conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if c.OnInvoke == nil {
		return nil
	}
	return c.OnInvoke(ctx, method, args, reply, opts...)
}

// NewStream calls OnStream.
func (c Conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	if c.OnStream == nil {
		return &ClientStream{}, nil
	}
	return c.OnStream(ctx, desc, method)
}

// ClientStream is an upstream's half that answers from a script.
type ClientStream struct {
	grpc.ClientStream
	HeaderMD, TrailerMD metadata.MD
	Answers             []string     // one after the other
	End                 error        // after the last answer; nil is io.EOF
	OnSend              func(string) // told of each request
	OnRecv              func()       // called before each answer

	mu     sync.Mutex
	next   int
	closed bool
}

// Header returns HeaderMD.
func (s *ClientStream) Header() (metadata.MD, error) { return s.HeaderMD, nil }

// Trailer returns TrailerMD.
func (s *ClientStream) Trailer() metadata.MD { return s.TrailerMD }

// CloseSend notes that the client has closed its half.
func (s *ClientStream) CloseSend() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// Closed reports whether the client has closed its half.
func (s *ClientStream) Closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// SendMsg tells OnSend.
func (s *ClientStream) SendMsg(m any) error {
	if msg, ok := m.(*call.Message); ok && s.OnSend != nil {
		s.OnSend(string(msg.Data.Materialize()))
	}
	return nil
}

// RecvMsg gives the next answer.
func (s *ClientStream) RecvMsg(m any) error {
	if s.OnRecv != nil {
		s.OnRecv()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == len(s.Answers) {
		if s.End == nil {
			return io.EOF
		}
		return s.End
	}
	if msg, ok := m.(*call.Message); ok {
		msg.Data = Bytes(s.Answers[s.next])
	}
	s.next++
	return nil
}

// ServerStream is a client's half that sends Requests and keeps what it is sent.
type ServerStream struct {
	Ctx      context.Context // ServerStream has a Context method
	Requests []string
	RecvErr  error // after the last request; nil is io.EOF
	OnRecv   func()

	mu              sync.Mutex
	next            int
	Header, Trailer metadata.MD
	Got             []string
}

var _ grpc.ServerStream = (*ServerStream)(nil)

// Context returns Ctx, or the background.
func (s *ServerStream) Context() context.Context {
	if s.Ctx == nil {
		return context.Background()
	}
	return s.Ctx
}

// SetHeader keeps md.
func (s *ServerStream) SetHeader(md metadata.MD) error {
	s.Header = metadata.Join(s.Header, md)
	return nil
}

// SendHeader keeps md.
func (s *ServerStream) SendHeader(md metadata.MD) error { return s.SetHeader(md) }

// SetTrailer keeps md.
func (s *ServerStream) SetTrailer(md metadata.MD) { s.Trailer = metadata.Join(s.Trailer, md) }

// SendMsg keeps the message in Got.
func (s *ServerStream) SendMsg(m any) error {
	if msg, ok := m.(*call.Message); ok {
		s.Got = append(s.Got, string(msg.Data.Materialize()))
	}
	return nil
}

// RecvMsg gives the next request.
func (s *ServerStream) RecvMsg(m any) error {
	if s.OnRecv != nil {
		s.OnRecv()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == len(s.Requests) {
		if s.RecvErr == nil {
			return io.EOF
		}
		return s.RecvErr
	}
	if msg, ok := m.(*call.Message); ok {
		msg.Data = Bytes(s.Requests[s.next])
	}
	s.next++
	return nil
}

// Bytes are wire bytes that nobody has to free.
func Bytes(s string) mem.BufferSlice { return mem.BufferSlice{mem.SliceBuffer(s)} }
