// Package recovery keeps a panic in the chain from ending the process.
//
// go-grpc-middleware's recovery serves servers only; a chain is made of client
// interceptors, and a stream may panic in any of its methods.
package recovery

import (
	"context"
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Policy has a panic further in become INTERNAL for the client, which learns nothing
// else, and an error with the stack in Log.
type Policy struct{ Log *slog.Logger }

// Build returns the policy, which is the same for all RPCs.
func (p Policy) Build(*interceptors.Method) (interceptors.Interceptor, error) {
	r := recoverer{p.Log}
	return interceptors.Interceptor{Name: "recovery", Unary: r.unary, Stream: r.stream}, nil
}

type recoverer struct{ log *slog.Logger }

func (r recoverer) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) (err error) {
	defer r.rescue(ctx, method, &err)
	return next(ctx, method, req, reply, cc, opts...)
}

func (r recoverer) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (_ grpc.ClientStream, err error) {
	defer r.rescue(ctx, method, &err)
	up, err := next(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, err
	}
	return &guarded{ClientStream: up, recoverer: r, ctx: ctx, method: method}, nil
}

// rescue is deferred by whoever calls further in.
func (r recoverer) rescue(ctx context.Context, method string, err *error) {
	p := recover()
	if p == nil {
		return
	}
	r.log.ErrorContext(ctx, "panic in a call", "method", method, "panic", p, "stack", string(debug.Stack()))
	*err = call.Refuse(call.Gateway, codes.Internal, "internal error")
}

type guarded struct {
	grpc.ClientStream
	recoverer
	ctx    context.Context // of the stream, for its log line
	method string
}

func (g *guarded) SendMsg(m any) (err error) {
	defer g.rescue(g.ctx, g.method, &err)
	return g.ClientStream.SendMsg(m)
}

func (g *guarded) RecvMsg(m any) (err error) {
	defer g.rescue(g.ctx, g.method, &err)
	return g.ClientStream.RecvMsg(m)
}
