package upstream

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// unreadable reports whether the backend failed with err over a request that is not
// a message of its type. What gRPC clients send passes unread, and a backend that
// cannot read it says INTERNAL or UNKNOWN, as one that is broken. A single request
// is looked at once this has happened, and costs the others nothing; those of a
// stream are looked at as they are sent, since they are gone by then.
func (x *exchange) unreadable(err error) bool {
	if code := status.Code(err); code != codes.Internal && code != codes.Unknown {
		return false
	}
	if x.sentUnreadable.Load() {
		return true
	}
	c := call.From(x)
	m := x.described()
	if m == nil || m.Stream.ClientStreams {
		return false
	}
	request, err := c.Request()
	if err != nil || request.ReadableAs(m.Desc.Input()) {
		return false
	}
	x.sentUnreadable.Store(true) // the count of outliers and the caller both ask
	return true
}

// described is the RPC as the table has it, nil if that has no descriptor.
func (x *exchange) described() *call.Method {
	c := call.From(x)
	if c == nil || c.Table == nil {
		return nil
	}
	if m := c.Table.Method(c.Method); m != nil && m.Desc != nil {
		return m
	}
	return nil
}

// look notes whether a request of a stream is one that no backend can read.
func (x *exchange) look(m any, of protoreflect.MessageDescriptor) {
	if msg, ok := m.(*call.Message); ok && of != nil && !x.sentUnreadable.Load() && !msg.ReadableAs(of) {
		x.sentUnreadable.Store(true)
	}
}
