package upstream

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Conn is the last link of every chain: it reads the request, which until here
// nobody has, and sends its bytes as they are. It is safe for concurrent use.
type Conn struct {
	name  string
	cc    grpc.ClientConnInterface
	age   *age     // of streams
	usual sync.Map // *usual by the name of an RPC with one answer
	quiet silence

	maxReceive int // the limit of cc to a message, in bytes
}

var _ grpc.ClientConnInterface = (*Conn)(nil)

// NewConn makes the last link before cc, which must have been made with
// [Observed]. name is the upstream's in the configuration; it stands in errors in
// the place of addresses, which are nobody's business outside.
func NewConn(name string, cc grpc.ClientConnInterface) *Conn { return &Conn{name: name, cc: cc} }

// Observed is an option of the connections that a [Conn] sends on: it tells the
// Conn what happens to a call.
func Observed() grpc.DialOption { return grpc.WithStatsHandler(observer{}) }

// The shapes of calls as grpc-go is told of them. Where there is one answer, the
// Conn itself checks that there is: grpc-go's check hides how many came.
var (
	oneRequest   = grpc.StreamDesc{ServerStreams: true}
	manyRequests = grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
)

// Invoke sends a unary call.
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if p, ok := args.(*call.Pending); ok {
		msg, err := p.Message()
		if err != nil {
			return err
		}
		args = msg
	} else if err := call.From(ctx).ReadRequest(); err != nil { // of a call from inside the process
		return err
	}
	reach := call.ReachOf(opts)
	reach.Begin()
	x := &exchange{Context: ctx, conn: c, method: method}
	x.ask()
	err := x.invoke(args, reply, opts)
	switch {
	case err == nil:
	case !x.has(sent):
		reach.Unsent()
	case x.unanswered(err):
		c.quiet.missed()
	}
	return err
}

func (x *exchange) invoke(args, reply any, opts []grpc.CallOption) error {
	up, err := x.conn.cc.NewStream(x, &oneRequest, x.method, opts...)
	if err != nil {
		return x.end(nil, err)
	}
	if err := up.SendMsg(args); err != nil {
		return x.end(up, err)
	}
	if err := x.receiveWithRoom(up, reply); err != nil {
		told := x.end(up, err)
		if err == errMany || err == errFormat || isOwn(err) { // grpc-go still waits for the end of the stream
			_ = up.SendMsg(nil) // one more than there may be: this ends it
		}
		return told
	}
	if !call.From(x).Waited() {
		x.conn.usualOf(x.method).learn(x.elapsed())
	}
	return nil
}

// receive receives an answer. It returns errFormat for one that is not in
// protobuf.
func (x *exchange) receive(up grpc.ClientStream, reply any) error {
	if err := up.RecvMsg(reply); err != nil {
		return err
	}
	if x.has(foreign) {
		return errFormat
	}
	return nil
}

// receiveOne receives the answer of a call that has one. It returns io.EOF if
// there is none and errMany if there are more.
func (x *exchange) receiveOne(up grpc.ClientStream, reply any) error {
	if err := x.receive(up, reply); err != nil {
		return err
	}
	var extra call.Message
	defer extra.Free()
	switch err := up.RecvMsg(&extra); err {
	case io.EOF:
		return nil
	case nil:
		return errMany
	default:
		return err
	}
}

// NewStream begins a streaming call.
func (c *Conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := call.From(ctx).ReadRequest(); err != nil {
		return nil, err
	}
	ctx, end := c.age.begin(ctx)
	x := &exchange{Context: ctx, conn: c, method: method, stream: true}
	x.ask()
	shape := &oneRequest
	var requests *call.Shape
	if desc.ClientStreams {
		shape, requests = &manyRequests, x.uncheckedRequests()
	}
	up, err := c.cc.NewStream(x, shape, method, opts...)
	if err != nil {
		err = x.ended(nil, err)
		end()
		return nil, err
	}
	return &clientStream{ClientStream: up, exchange: x, end: end, requests: requests, one: !desc.ServerStreams}, nil
}

// ended is how a stream ended, as it may be told.
func (x *exchange) ended(up grpc.ClientStream, err error) error {
	if age := x.conn.age; age.ended(x) {
		return age.over
	}
	return x.end(up, err)
}

type clientStream struct {
	grpc.ClientStream
	exchange *exchange
	end      func() // lets go of what bounds the stream's age
	// requests is the shape of a stream of requests that are not checked, nil where
	// there is one request or the shape is not known.
	requests *call.Shape
	one      bool // there is one answer, and it ends the stream
}

// SendMsg sends a request, and notes first whether a backend can read it.
func (s *clientStream) SendMsg(m any) error {
	s.exchange.look(m, s.requests)
	return s.ClientStream.SendMsg(m)
}

func (s *clientStream) RecvMsg(m any) error {
	if s.one {
		defer s.end()
		if err := s.exchange.receiveWithRoom(s.ClientStream, m); err != nil {
			return s.exchange.ended(s.ClientStream, err)
		}
		return nil
	}
	err := s.exchange.receiveMany(s.ClientStream, m)
	if err == nil {
		return nil
	}
	defer s.end()
	if err == io.EOF {
		return err
	}
	return s.exchange.ended(s.ClientStream, err)
}

// Header gives the backend's headers. Its errors are told by RecvMsg.
func (s *clientStream) Header() (metadata.MD, error) { return s.ClientStream.Header() }
