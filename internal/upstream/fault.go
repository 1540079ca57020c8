package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// errMany says that there was more than one answer where one was due, as io.EOF
// says that there was none. errFormat is for answers that are not in protobuf.
var (
	errMany   = errors.New("more than one message")
	errFormat = errors.New("message in another format")
)

// end is how a call ended that failed with err, as the client may be told: the
// backend's own status as it is, or an error that names the upstream and neither
// its addresses nor how it failed. Whose fault it is follows from what happened to
// the call.
func (x *exchange) end(up grpc.ClientStream, err error) error {
	switch {
	case isOwn(err): // there was no room for the answer
		return err
	case x.answered(err) && saidSo(up, err):
		return x.said(err)
	case !x.has(sent):
		return x.unsent(err)
	case x.over() && policyEnded(x):
		return err // the policy knows better why
	case x.timedOut(err):
		return x.late(err)
	case err == errFormat:
		return call.Refuse(call.Upstream, codes.Internal, "upstream %q answers in %q: want \"application/grpc+proto\"", x.conn.name, contentType(up)).Because(err)
	case err == io.EOF: // for the code see gRPC's statuscodes.md, "Response cardinality violation"
		return call.Refuse(call.Upstream, codes.Unimplemented, "upstream %q gave no message: this method has one", x.conn.name)
	case err == errMany:
		return call.Refuse(call.Upstream, codes.Unimplemented, "upstream %q gave more than one message: this method has one", x.conn.name)
	default:
		return x.broken(err)
	}
}

// isOwn reports whether the gateway itself refused the call.
func isOwn(err error) bool {
	_, ok := errors.AsType[*call.Error](err)
	return ok
}

// outcome is what the end of an attempt says of the replica that had it.
func (x *exchange) outcome(err error) call.Outcome {
	switch {
	case err == nil:
	case !x.has(sent):
		return call.NoOutcome
	case x.answered(err):
		err = x.said(err)
	default:
		err = x.end(nil, err)
	}
	return call.OutcomeOf(x, err)
}

// answered reports whether the whole answer arrived, even if a message in it could
// not be read.
func (x *exchange) answered(err error) bool { return x.has(trailersCame) && !x.timedOut(err) }

// timedOut reports whether err says that the call's context has ended. The backend
// knows the deadline and may report it a moment before the context ends. A client
// may also reset the call at its own deadline, which is then a cancellation here.
func (x *exchange) timedOut(err error) bool {
	switch status.Code(err) {
	case codes.DeadlineExceeded:
		if deadline, ok := x.Deadline(); ok && !time.Now().Before(deadline) {
			<-x.Done()
		}
	case codes.Canceled:
	default:
		return false
	}
	return x.over()
}

// policyEnded reports whether a policy of the gateway's ended the call, and says
// why in the context's cause.
func policyEnded(ctx context.Context) bool {
	_, ok := errors.AsType[*call.Error](context.Cause(ctx))
	return ok
}

// saidSo reports whether err is the status with which the stream ended, and not
// what grpc-go says of a message that it could not read. grpc-go gives a stream's
// status again, the very same, as often as it is asked; what it says of a message,
// it says once.
func saidSo(up grpc.ClientStream, err error) bool {
	if up == nil {
		return false
	}
	var rest call.Message
	defer rest.Free()
	again := up.RecvMsg(&rest)
	return again != nil && again != io.EOF && status.Convert(again) == status.Convert(err)
}

// said passes on the backend's status. Two kinds are the client's fault: a deadline
// that was too short, which the backend knows and may report itself, and a request
// that no backend can read.
func (x *exchange) said(err error) error {
	if x.unreadable(err) {
		return call.RefuseStatus(call.Client, status.Convert(err))
	}
	deadline, ok := x.Deadline()
	if status.Code(err) != codes.DeadlineExceeded || !ok || time.Until(deadline) > x.elapsed()/10 || x.hadFairTime() {
		return err
	}
	return call.RefuseStatus(call.Client, status.Convert(err))
}

// late is for a call that was sent, and whose deadline passed or whose client
// went away before it was answered.
func (x *exchange) late(err error) error {
	if status.Code(err) == codes.Canceled {
		return call.Refuse(call.Client, codes.Canceled, "the client cancelled the call").Because(err)
	}
	fault := call.Client
	if x.hadFairTime() {
		fault = call.Upstream
	}
	return call.Refuse(fault, codes.DeadlineExceeded, "no answer from upstream %q before the deadline", x.conn.name).Because(err)
}

// unsent is for a call of which nothing left the gateway. It is the upstream's
// fault only that no backend could be reached.
func (x *exchange) unsent(err error) error {
	code := status.Code(err)
	switch {
	case x.timedOut(err) && x.has(chosen) && (policyEnded(x) || call.LimitOf(x) > 0):
		return call.Refuse(call.Gateway, codes.Unavailable, "no connection to upstream %q has room for another call", x.conn.name).Because(err)
	case x.over() && policyEnded(x):
		return err
	case x.timedOut(err):
		return x.late(err)
	case code == codes.Internal && !x.has(begun):
		if bad := call.CheckMetadata(outgoing(x)); bad != nil {
			return bad
		}
		return call.Refuse(call.Client, codes.InvalidArgument, "the metadata of the call cannot be passed on: keys are in lower case, values printable ASCII").Because(err)
	case code == codes.Internal:
		return x.headersRefused(err)
	case code == codes.Canceled:
		return call.Refuse(call.Gateway, codes.Unavailable, "the connection to upstream %q is closed", x.conn.name).Because(err)
	}
	return x.broken(err)
}

func outgoing(ctx context.Context) metadata.MD {
	md, _ := metadata.FromOutgoingContext(ctx)
	return md
}

// headersRefused is for a call whose headers are larger than the backend takes
// (SETTINGS_MAX_HEADER_LIST_SIZE). It is the client's fault where the client made
// them large, which is when what it sent is larger than the rest.
func (x *exchange) headersRefused(err error) error {
	if !x.clientsHeaders() {
		return call.Refuse(call.Upstream, codes.Internal, "upstream %q does not take the headers of a call", x.conn.name).Because(err)
	}
	return x.headersTooLarge(err)
}

func (x *exchange) headersTooLarge(err error) error {
	return call.Refuse(call.Client, codes.ResourceExhausted,
		"the headers of the request are larger than upstream %q takes: send less in headers", x.conn.name).AsHTTP(httpHeadersTooLarge).Because(err)
}

// clientsHeaders reports whether most of the headers came from the client.
func (x *exchange) clientsHeaders() bool {
	clients, ours := headerSizes(x.method, outgoing(x))
	return clients > ours
}

// HTTP statuses, which gRPC has no codes for.
const (
	httpTooLarge        = 413
	httpHeadersTooLarge = 431 // RFC 6585
)

// smallRequest is a size that every backend takes.
const smallRequest = 4 << 10

// page is for a call that a web server before the backend answered. That a request is
// larger than it takes is the client's fault.
func (x *exchange) page(err error) error {
	code := codes.Unknown
	switch c := call.From(x); {
	case saysHTTP(err, httpHeadersTooLarge) && x.clientsHeaders():
		return x.headersTooLarge(err)
	case saysHTTP(err, httpHeadersTooLarge):
		code = codes.Internal // by gRPC's http-grpc-status-mapping.md
	case saysHTTP(err, httpTooLarge) && c != nil && c.In.Bytes() > smallRequest:
		return call.Refuse(call.Client, codes.ResourceExhausted,
			"the request is larger than upstream %q takes", x.conn.name).AsHTTP(httpTooLarge).Because(err)
	}
	return call.Refuse(call.Upstream, code, "upstream %q gave an answer that is not gRPC", x.conn.name).Because(err)
}

// fieldSize is what HTTP/2 counts for a header beside its name and value
// (RFC 9113, section 6.5.2).
const fieldSize = 32

// ownFields is about what grpc-go adds: the pseudo-headers, the content type and
// the like.
const ownFields = 12*fieldSize + 200

// headerSizes are the sizes of the headers that came from the client and of those
// that every call has.
func headerSizes(method string, md metadata.MD) (clients, ours int) {
	ours = ownFields + len(method)
	for key, values := range md {
		n := 0
		for _, v := range values {
			n += len(key) + len(v) + fieldSize
		}
		switch key {
		case "traceparent", "x-request-id", "x-forwarded-proto":
			ours += n
		default:
			clients += n
		}
	}
	return clients, ours
}

// broken is for a call that no status of the backend's ended.
func (x *exchange) broken(err error) error {
	refuse := func(code codes.Code, format string) error {
		return call.Refuse(call.Upstream, code, format, x.conn.name).Because(err)
	}
	switch code := status.Code(err); code {
	case codes.Unavailable:
		return refuse(code, "upstream %q is unavailable")
	case codes.DeadlineExceeded:
		return refuse(code, "no answer from upstream %q before the deadline")
	case codes.Canceled:
		return refuse(codes.Unavailable, "upstream %q cancelled the call")
	case codes.ResourceExhausted:
		if saysTooLarge(err) { // our limit: more than the client can ask for, and no reason to ask again
			return call.Refuse(call.Gateway, codes.Internal,
				"a message of upstream %q is larger than %d bytes, the most that its max_receive_bytes allows", x.conn.name, x.conn.maxReceive).Because(fmt.Errorf("%w: %w", call.ErrTooLarge, err))
		}
		return refuse(code, "upstream %q is asked too much") // a reset: ENHANCE_YOUR_CALM
	case codes.Unknown:
		return x.page(err)
	default: // the code that gRPC has for an HTTP status, or INTERNAL
		return refuse(code, "upstream %q gave an answer that is not gRPC")
	}
}
