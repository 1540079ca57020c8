// Package call holds what a call is to the gateway: a method, metadata, and
// messages each way, joined by [Forward].
//
// The client's half of a call is a [grpc.ServerStream], whatever protocol the
// client spoke. The upstream's half is a [grpc.ClientConnInterface]. Between
// the two a message is its protobuf wire bytes and nothing else. The package
// knows neither HTTP nor JSON.
package call

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Method is one RPC as served. It is built with the table and never written
// afterwards, so it may be shared by any number of calls.
type Method struct {
	// Name is the full method name as on the wire: "/shop.catalog.v1.CatalogService/GetProduct".
	Name string
	// Desc describes the RPC; nil means that its messages pass as opaque frames.
	Desc protoreflect.MethodDescriptor
	// Request is the shape of its requests; nil where Desc is.
	Request *Shape
	// CheckRequests refuses requests that no backend can read, as the client's
	// mistake. Those that an edge has made of JSON always can be.
	CheckRequests bool
	// Stream tells which halves are streams, as grpc-go wants it for NewStream.
	Stream grpc.StreamDesc
	// Conn is the upstream inside this method's chain of policies.
	Conn grpc.ClientConnInterface
	// Upstream is the name of the upstream in the configuration.
	Upstream string
	// StreamIdle ends a streaming call in which no message passed either way
	// for this long. Zero means never.
	StreamIdle time.Duration
	// RequestWithin is how long a client may take to send the request where there is
	// exactly one. Edges refuse a later one as the client's fault. Zero sets no bound.
	RequestWithin time.Duration
}

// Unary reports whether both halves carry exactly one message.
func (m *Method) Unary() bool { return !m.Stream.ClientStreams && !m.Stream.ServerStreams }

// check refuses a request of c that is not one of the method's, and notes one that
// not every library of protobuf reads.
func (m *Method) check(c *Call, msg *Message) error {
	if m == nil || !m.CheckRequests || m.Request == nil || c != nil && c.Protocol == REST {
		return nil
	}
	switch msg.ReadableAs(m.Request) {
	case Unreadable:
		return Refuse(Client, codes.InvalidArgument,
			"the request is not a message of type %s: its bytes cannot be read as one", m.Desc.Input().FullName())
	case Debatable:
		if c != nil {
			c.debatable.Store(true)
		}
	case Readable:
	}
	return nil
}

// View shows the messages of one HTTP binding to HTTP clients. It is compiled
// when the table is built and safe for concurrent use.
type View interface {
	// AppendRequest appends the request message's wire bytes to dst. Its
	// errors are the client's mistakes, ready to be sent to it, or that of
	// in.Until.
	AppendRequest(dst []byte, in *Input) ([]byte, error)
	// AppendResponse appends what an HTTP client gets for the response message
	// in wire to dst. An empty contentType means JSON; raw reports that the
	// bytes are a document of their own (google.api.HttpBody), which in a
	// stream take no delimiter. It fails with the error of until, which may be
	// nil, soon after there is one.
	AppendResponse(dst, wire []byte, until Lifetime) (out []byte, contentType string, raw bool, err error)
}

// Lifetime tells those who work for a call whether it is over: Err is nil until then,
// and says why afterwards. It is asked often. A [context.Context] is one.
type Lifetime interface{ Err() error }

// Input is what an HTTP request says about one request message.
type Input struct {
	// Vars are the decoded path variables in the template's order.
	Vars []string
	// RawQuery is the query string, still encoded, without "?".
	RawQuery string
	// Body is the whole body; it is not kept after the call.
	Body []byte
	// HasBody tells an absent body from an empty one.
	HasBody bool
	// ContentType is the body's media type as sent, "" if none was.
	ContentType string
	// Continues tells that Body is a further piece of a raw body, of which an
	// earlier message had the beginning, with all that the rest of the request says.
	Continues bool
	// Until ends the work on this input: the view fails with its error soon after
	// there is one. Nil means never.
	Until Lifetime
}
