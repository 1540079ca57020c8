// Package interceptors is the seam for policies: what stands between a client
// of the gateway and an upstream.
//
// A policy is a pair of grpc-go client interceptors. Most are written once with
// [Around], which serves unary calls and streams alike. [Chain] links policies
// in front of a connection; the first in the list is the outermost.
//
// The client interceptors of github.com/grpc-ecosystem/go-grpc-middleware/v2
// have the same types and may stand in a chain as they are. Three things differ
// from an ordinary client: the *grpc.ClientConn argument is nil, the request
// may not have been read yet, and messages are wire bytes. A policy must not
// call ClientStream.Context: grpc-go commits the attempt then.
package interceptors

import (
	"context"
	"slices"

	"google.golang.org/grpc"
)

// Interceptor is one policy. A nil half lets calls of that kind through.
type Interceptor struct {
	Name   string
	Unary  grpc.UnaryClientInterceptor
	Stream grpc.StreamClientInterceptor
}

// Chain links list in front of conn, the first outermost. The links are made
// here, once: a call through them allocates nothing for the chain. The result
// is safe for concurrent use if the parts are.
func Chain(conn grpc.ClientConnInterface, list ...Interceptor) grpc.ClientConnInterface {
	for _, i := range slices.Backward(list) {
		conn = newLink(i, conn)
	}
	return conn
}

// link is one interceptor with what follows it.
type link struct {
	unary    grpc.UnaryClientInterceptor
	stream   grpc.StreamClientInterceptor
	invoker  grpc.UnaryInvoker
	streamer grpc.Streamer
}

func newLink(i Interceptor, next grpc.ClientConnInterface) *link {
	l := &link{unary: i.Unary, stream: i.Stream}
	l.invoker = func(ctx context.Context, method string, req, reply any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
		return next.Invoke(ctx, method, req, reply, opts...)
	}
	l.streamer = func(ctx context.Context, desc *grpc.StreamDesc, _ *grpc.ClientConn, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		return next.NewStream(ctx, desc, method, opts...)
	}
	return l
}

func (l *link) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if l.unary == nil {
		return l.invoker(ctx, method, args, reply, nil, opts...)
	}
	return l.unary(ctx, method, args, reply, nil, l.invoker, opts...)
}

func (l *link) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if l.stream == nil {
		return l.streamer(ctx, desc, nil, method, opts...)
	}
	return l.stream(ctx, desc, nil, method, l.streamer, opts...)
}
