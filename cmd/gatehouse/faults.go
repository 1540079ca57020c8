package main

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// faultsOf lets visitors of the demo break a backend for one call: with the
// header "x-demo-fault: once" the first attempt fails, with "always" every one.
// With the backend's name before it, as in "reviews=always", the others work.
func faultsOf(backend string) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		wish := wishFor(backend, md.Get("x-demo-fault"))
		retried := len(md.Get("grpc-previous-rpc-attempts")) > 0
		if wish == "always" || wish == "once" && !retried {
			return nil, status.Error(codes.Unavailable, "out of order, as you wished")
		}
		return next(ctx, req)
	}
}

// wishFor is what a visitor wishes of one backend, "" for nothing.
func wishFor(backend string, wishes []string) string {
	if len(wishes) == 0 {
		return ""
	}
	who, what, named := strings.Cut(wishes[0], "=")
	switch {
	case !named:
		return who
	case who == backend:
		return what
	default:
		return ""
	}
}
