package call

import (
	"context"
	"time"
)

// WithTimeLimit notes that the gateway itself ends ctx after limit. Whoever calls
// it does that next. [LimitOf] tells such a limit from a deadline of the client's.
func WithTimeLimit(ctx context.Context, limit time.Duration) context.Context {
	deadline := time.Now().Add(limit)
	if c := From(ctx); c != nil {
		c.limit.Store(deadline.UnixNano())
	}
	return &timeLimited{Context: ctx, limit: limit, deadline: deadline}
}

// PastLimit reports whether the gateway's own time limit for the call is over. It is
// for the client's half, which does not see the context that has the limit.
func (c *Call) PastLimit() bool {
	limit := c.limit.Load()
	return limit != 0 && time.Now().UnixNano() > limit
}

// LimitOf is the gateway's own time limit, 0 if there is none or the deadline of
// ctx is an earlier one.
func LimitOf(ctx context.Context) time.Duration {
	l, ok := ctx.Value(timeLimitKey{}).(*timeLimited)
	if !ok {
		return 0
	}
	if first, ok := ctx.Deadline(); ok && first.Before(l.deadline) {
		return 0
	}
	return l.limit
}

type timeLimitKey struct{}

type timeLimited struct {
	context.Context

	limit    time.Duration
	deadline time.Time
}

// Value serves LimitOf.
func (l *timeLimited) Value(key any) any {
	if _, ok := key.(timeLimitKey); ok {
		return l
	}
	return l.Context.Value(key)
}
