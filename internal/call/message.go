package call

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// Message is one message as its protobuf wire bytes. Whoever holds a Message
// owns one reference to its buffers and gives it up with Free, once.
type Message struct {
	Data mem.BufferSlice
}

// Len is the message's length in bytes.
func (m *Message) Len() int { return m.Data.Len() }

// text is a copy of the message. As a text it cannot be changed, and parts of it
// take no memory of their own.
func (m *Message) text() string {
	var b strings.Builder
	b.Grow(m.Len())
	for _, buf := range m.Data {
		_, _ = b.Write(buf.ReadOnlyData()) // never fails
	}
	return b.String()
}

// Free gives up the reference to the buffers. A freed Message is empty and may
// be filled again.
func (m *Message) Free() {
	m.Data.Free()
	m.Data = nil
}

// take replaces the content with data, of which it becomes an owner.
func (m *Message) take(data mem.BufferSlice) {
	m.Free()
	data.Ref()
	m.Data = data
}

// ErrTooLarge is the reason of an error that says that an answer is larger than may be
// received.
var ErrTooLarge = errors.New("the answer is larger than may be received")

// Codec passes a Message through grpc-go as it is. It also speaks for
// generated messages, so that a generated client works on our connections.
// The zero value is ready and safe for concurrent use.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Name is empty on purpose: the content type is then plain application/grpc,
// which every server takes.
func (Codec) Name() string { return "" }

// Marshal hands out a new reference to a Message's bytes, or encodes v if it is
// a generated message.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	switch v := v.(type) {
	case *Message:
		v.Data.Ref()
		return v.Data, nil
	case proto.Message:
		b, err := proto.Marshal(v)
		if err != nil {
			return nil, err
		}
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	default:
		return nil, fmt.Errorf("cannot send %T: want wire bytes or a protobuf message", v)
	}
}

// Unmarshal keeps a reference to data in a Message, or decodes it into a
// generated message.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch v := v.(type) {
	case *Message:
		v.take(data)
		return nil
	case proto.Message:
		buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
		defer buf.Free()
		return proto.Unmarshal(buf.ReadOnlyData(), v)
	default:
		return fmt.Errorf("cannot receive into %T: want wire bytes or a protobuf message", v)
	}
}

// Pending is a request message that nobody has read yet. It travels down the
// chain in the message's place, so that a policy which refuses the call has
// not paid for its body. It is safe for concurrent use.
type Pending struct {
	down   grpc.ServerStream // nil where msg was there from the beginning
	call   *Call
	method *Method // by which the message is checked; nil checks nothing

	mu   sync.Mutex
	read bool
	msg  Message
	err  error
}

// Message reads the request on the first call and returns the same message on
// every later one, so that an attempt may be repeated. The Pending keeps
// ownership. That the client sent exactly one message is checked here: grpc-go
// does not do it for handlers of unknown services.
func (p *Pending) Message() (*Message, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.read {
		p.read = true
		p.err = p.receive()
	}
	if p.err != nil {
		return nil, p.err
	}
	return &p.msg, nil
}

func (p *Pending) receive() error {
	if p.down != nil {
		if err := receiveOne(p.down, &p.msg); err != nil {
			return err
		}
	}
	return p.method.check(p.call, &p.msg)
}

// given is a Pending of a request that is there, and stays its maker's: nobody frees it.
func given(m *Method, c *Call, request *Message) *Pending {
	return &Pending{method: m, call: c, msg: Message{Data: request.Data}}
}

// free releases the message. Whoever asks for it afterwards gets an error, not a
// message without content.
func (p *Pending) free() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read = true
	p.err = errReleased
	p.msg.Free()
}

// errReleased is a policy's mistake: it asked for the request after the call.
var errReleased = Refuse(Gateway, codes.Internal, "internal error").
	Because(errors.New("the request message was asked for after the call had ended"))

// receiveOne reads the single message of a half that is not a stream. The
// status code for a wrong number of messages is gRPC's own (statuscodes.md:
// "request cardinality violation").
func receiveOne(down grpc.ServerStream, msg *Message) error {
	err := down.RecvMsg(msg)
	if err == io.EOF {
		return Refuse(Client, codes.Unimplemented, "the request has no message: this method takes exactly one")
	}
	if err != nil {
		return err
	}
	var extra Message
	err = down.RecvMsg(&extra)
	if err == io.EOF {
		return nil
	}
	extra.Free()
	msg.Free()
	if err != nil {
		return err
	}
	return Refuse(Client, codes.Unimplemented, "the request has more than one message: this method takes exactly one")
}
