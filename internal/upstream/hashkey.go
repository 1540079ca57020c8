package upstream

import (
	"context"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/metadata"
)

type hashKey struct{}

// WithHashKey gives a call the key by which an upstream with [RingHash] chooses
// its replica. Calls without one, or with "", go anywhere; other upstreams do not
// look at it. It is not sent.
func WithHashKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, hashKey{}, key)
}

// ringHeader is the metadata in which grpc-go's ring looks for the key (gRFC
// A76).
const ringHeader = "gatehouse-hash-key"

// keyedPicker shows the ring a context with the key and nothing else: what
// clients send under that name counts for nothing, and backends are not told.
type keyedPicker struct{ ring balancer.Picker }

// Pick chooses a connection.
func (p keyedPicker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	md := metadata.MD{}
	if key, _ := info.Ctx.Value(hashKey{}).(string); key != "" {
		md[ringHeader] = []string{key}
	}
	info.Ctx = metadata.NewOutgoingContext(info.Ctx, md)
	return p.ring.Pick(info)
}
