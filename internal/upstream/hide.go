package upstream

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// answeredUnary is answered for a unary call, whose metadata goes where its
// options say. Callers that ask for no metadata are inside the process, where
// there is nothing to hide.
func answeredUnary(opts []grpc.CallOption, err error) bool {
	var header, trailer metadata.MD
	asked := false
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			asked, header = true, *o.HeaderAddr
		case grpc.TrailerCallOption:
			asked, trailer = true, *o.TrailerAddr
		}
	}
	return !asked || answered(header, trailer, err)
}

// answered reports whether the backend itself said how the call ended. What
// grpc-go says on its own, for want of an answer, comes without metadata; a
// backend's answer has at least a content type. An answer that began well and
// then broke off can only be told by what grpc-go says of it.
func answered(header, trailer metadata.MD, err error) bool {
	if len(trailer["content-type"]) > 0 {
		return true // headers and trailers in one: nothing was left to break
	}
	return len(header)+len(trailer) > 0 && !ownText(status.Convert(err).Message())
}

// ownTexts are the beginnings of what grpc-go's client says of an answer that
// broke off. A backend that says the same is told otherwise, which does no harm.
var ownTexts = [...]string{
	"connection error: ", "error reading from server", "closing transport due to", "the connection is draining",
	"stream terminated by RST_STREAM", "server closed the stream without sending trailers", "a HEADERS frame cannot",
	"peer header list size", "cardinality violation", "transport: ", "grpc: ", "received ", "unexpected EOF",
	"context deadline exceeded", "context canceled",
}

func ownText(text string) bool {
	for _, own := range ownTexts {
		if strings.HasPrefix(text, own) {
			return true
		}
	}
	return false
}

// hide turns an error that grpc-go made into one that names the upstream and
// neither its addresses nor how it failed; that stays as the cause, for logs.
func (c *Conn) hide(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*call.Error](context.Cause(ctx)); ok {
		return err // a policy knows better why
	}
	switch code := status.Code(err); code {
	case codes.Unavailable:
		return call.Refuse(call.Upstream, code, "upstream %q is unavailable", c.name).Because(err)
	case codes.DeadlineExceeded:
		return call.Refuse(call.Upstream, code, "no answer from upstream %q before the deadline", c.name).Because(err)
	case codes.Canceled:
		if ctx.Err() == nil {
			return call.Refuse(call.Upstream, codes.Unavailable, "upstream %q cancelled the call", c.name).Because(err)
		}
		return call.Refuse(call.Client, code, "the client cancelled the call").Because(err)
	case codes.ResourceExhausted:
		return call.Refuse(call.Upstream, code, "a message of upstream %q is larger than its max_receive_bytes", c.name).Because(err)
	case codes.Unknown:
		return call.Refuse(call.Upstream, codes.Internal, "upstream %q gave an answer that is not gRPC", c.name).Because(err)
	default: // the code that gRPC has for an HTTP status, or INTERNAL
		return call.Refuse(call.Upstream, code, "upstream %q gave an answer that is not gRPC", c.name).Because(err)
	}
}
