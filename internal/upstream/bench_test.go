package upstream_test

import (
	"testing"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// BenchmarkBalancing is a whole unary call over loopback, server included, so
// that ways to choose can be compared.
func BenchmarkBalancing(b *testing.B) {
	all := fleet(b, 3)
	for _, tc := range []struct {
		name      string
		balancing upstream.Balancing
		weights   []uint32
	}{
		{name: "round-robin"},
		{name: "connections", balancing: upstream.Balancing{Connections: 4}},
		{name: "least-request", balancing: upstream.Balancing{Kind: upstream.LeastRequest}},
		{name: "ring-hash", balancing: upstream.Balancing{Kind: upstream.RingHash}},
		{name: "weights", balancing: upstream.Balancing{Kind: upstream.Weighted}, weights: []uint32{1, 2, 3}},
		{name: "slow-start", balancing: upstream.Balancing{SlowStart: time.Hour}},
	} {
		b.Run(tc.name, func(b *testing.B) {
			o := options(all, tc.weights...)
			o.Balancing = tc.balancing
			up := dial(b, o)
			settle(b, up, all, 0, 1, 2)
			b.ReportAllocs()
			ctx := upstream.WithHashKey(b.Context(), "key")
			for b.Loop() {
				if err := send(ctx, up); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
