package idempotency

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// final tells the answers of a backend that would be the same another time, or
// whose call may have done its work, from those that say that it did not or that
// nobody knows.
func final(err error) bool {
	if err == nil {
		return true
	}
	if _, ok := errors.AsType[*call.Error](err); ok {
		return false // the gateway's own, for want of an answer
	}
	st, ok := status.FromError(err)
	if !ok {
		return false
	}
	switch st.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable, codes.Aborted, codes.ResourceExhausted,
		codes.Unauthenticated, codes.PermissionDenied:
		return false
	default:
		return true
	}
}

// unknown reports whether a call that ended without a final answer may have been
// executed, for all that the gateway knows. It was not if it was never sent, and a
// backend that says itself how the call ended knows what that means.
func unknown(ctx context.Context, err error, reach *call.Reach) bool {
	e, ownWords := errors.AsType[*call.Error](err)
	if !reach.Begun() {
		return !ownWords || e.Policy() == "" // who else answered, in the place of the upstream?
	}
	return reach.Sent() && (ownWords || ctx.Err() != nil)
}
