package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// faults lets visitors of the demo break a backend for one call: with the header
// "x-demo-fault: once" the first attempt fails, with "always" every one.
func faults(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	wish := md.Get("x-demo-fault")
	retried := len(md.Get("grpc-previous-rpc-attempts")) > 0
	if len(wish) > 0 && (wish[0] == "always" || wish[0] == "once" && !retried) {
		return nil, status.Error(codes.Unavailable, "out of order, as you wished")
	}
	return next(ctx, req)
}
