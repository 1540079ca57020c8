// Package timeout bounds how long a call may take, by go-grpc-middleware's
// timeout. The limit is noted in the context, so that a deadline that passes is
// known to be the policy's and not one that the client chose.
package timeout

import (
	"context"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/timeout"
	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Build returns a policy that ends unary calls after their time limit with
// DEADLINE_EXCEEDED. A client's earlier deadline stays; what is left of the
// smaller one is sent on to the backend. Streams pass: they last as long as
// they have something to say, and are bound by the client's deadline and the
// idle limit of streams. A limit of zero bounds nothing.
func Build(m *interceptors.Method) (interceptors.Interceptor, error) {
	limit := m.Policy.GetTimeout().AsDuration()
	if limit <= 0 {
		return interceptors.Interceptor{}, nil
	}
	bounded := timeout.UnaryClientInterceptor(limit)
	return interceptors.Interceptor{Name: "timeout", Unary: func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		return bounded(call.WithTimeLimit(ctx, limit), method, req, reply, cc, next, opts...)
	}}, nil
}
