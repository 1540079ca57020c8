package upstream

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc"
)

// pool is several connections to each replica: calls go to one after the other,
// which spreads them over the streams and buffers of all.
type pool struct {
	ccs  []*grpc.ClientConn
	next atomic.Uint64
}

// spread is the connection itself where there is only one.
func spread(ccs []*grpc.ClientConn) grpc.ClientConnInterface {
	if len(ccs) == 1 {
		return ccs[0]
	}
	return &pool{ccs: ccs}
}

func (p *pool) pick() *grpc.ClientConn { return p.ccs[p.next.Add(1)%uint64(len(p.ccs))] }

// Invoke sends a unary call.
func (p *pool) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return p.pick().Invoke(ctx, method, args, reply, opts...)
}

// NewStream begins a streaming call.
func (p *pool) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return p.pick().NewStream(ctx, desc, method, opts...)
}
