package idempotency_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/idempotency"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/redis"
	"github.com/gatehouse-dev/gatehouse/test/redistest"
)

// replica is one gateway of several. Its Redis gets more time than by default, so
// that a busy machine is not taken for a dead one.
type replica struct {
	keys  *idempotency.Keys
	store *redis.Store
	reg   *prometheus.Registry
}

func newReplica(t *testing.T, server *redistest.Server) *replica {
	t.Helper()
	r := &replica{reg: prometheus.NewRegistry()}
	var err error
	r.store, err = redis.Dial(redis.Options{Addresses: []string{server.Addr}, Timeout: 10 * time.Second, Registerer: r.reg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.store.Close() })
	r.keys = newKeys(t, idempotency.Options{Redis: r.store, Registerer: r.reg})
	return r
}

func shared() *policyv1.Idempotency {
	return &policyv1.Idempotency{Store: policyv1.Store_STORE_REDIS.Enum()}
}

func open() *policyv1.Idempotency {
	p := shared()
	p.OnFailure = policyv1.OnFailure_ON_FAILURE_OPEN.Enum()
	return p
}

// until waits for a state that another goroutine or process brings about.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestReplicasShareAnswers(t *testing.T) {
	server := redistest.Start(t)
	b := &backend{}
	here, there := serve(t, newReplica(t, server).keys, b, shared()), serve(t, newReplica(t, server).keys, b, shared())
	r := request{key: []string{"k"}, body: "tea"}
	first, _, err := send(t.Context(), here, r)
	if err != nil {
		t.Fatal(err)
	}
	again, c, err := send(t.Context(), there, r)
	if err != nil || !slices.Equal(c.Header().Get("idempotency-replayed"), []string{"true"}) {
		t.Fatalf("%v, headers %v", err, c.Header())
	}
	if !slices.Equal(again.Got, first.Got) || !equal(again.Header, first.Header) || !equal(again.Trailer, first.Trailer) {
		t.Errorf("answers differ:\n%v %v %v\n%v %v %v", first.Got, first.Header, first.Trailer, again.Got, again.Header, again.Trailer)
	}
	r.body = "cake"
	if _, _, err := send(t.Context(), there, r); reasonOf(err) != "IDEMPOTENCY_KEY_REUSED" {
		t.Errorf("err = %v, want another request to be told apart", err)
	}
}

func TestErrorsAreShared(t *testing.T) {
	server := redistest.Start(t)
	b := &backend{answer: func(_ context.Context, n int64) error {
		return []error{status.Error(codes.Unavailable, "wait"), status.Error(codes.FailedPrecondition, "out of stock")}[min(n, 2)-1]
	}}
	here, there := serve(t, newReplica(t, server).keys, b, shared()), serve(t, newReplica(t, server).keys, b, shared())
	for i, want := range []codes.Code{codes.Unavailable, codes.FailedPrecondition, codes.FailedPrecondition, codes.FailedPrecondition} {
		if _, _, err := send(t.Context(), []*call.Method{here, there}[i%2], request{key: []string{"k"}}); status.Code(err) != want {
			t.Errorf("call %d: err = %v, want %v", i, err, want)
		}
	}
	if b.calls.Load() != 2 {
		t.Errorf("%d calls, want 2: the first freed the key", b.calls.Load())
	}
}

func TestOneOfManyReachesTheBackendOfAllReplicas(t *testing.T) {
	server := redistest.Start(t)
	release := make(chan struct{})
	b := &backend{answer: func(context.Context, int64) error { <-release; return nil }}
	methods := []*call.Method{serve(t, newReplica(t, server).keys, b, shared()), serve(t, newReplica(t, server).keys, b, shared())}
	var conflicts, done atomic.Int64
	var wg sync.WaitGroup
	const n = 40
	for i := range n {
		wg.Go(func() {
			_, _, err := send(context.Background(), methods[i%2], request{key: []string{"k"}})
			switch status.Code(err) {
			case codes.OK:
				done.Add(1)
			case codes.Aborted:
				conflicts.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	until(t, "all others are refused", func() bool { return conflicts.Load() == n-1 || t.Failed() })
	close(release)
	wg.Wait()
	if b.calls.Load() != 1 || done.Load() != 1 {
		t.Errorf("%d calls, %d done; want 1 of each", b.calls.Load(), done.Load())
	}
}

func TestRedisDiesAndComesBack(t *testing.T) {
	server := redistest.Start(t)
	b := &backend{}
	r := newReplica(t, server)
	shut, lax := serve(t, r.keys, b, shared()), serve(t, r.keys, b, open())
	server.Kill()
	for range 500 {
		_, _, err := send(t.Context(), shut, request{key: []string{"a"}})
		if status.Code(err) != codes.Unavailable || call.FaultOf(err) != call.Gateway || call.PolicyOf(err) != "idempotency" {
			t.Fatalf("closed: err = %v, want UNAVAILABLE of the gateway", err)
		}
	}
	if got := values(t, r.reg); got["gatehouse_redis_failures_total{failed}"] != 1 || got["gatehouse_redis_failures_total{skipped}"] != 499 {
		t.Errorf("%v, want only the first to have waited for Redis", got)
	}
	if b.calls.Load() != 0 {
		t.Errorf("closed: %d calls, want none", b.calls.Load())
	}
	for range 3 {
		if down, _, err := send(t.Context(), lax, request{key: []string{"b"}}); err != nil || down.Got[0] != "order 1" {
			t.Errorf("open: %v %v, want the answer kept in this process", down.Got, err)
		}
	}
	server.Restart()
	until(t, "redis is up", r.store.Up)
	for range 3 {
		if down, _, err := send(t.Context(), shut, request{key: []string{"a"}}); err != nil || down.Got[0] != "order 2" {
			t.Errorf("%v %v, want one order", down.Got, err)
		}
	}
}

// The call is done, and Redis is gone: repetitions that come here are answered.
func TestRedisDiesDuringTheCall(t *testing.T) {
	server := redistest.Start(t)
	b := &backend{answer: func(_ context.Context, n int64) error {
		if n == 1 {
			server.Kill()
		}
		return nil
	}}
	r := newReplica(t, server)
	m := serve(t, r.keys, b, shared())
	for range 2 {
		if down, _, err := send(t.Context(), m, request{key: []string{"k"}}); err != nil || down.Got[0] != "order 1" {
			t.Fatalf("%v %v, want the one order", down.Got, err)
		}
	}
	server.Restart()
	until(t, "redis is up", r.store.Up)
	if down, _, err := send(t.Context(), m, request{key: []string{"k"}}); err != nil || down.Got[0] != "order 1" {
		t.Errorf("%v %v, want the one order", down.Got, err)
	}
}

// A key that Redis has forgotten goes to another call, and with it the answer.
func TestAKeyThatWasLostStaysLost(t *testing.T) {
	server := redistest.Start(t)
	r := newReplica(t, server)
	forget := redis.NewScript(`redis.call("FLUSHALL")`)
	var m *call.Method
	b := &backend{answer: func(_ context.Context, n int64) error {
		if n > 1 {
			return nil
		}
		if _, err := r.store.Run(t.Context(), forget, []string{""}); err != nil {
			t.Error(err)
		}
		if down, _, err := send(t.Context(), m, request{key: []string{"k"}}); err != nil || down.Got[0] != "order 2" {
			t.Errorf("%v %v, want an order of its own", down.Got, err)
		}
		return nil
	}}
	m = serve(t, r.keys, b, shared())
	for i, want := range []string{"order 1", "order 2", "order 2"} {
		if down, _, err := send(t.Context(), m, request{key: []string{"k"}}); err != nil || down.Got[0] != want {
			t.Errorf("call %d: %v %v, want %s", i, down.Got, err, want)
		}
	}
}

// The same while Redis is away: who answered first in this process is repeated.
func TestAKeyThatWasLostToThisProcessStaysLost(t *testing.T) {
	server := redistest.Start(t)
	var m *call.Method
	b := &backend{answer: func(_ context.Context, n int64) error {
		if n > 1 {
			return nil
		}
		server.Kill()
		if down, _, err := send(t.Context(), m, request{key: []string{"k"}}); err != nil || down.Got[0] != "order 2" {
			t.Errorf("%v %v, want an order of its own", down.Got, err)
		}
		return nil
	}}
	m = serve(t, newReplica(t, server).keys, b, open())
	for i, want := range []string{"order 1", "order 2", "order 2"} {
		if down, _, err := send(t.Context(), m, request{key: []string{"k"}}); err != nil || down.Got[0] != want {
			t.Errorf("call %d: %v %v, want %s", i, down.Got, err, want)
		}
	}
}

// A gateway dies with a call on it. The key is free after its lease, and if the
// call comes to an end even so, it changes nothing for those who came after it.
func TestACrashFreesTheKeyAfterItsLease(t *testing.T) {
	server := redistest.Start(t)
	release := make(chan struct{})
	b := &backend{answer: func(_ context.Context, n int64) error {
		if n == 1 {
			<-release
		}
		return nil
	}}
	dying := newReplica(t, server)
	here, there := serve(t, dying.keys, b, shared()), serve(t, newReplica(t, server).keys, b, shared())
	r := request{key: []string{"k"}}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { _, _, _ = send(ctx, here, r) })
	until(t, "the call runs", func() bool { return b.calls.Load() == 1 })
	// Its lease is 1.1 s, and renewed for as long as it runs.
	for began := time.Now(); time.Since(began) < 2*time.Second; {
		if _, _, err := send(t.Context(), there, r); status.Code(err) != codes.Aborted {
			t.Fatalf("err = %v, want a conflict for as long as the call runs", err)
		}
	}
	dying.store.Close()
	until(t, "the lease has ended", func() bool { _, _, err := send(t.Context(), there, r); return err == nil })
	close(release)
	wg.Wait()
	if down, _, err := send(t.Context(), there, r); err != nil || down.Got[0] != "order 2" || b.calls.Load() != 2 {
		t.Errorf("%v %v, want the second order", down.Got, err)
	}
}

func TestASpoiledValueIsAFailureOfTheStore(t *testing.T) {
	server := redistest.Start(t)
	r := newReplica(t, server)
	b := &backend{}
	m := serve(t, r.keys, b, shared())
	if _, _, err := send(t.Context(), m, request{key: []string{"k"}}); err != nil {
		t.Fatal(err)
	}
	spoil := redis.NewScript(`
for _, key in ipairs(redis.call("KEYS", "*idempotency:*")) do redis.call("SET", key, "a" .. string.rep("x", 60)) end
return false`)
	if _, err := r.store.Run(t.Context(), spoil, []string{""}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := send(t.Context(), m, request{key: []string{"k"}}); status.Code(err) != codes.Unavailable || b.calls.Load() != 1 {
		t.Errorf("err = %v, want UNAVAILABLE: what happened cannot be told", err)
	}
}
