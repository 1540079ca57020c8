package breaker

import (
	"context"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// outcomeOf tells what the end of an attempt says of the upstream. A breaker
// further in says nothing new.
func outcomeOf(ctx context.Context, err error) outcome {
	if call.PolicyOf(err) == Name {
		return nothing
	}
	switch call.OutcomeOf(ctx, err) {
	case call.Good:
		return good
	case call.Failed:
		return failed
	default:
		return nothing
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
