package upstream

import "context"

type hashKey struct{}

// WithHashKey has the call that ctx belongs to go to the replica that key names,
// where the upstream's balancing is ring-hash.
func WithHashKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, hashKey{}, key)
}
