package call

import "context"

// Attempt is one of those that a call takes at its upstream.
type Attempt struct {
	Number int // from 1 on
	// Kind is why it is made: "first", "retry" or "hedge".
	Kind string
}

type attemptKey struct{}

// WithAttempt returns ctx for an attempt after the first.
func WithAttempt(ctx context.Context, a Attempt) context.Context {
	return context.WithValue(ctx, attemptKey{}, a)
}

// AttemptOf is the attempt that ctx is of.
func AttemptOf(ctx context.Context) Attempt {
	if a, ok := ctx.Value(attemptKey{}).(Attempt); ok {
		return a
	}
	return Attempt{Number: 1, Kind: "first"}
}
