package compile

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

// The key of ring-hash goes with the call, where there is one.
func TestToReplica(t *testing.T) {
	for _, tc := range []struct {
		key  string
		err  error
		told bool
	}{{"sacme", nil, true}, {"s", nil, false}, {"", errors.New("no such key"), false}} {
		m := interceptors.Method{Target: interceptors.Target{Replica: func(context.Context) (string, error) { return tc.key, tc.err }}}
		var got context.Context
		err := policytest.Build(t, policy(toReplica), m).Unary(t.Context(), "/s/m", nil, nil, nil, func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
			got = ctx
			return nil
		})
		if err != nil || (got != t.Context()) != tc.told {
			t.Errorf("%q, %v: the balancing is told: %v (%v), want %v", tc.key, tc.err, got != t.Context(), err, tc.told)
		}
	}
	if i := policytest.Build(t, policy(toReplica), interceptors.Method{}); i.Unary != nil || i.Stream != nil {
		t.Error("there is something in the chain where no key is asked for")
	}
}
