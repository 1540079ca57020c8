package upstream

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// maxNesting is how deep messages may be nested for protobuf's libraries of C++,
// Java and others. Go's takes more.
const maxNesting = 100

// unreadable reports whether the backend failed with err over a request that is not
// a message of its type. What gRPC clients send passes unread, and a backend that
// cannot read it says INTERNAL or UNKNOWN, as one that is broken. So the request is
// read once this has happened, and costs the others nothing.
//
// A stream of requests is gone by then: what it was is not known.
func (x *exchange) unreadable(err error) bool {
	if code := status.Code(err); code != codes.Internal && code != codes.Unknown {
		return false
	}
	c := call.From(x)
	if c == nil || c.Table == nil {
		return false
	}
	m := c.Table.Method(c.Method)
	if m == nil || m.Desc == nil || m.Stream.ClientStreams {
		return false
	}
	request, err := c.Request()
	if err != nil {
		return false
	}
	limited := proto.UnmarshalOptions{RecursionLimit: maxNesting}
	return limited.Unmarshal(request.Data.Materialize(), dynamicpb.NewMessage(m.Desc.Input())) != nil
}
