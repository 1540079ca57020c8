package breaker

import (
	"context"
	"errors"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// outcomeOf tells what the end of an attempt says of the upstream. A backend
// that knows a client's mistake, or that it is asked too much, is well. Whose
// fault a deadline is, the last link of the chain knows.
func outcomeOf(ctx context.Context, err error) outcome {
	if err == nil {
		return good
	}
	code := call.CodeOf(err)
	bound, ours := errors.AsType[*call.Error](context.Cause(ctx))
	if ours && (code == codes.Canceled || code == codes.DeadlineExceeded) {
		err, code = bound, bound.GRPCStatus().Code() // who ended the attempt knows why
	}
	e, known := errors.AsType[*call.Error](err)
	if known && (e.Fault() != call.Upstream || e.Policy() == Name) {
		return nothing // it never got there
	}
	if !known && errors.Is(err, context.DeadlineExceeded) {
		return nothing // the context of a stream that nobody reads any more
	}
	switch code {
	case codes.Unimplemented:
		if known { // no message or several where one is due, or a web server's "not found"
			return failed
		}
		return good // in the backend's own words
	case codes.Canceled:
		return nothing
	case codes.DeadlineExceeded, codes.Unavailable, codes.Internal, codes.Unknown, codes.DataLoss:
		return failed
	default:
		return good
	}
}

// refusals makes the refusals of one breaker, and keeps the last: most are
// alike, and a refusal must cost next to nothing. Guarded by the breaker's lock.
type refusals struct {
	upstream string
	delay    time.Duration
	last     *call.Error
}

// grain is how exactly a client is told when to come back.
const grain = 100 * time.Millisecond

// after refuses for a time, which is rounded up. The fault is the upstream's: a
// fallback takes it as such.
func (r *refusals) after(d time.Duration) *call.Error {
	d = max(grain, (d + grain - 1).Truncate(grain))
	if r.last != nil && r.delay == d {
		return r.last
	}
	st := status.Newf(codes.Unavailable, "upstream %q fails too often and is spared for now: try again in %v", r.upstream, d)
	if detailed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(d)}); err == nil {
		st = detailed
	}
	r.delay, r.last = d, call.RefuseStatus(call.Upstream, st).By(Name)
	return r.last
}
