package call

import (
	"context"
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
	c.Table = t
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
	c.carries(given(m, c, request).Message)
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
	return c.decode(answer, reply)
}

// NewStream begins a streaming call from inside the process. The call ends when
// its last message or its status has been received, or when ctx ends. Where
// there is one request only the chain begins with it, for policies may look into
// it.
func (t *Table) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	m := t.methods[method]
	ctx, c := enter(ctx, m)
	c.Table = t
	if m == nil {
		err := t.Refuse(ctx, Unknown(method))
		c.Finish(err)
		return nil, err
	}
	t.Hold()
	c.After(func(error) { t.Leave() })
	begin := func() grpc.ClientStream {
		up, err := m.Conn.NewStream(ctx, desc, method, opts...)
		if err != nil {
			c.Finish(err)
			return &refusedStream{ctx: ctx, err: err, trailer: c.Header()}
		}
		stop := context.AfterFunc(ctx, func() { c.Finish(context.Cause(ctx)) })
		return &inProcess{ClientStream: up, call: c, single: !desc.ServerStreams, stop: stop}
	}
	if desc.ClientStreams {
		return begin(), nil
	}
	stop := context.AfterFunc(ctx, func() { c.Finish(context.Cause(ctx)) })
	c.After(func(error) { stop() })
	return &oneRequest{ctx: ctx, call: c, method: m, table: t, begin: begin, begun: make(chan struct{})}, nil
}

// Nested is what a call made for another one brings beside its answer.
type Nested struct {
	// Own is what the gateway's policies had to say in headers; nil for nothing.
	Own metadata.MD

	header, trailer metadata.MD
	opts            [3]grpc.CallOption
}

// Header is what the backend said in its header.
func (n *Nested) Header() metadata.MD { return n.header }

// Call makes a unary call of m for the call that ctx belongs to, through m's own
// chain: the same client, the metadata that ctx carries. request and answer stay
// the caller's; answer is filled if there is no error. reach learns whether the call
// left the gateway.
func (m *Method) Call(ctx context.Context, request, answer *Message, reach *Reach) (n *Nested, err error) {
	ctx, c := enter(ctx, m)
	n = new(Nested)
	defer func() { c.Finish(err) }()
	c.In.Add(request.Len())
	c.carries(given(m, c, request).Message)
	// Asked for, so that an upstream's errors are told as to a client.
	n.opts[0] = grpc.HeaderCallOption{HeaderAddr: &n.header}
	n.opts[1] = grpc.TrailerCallOption{TrailerAddr: &n.trailer}
	n.opts[2] = reach
	err = m.Conn.Invoke(ctx, m.Name, request, answer, n.opts[:]...)
	n.Own = c.Header()
	if err == nil {
		c.Out.Add(answer.Len())
	}
	return n, err
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
		c.Peer, c.Host, c.Scheme, c.UserAgent, c.TLS = outer.Peer, outer.Host, outer.Scheme, outer.UserAgent, outer.TLS
		c.RequestID, c.TraceID = outer.RequestID, outer.TraceID
		c.Table, c.outer = outer.Table, outer
		c.Memory.OpenWithin(&outer.Memory)
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
func (c *Call) decode(answer *Message, into any) error {
	if err := (Codec{}).Unmarshal(answer.Data, into); err != nil {
		return Refuse(Upstream, codes.Internal, "upstream %q gave an answer that is not valid", c.ServedBy()).Because(err)
	}
	return nil
}
