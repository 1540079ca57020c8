// Package timeout bounds how long a call may take.
//
// go-grpc-middleware's timeout does not say whose deadline passed, and a client
// cannot tell its own from the gateway's; hence a policy of our own.
package timeout

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// New returns a policy that ends unary calls after limit. A client's earlier
// deadline stays; what is left of the smaller one is sent on to the backend.
// Streams pass: they last as long as they have something to say, and are bound
// by the client's deadline and the idle limit of streams. A limit of zero
// bounds nothing.
func New(limit time.Duration) interceptors.Interceptor {
	t := timeout{limit: limit}
	t.cause = call.Refuse(call.Upstream, codes.DeadlineExceeded, "no answer within %v, the time limit of this method", limit)
	if limit <= 0 {
		return interceptors.Interceptor{Name: "timeout"}
	}
	return interceptors.Interceptor{Name: "timeout", Unary: t.unary}
}

type timeout struct {
	limit time.Duration
	cause error
}

func (t timeout) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeoutCause(ctx, t.limit, t.cause)
	defer cancel()
	err := next(ctx, method, req, reply, cc, opts...)
	if err != nil && status.Code(err) == codes.DeadlineExceeded && errors.Is(context.Cause(ctx), t.cause) {
		return t.cause
	}
	return err
}
