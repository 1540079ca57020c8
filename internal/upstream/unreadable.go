package upstream

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// unreadable reports whether the backend failed with err over a request that is not
// a message of its type. A backend that cannot read a request says INTERNAL or
// UNKNOWN, as one that is broken. Where requests are not checked before they go on,
// a single one is looked at once this has happened, and costs the others nothing;
// those of a stream are looked at as they are sent, since they are gone by then. REST
// bodies are checked nowhere: what they become is well-formed, but may be nested deep.
func (x *exchange) unreadable(err error) bool {
	if code := status.Code(err); code != codes.Internal && code != codes.Unknown {
		return false
	}
	if x.sentUnreadable.Load() {
		return true
	}
	c, m := call.From(x), x.described()
	switch {
	case m == nil:
		return false
	case m.CheckRequests && !c.Transcoded:
		return c.Debatable()
	case m.Stream.ClientStreams:
		return false
	}
	request, err := c.Request()
	if err != nil || request.ReadableAs(m.Request()) == call.Readable {
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
	if m := c.Table.Method(c.Method); m != nil && m.Request != nil {
		return m
	}
	return nil
}

// uncheckedRequests is the shape of a stream of requests that nobody has checked.
func (x *exchange) uncheckedRequests() *call.Shape {
	m := x.described()
	if m == nil {
		return nil
	}
	if c := call.From(x); m.CheckRequests && c.Protocol != call.InProcess && !c.Transcoded {
		return nil // each was checked when it came
	}
	return m.Request()
}

// look notes whether a request of a stream is one that some backends cannot read.
func (x *exchange) look(m any, of *call.Shape) {
	if msg, ok := m.(*call.Message); ok && of != nil && !x.sentUnreadable.Load() && msg.ReadableAs(of) != call.Readable {
		x.sentUnreadable.Store(true)
	}
}
