package idempotency_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/idempotency"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/redis"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/redistest"
)

func once(p *policyv1.Idempotency) *policyv1.Idempotency {
	p.AtMostOnce = new(true)
	return p
}

// fate is what becomes of a call behind the policy.
type fate func(reach *call.Reach, cancel context.CancelFunc) error

var fates = map[string]struct {
	fate  fate
	freed bool
}{
	"the backend says that it is not available": {func(r *call.Reach, _ context.CancelFunc) error {
		r.Begin()
		return status.Error(codes.Unavailable, "come again")
	}, true},
	"the connection is lost": {func(r *call.Reach, _ context.CancelFunc) error {
		r.Begin()
		return call.Refuse(call.Upstream, codes.Unavailable, "upstream is unavailable")
	}, false},
	"there is no connection": {func(r *call.Reach, _ context.CancelFunc) error {
		r.Begin()
		r.Unsent()
		return call.Refuse(call.Upstream, codes.Unavailable, "upstream is unavailable")
	}, true},
	"there is no connection the second time": {func(r *call.Reach, _ context.CancelFunc) error {
		r.Begin()
		r.Begin()
		r.Unsent()
		return call.Refuse(call.Upstream, codes.Unavailable, "upstream is unavailable")
	}, false},
	"a breaker refuses": {func(*call.Reach, context.CancelFunc) error {
		return call.Refuse(call.Upstream, codes.Unavailable, "spared").By("breaker")
	}, true},
	"a breaker refuses the second time": {func(r *call.Reach, _ context.CancelFunc) error {
		r.Begin()
		return call.Refuse(call.Upstream, codes.Unavailable, "spared").By("breaker")
	}, false},
	"the client goes away": {func(r *call.Reach, cancel context.CancelFunc) error {
		r.Begin()
		cancel()
		return status.Error(codes.Canceled, "context canceled")
	}, false},
	"the client goes away before it is sent": {func(r *call.Reach, cancel context.CancelFunc) error {
		r.Begin()
		cancel()
		r.Unsent()
		return status.Error(codes.Canceled, "context canceled")
	}, true},
	"nobody says whether it was sent": {func(*call.Reach, context.CancelFunc) error {
		return status.Error(codes.Unavailable, "who knows")
	}, false},
	"a panic": {func(r *call.Reach, _ context.CancelFunc) error {
		r.Begin()
		panic("in the midst of it")
	}, false},
}

// TestAtMostOnce has a call end without a final answer, and then its repetition.
func TestAtMostOnce(t *testing.T) {
	for name, tc := range fates {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			m, calls := fated(t, newKeys(t, idempotency.Options{}), once(&policyv1.Idempotency{}), tc.fate, cancel)
			if _, _, err := send(ctx, m, request{key: []string{"k"}}); err == nil {
				t.Fatal("want an error")
			}
			_, _, err := send(t.Context(), m, request{key: []string{"k"}})
			if tc.freed {
				if err != nil || *calls != 2 {
					t.Errorf("err = %v after %d calls, want a second that is answered", err, *calls)
				}
				return
			}
			if status.Code(err) != codes.Aborted || *calls != 1 {
				t.Errorf("err = %v after %d calls, want ABORTED after one", err, *calls)
			}
			if got := reasonOf(err); got != "IDEMPOTENCY_OUTCOME_UNKNOWN" {
				t.Errorf("the reason is %q, want IDEMPOTENCY_OUTCOME_UNKNOWN", got)
			}
		})
	}
}

// fated is an RPC whose first call has a fate. The others are answered.
func fated(t *testing.T, k *idempotency.Keys, p *policyv1.Idempotency, f fate, cancel context.CancelFunc) (*call.Method, *int) {
	t.Helper()
	i, err := build(k, p)
	if err != nil {
		t.Fatal(err)
	}
	calls := new(int)
	conn := calltest.Conn{OnInvoke: func(_ context.Context, _ string, _, reply any, opts ...grpc.CallOption) error {
		if *calls++; *calls == 1 {
			return f(call.ReachOf(opts), cancel)
		}
		reply.(*call.Message).Data = calltest.Bytes("order")
		return nil
	}}
	return &call.Method{Name: method, Conn: interceptors.Chain(conn, i)}, calls
}

// A gateway dies with a call on it, and the key stays taken for as long as an answer
// would be kept.
func TestAtMostOnceOutlivesTheGateway(t *testing.T) {
	server := redistest.Start(t)
	dying := newReplica(t, server)
	here, calls := fated(t, dying.keys, once(shared()), func(*call.Reach, context.CancelFunc) error {
		dying.store.Close()
		panic("the process dies")
	}, nil)
	if _, _, err := send(t.Context(), here, request{key: []string{"k"}}); err == nil {
		t.Fatal("want an error")
	}
	living := newReplica(t, server)
	there, others := fated(t, living.keys, once(shared()), nil, nil)
	if _, _, err := send(t.Context(), there, request{key: []string{"k"}}); status.Code(err) != codes.Aborted || *calls != 1 || *others != 0 {
		t.Errorf("err = %v after %d and %d calls, want ABORTED after 1 and 0", err, *calls, *others)
	}
	left := redis.NewScript(`return redis.call("PTTL", redis.call("KEYS", "*idempotency*")[1])`)
	got, err := living.store.Run(t.Context(), left, []string{""})
	if ms, _ := got.(int64); err != nil || ms < (24*time.Hour-time.Hour).Milliseconds() {
		t.Errorf("the key is taken for %v ms more (%v), want about a day", got, err)
	}
}

// Redis dies before it hears that a key is free, and comes back with all its data.
func TestAtMostOnceFreesWhatRedisMissed(t *testing.T) {
	server := redistest.Start(t, "--dir", t.TempDir(), "--appendonly", "yes", "--appendfsync", "always")
	r := newReplica(t, server)
	m, calls := fated(t, r.keys, once(shared()), func(reach *call.Reach, _ context.CancelFunc) error {
		server.Kill()
		reach.Begin()
		reach.Unsent()
		return call.Refuse(call.Upstream, codes.Unavailable, "upstream is unavailable")
	}, nil)
	k := request{key: []string{"k"}}
	if _, _, err := send(t.Context(), m, k); status.Code(err) != codes.Unavailable {
		t.Fatalf("err = %v, want UNAVAILABLE", err)
	}
	server.Restart()
	until(t, "redis is up", r.store.Up)
	if _, _, err := send(t.Context(), m, k); err != nil || *calls != 2 {
		t.Errorf("err = %v after %d calls, want a second one that is answered", err, *calls)
	}
}
