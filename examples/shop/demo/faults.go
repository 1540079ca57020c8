package demo

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// faults lets visitors of the demo break a backend for one call: with the header
// "x-demo-fault: once" the first attempt fails, with "always" every one. With
// "reviews=always" only that service does.
func faults(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	wish := md.Get("x-demo-fault")
	retried := len(md.Get("grpc-previous-rpc-attempts")) > 0
	if len(wish) == 0 {
		return next(ctx, req)
	}
	how := wish[0]
	if service, rest, named := strings.Cut(how, "="); named && strings.HasPrefix(info.FullMethod, "/shop."+service+".") {
		how = rest
	}
	if how == "always" || how == "once" && !retried {
		return nil, status.Error(codes.Unavailable, "out of order, as you wished")
	}
	return next(ctx, req)
}
