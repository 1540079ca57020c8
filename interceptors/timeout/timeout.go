// Package timeout bounds how long a call may take, by go-grpc-middleware's
// timeout.
package timeout

import (
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/timeout"

	"github.com/gatehouse-dev/gatehouse/interceptors"
)

// New returns a policy that ends unary calls after limit with
// DEADLINE_EXCEEDED. A client's earlier deadline stays; what is left of the
// smaller one is sent on to the backend. Streams pass: they last as long as
// they have something to say, and are bound by the client's deadline and the
// idle limit of streams. A limit of zero bounds nothing.
func New(limit time.Duration) interceptors.Interceptor {
	if limit <= 0 {
		return interceptors.Interceptor{Name: "timeout"}
	}
	return interceptors.Interceptor{Name: "timeout", Unary: timeout.UnaryClientInterceptor(limit)}
}
