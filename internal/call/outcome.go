package call

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
)

// Outcome is what the end of an attempt says of the upstream.
type Outcome uint8

// The outcomes.
const (
	NoOutcome Outcome = iota // it never got there, or the client went away
	Good                     // the upstream answered, be it with a client's mistake
	Failed                   // the upstream is at fault
)

// OutcomeOf tells what the end of an attempt under ctx says of the upstream. A
// backend that knows a client's mistake, or that it is asked too much, is well.
// Whose fault a deadline is, the last link of the chain knows.
func OutcomeOf(ctx context.Context, err error) Outcome {
	if err == nil {
		return Good
	}
	code := CodeOf(err)
	bound, ours := errors.AsType[*Error](context.Cause(ctx))
	if ours && (code == codes.Canceled || code == codes.DeadlineExceeded) && !From(ctx).Waited() {
		err, code = bound, bound.GRPCStatus().Code() // who ended the attempt knows why
	}
	e, known := errors.AsType[*Error](err)
	if known && e.Fault() != Upstream {
		return NoOutcome // it never got there
	}
	if !known && errors.Is(err, context.DeadlineExceeded) {
		return NoOutcome // the context of a stream that nobody reads any more
	}
	switch code {
	case codes.Unimplemented:
		if known { // no message or several where one is due, or a web server's "not found"
			return Failed
		}
		return Good // in the backend's own words
	case codes.Canceled:
		return NoOutcome
	case codes.DeadlineExceeded, codes.Unavailable, codes.Internal, codes.Unknown, codes.DataLoss:
		return Failed
	default:
		return Good
	}
}
