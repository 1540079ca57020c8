package timeout_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/timeout"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

// silent is an upstream that waits for the deadline.
func silent(left *time.Duration) calltest.Conn {
	return calltest.Conn{OnInvoke: func(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
		if d, ok := ctx.Deadline(); ok {
			*left = time.Until(d)
		}
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	}}
}

func TestTheSmallerDeadlineCounts(t *testing.T) {
	for _, tc := range []struct {
		name           string
		policy, client time.Duration
		want           time.Duration
	}{
		{"policy", 2 * time.Second, time.Minute, 2 * time.Second},
		{"client", time.Minute, time.Second, time.Second},
		{"no policy", 0, time.Second, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var left time.Duration
				conn := interceptors.Chain(silent(&left), bound(t, tc.policy))
				ctx, cancel := context.WithTimeout(t.Context(), tc.client)
				defer cancel()
				begin := time.Now()
				err := conn.Invoke(ctx, "/s/m", nil, nil)
				if status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("err = %v, want DEADLINE_EXCEEDED", err)
				}
				if left != tc.want || time.Since(begin) != tc.want {
					t.Errorf("sent on %v and took %v, want %v", left, time.Since(begin), tc.want)
				}
			})
		})
	}
}

func TestStreamsAreNotBounded(t *testing.T) {
	bounded := false
	conn := interceptors.Chain(calltest.Conn{OnStream: func(ctx context.Context, _ *grpc.StreamDesc, _ string) (grpc.ClientStream, error) {
		_, bounded = ctx.Deadline()
		return &calltest.ClientStream{}, nil
	}}, bound(t, time.Second))
	if _, err := conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true}, "/s/m"); err != nil || bounded {
		t.Errorf("err = %v, bounded = %v; want neither", err, bounded)
	}
}

// bound is the policy with a limit.
func bound(t *testing.T, limit time.Duration) interceptors.Interceptor {
	t.Helper()
	policy := &policyv1.Policy{Timeout: durationpb.New(limit)}
	return policytest.Build(t, interceptors.PolicyFunc(timeout.Build), interceptors.Method{Policy: policy})
}
