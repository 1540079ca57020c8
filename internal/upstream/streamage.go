package upstream

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// age is how old streams of an upstream may become. It belongs to the upstream,
// and so works however a call came to it. A nil age sets no bound.
type age struct {
	limit  time.Duration
	random func() float64
	over   *call.Error
}

func newAge(limit time.Duration, random func() float64) *age {
	if limit <= 0 {
		return nil
	}
	if random == nil {
		random = rand.Float64
	}
	return &age{
		limit: limit, random: random,
		over: call.Refuse(call.Gateway, codes.Unavailable, "the stream reached its maximum age (%v): call again", limit),
	}
}

// begin bounds a stream, give or take a tenth, so that those that began together
// do not come back together. The end of ctx, and end, let the timer go.
func (a *age) begin(ctx context.Context) (_ context.Context, end func()) {
	if a == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	limit := time.Duration(float64(a.limit) * (0.9 + 0.2*a.random()))
	timer := time.AfterFunc(limit, func() { cancel(a.over) })
	context.AfterFunc(ctx, func() { timer.Stop() })
	return ctx, func() { cancel(nil) }
}

// ended reports whether it was its age that ended the stream of ctx.
func (a *age) ended(ctx context.Context) bool { return a != nil && context.Cause(ctx) == error(a.over) }
