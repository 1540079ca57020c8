package call

import (
	"context"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// Calls from inside the process are calls like all others: policies see wire
// bytes, and observers are told of each once. So what comes as a generated
// message is encoded before the chain and decoded behind it.

// Invoke makes a unary call from inside the process. args and reply are
// generated messages, or *[Message], which stay the caller's.
func (t *Table) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) (err error) {
	m := t.methods[method]
	ctx, c := enter(ctx, m)
	defer func() { c.Finish(err) }()
	if m == nil {
		return t.Refuse(ctx, Unknown(method))
	}
	request, free, err := encoded(args)
	if err != nil {
		return t.Refuse(ctx, err)
	}
	defer free()
	c.In.Add(request.Len())
	c.carries(func() (*Message, error) { return request, nil })
	answer, own := reply.(*Message)
	if !own {
		answer = new(Message)
		defer answer.Free()
	}
	err = m.Conn.Invoke(ctx, method, request, answer, opts...)
	c.addTo(opts)
	if err != nil {
		return err
	}
	c.Out.Add(answer.Len())
	if own {
		return nil
	}
	return m.decode(answer, reply)
}

// NewStream begins a streaming call from inside the process. The call ends when
// its last message or its status has been received, or when ctx ends.
func (t *Table) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	m := t.methods[method]
	ctx, c := enter(ctx, m)
	if m == nil {
		err := t.Refuse(ctx, Unknown(method))
		c.Finish(err)
		return nil, err
	}
	up, err := m.Conn.NewStream(ctx, desc, method, opts...)
	if err != nil {
		c.Finish(err)
		return &refusedStream{ctx: ctx, err: err, trailer: c.Header()}, nil
	}
	stop := context.AfterFunc(ctx, func() { c.Finish(context.Cause(ctx)) })
	return &inProcess{ClientStream: up, method: m, call: c, single: !desc.ServerStreams, stop: stop}, nil
}

// addTo gives the gateway's own headers to a caller that asked for headers.
func (c *Call) addTo(opts []grpc.CallOption) {
	for _, o := range opts {
		if o, ok := o.(grpc.HeaderCallOption); ok {
			*o.HeaderAddr = metadata.Join(*o.HeaderAddr, c.Header())
		}
	}
}

// enter begins a call of m. A call made for another one is told apart from it,
// but belongs to the same client.
func enter(ctx context.Context, m *Method) (context.Context, *Call) {
	c := &Call{Protocol: InProcess, Start: time.Now()}
	if m != nil {
		c.Method, c.Upstream = m.Name, m.Upstream
	}
	if outer := From(ctx); outer != nil {
		c.Peer, c.RequestID, c.TraceID, c.TLS = outer.Peer, outer.RequestID, outer.TraceID, outer.TLS
	}
	return With(ctx, c), c
}

// encoded is v as wire bytes, and what gives them up again.
func encoded(v any) (_ *Message, free func(), _ error) {
	if msg, ok := v.(*Message); ok {
		return msg, func() {}, nil
	}
	data, err := Codec{}.Marshal(v)
	if err != nil {
		return nil, nil, Refuse(Client, codes.InvalidArgument, "the request is not a valid message: want one of the method's type, with text in UTF-8").Because(err)
	}
	msg := &Message{Data: data}
	return msg, msg.Free, nil
}

// decode reads an answer into a generated message.
func (m *Method) decode(answer *Message, into any) error {
	if err := (Codec{}).Unmarshal(answer.Data, into); err != nil {
		return Refuse(Upstream, codes.Internal, "upstream %q gave an answer that is not valid", m.Upstream).Because(err)
	}
	return nil
}

// inProcess is a stream as the caller inside the process sees it.
type inProcess struct {
	grpc.ClientStream
	method *Method
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
	return s.method.decode(msg, v)
}

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

var _ grpc.ClientStream = (*inProcess)(nil)
