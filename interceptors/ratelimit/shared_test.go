package ratelimit_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/ratelimit"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/redis"
	"github.com/gatehouse-dev/gatehouse/test/redistest"
)

// replica is the limits of one gateway of several. Its Redis gets more time than
// by default, so that a busy machine is not taken for a dead one.
func replica(t *testing.T, server *redistest.Server) (*ratelimit.Limits, *redis.Store) {
	t.Helper()
	store, err := redis.Dial(redis.Options{Addresses: []string{server.Addr}, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return limits(t, ratelimit.Options{Redis: store}), store
}

// shared puts a limit into Redis.
func shared(name string, p *policyv1.RateLimit) *policyv1.RateLimit {
	p.Store, p.Name = policyv1.Store_STORE_REDIS.Enum(), new(name)
	return p
}

func closed(p *policyv1.RateLimit) *policyv1.RateLimit {
	p.OnFailure = policyv1.OnFailure_ON_FAILURE_CLOSED.Enum()
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

func TestReplicasShareOneLimit(t *testing.T) {
	const rate, size, lasts = 100, 50, 2 * time.Second
	server := redistest.Start(t)
	var passed atomic.Int64
	var wg sync.WaitGroup
	var conns []grpc.ClientConnInterface
	for range 2 {
		l, _ := replica(t, server)
		p := shared("x", per(rate, time.Second))
		p.Burst = new(uint32(size))
		conns = append(conns, chain(t, l, p))
	}
	began := time.Now()
	for _, conn := range conns {
		for range 4 {
			wg.Go(func() {
				for time.Since(began) < lasts {
					_, err := invoke(conn, call.GRPC, "192.0.2.1:1")
					switch status.Code(err) {
					case codes.OK:
						passed.Add(1)
					case codes.ResourceExhausted:
					default:
						t.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	allowed := size + rate*time.Since(began).Seconds()
	if got := float64(passed.Load()); got > allowed*1.01 || got < allowed/2 {
		t.Errorf("%v passed, want at most %.0f and, on a busy machine too, more than half", got, allowed)
	}
}

func TestSharedLimitsAreTakenTogetherOrNotAtAll(t *testing.T) {
	server := redistest.Start(t)
	a, _ := replica(t, server)
	b, _ := replica(t, server)
	both := []*policyv1.RateLimit{
		shared("mine", per(3, time.Hour)),
		keyed("", shared("all", per(5, time.Hour))),
	}
	if got := burst(chain(t, a, both...), "192.0.2.1:1", 10); got != 3 {
		t.Errorf("first client: %d passed, want 3", got)
	}
	c, err := invoke(chain(t, b, both...), call.GRPC, "192.0.2.1:1")
	text, ok := strings.CutPrefix(status.Convert(err).Message(), `limit "mine" is used up: try again in `)
	if wait, perr := time.ParseDuration(text); !ok || perr != nil || wait > 20*time.Minute || wait < 19*time.Minute {
		t.Errorf("err = %v, want the limit and 20m less what has passed", err)
	}
	if got := strings.Join(c.Header().Get("ratelimit"), "|"); !strings.HasPrefix(got, `"mine";r=0;t=`) || !strings.Contains(got, `, "all";r=2;t=`) {
		t.Errorf("ratelimit %q, want 0 and 2 left", got)
	}
	if got := burst(chain(t, b, both...), "192.0.2.2:1", 10); got != 2 {
		t.Errorf("second client: %d passed, want the 2 left for all", got)
	}
}

// What Redis has refused is refused here until the time that it told.
func TestARefusedKeyIsNotAskedForAgain(t *testing.T) {
	server := redistest.Start(t)
	l, store := replica(t, server)
	conn := chain(t, l, closed(shared("x", per(1, 3*time.Second))))
	burst(conn, "", 2)
	server.Kill()
	c, err := invoke(conn, call.GRPC, "")
	if status.Code(err) != codes.ResourceExhausted || !store.Up() {
		t.Errorf("err = %v, up = %v; want a refusal without asking", err, store.Up())
	}
	if got := strings.Join(c.Header().Get("ratelimit"), "|"); got != `"x";r=0;t=3` {
		t.Errorf("ratelimit %q", got)
	}
	until(t, "the key is asked for again", func() bool {
		_, err := invoke(conn, call.GRPC, "")
		return status.Code(err) == codes.Unavailable
	})
}

func TestRedisDiesAndComesBack(t *testing.T) {
	server := redistest.Start(t)
	reg := prometheus.NewRegistry()
	store, err := redis.Dial(redis.Options{Addresses: []string{server.Addr}, Timeout: 10 * time.Second, Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	l := limits(t, ratelimit.Options{Redis: store, Registerer: reg})
	open := chain(t, l, shared("open", per(10, time.Hour)))
	shut := chain(t, l,
		closed(shared("closed", per(10, time.Hour))),
		with(per(1000, time.Hour), func(p *policyv1.RateLimit) { p.Name = new("here") }))
	for round := range 2 {
		client := fmt.Sprintf("192.0.2.%d:1", round)
		if got := burst(open, client, 4); got != 4 {
			t.Errorf("round %d: %d passed, want 4", round, got)
		}
		if got := burst(shut, client, 4); got != 4 {
			t.Errorf("round %d: %d passed, want 4", round, got)
		}
		server.Kill()
		before := values(t, reg)
		if got := burst(open, client, 100); got != 10 {
			t.Errorf("round %d: open: %d passed, want the 10 of a limit kept here", round, got)
		}
		for range 500 {
			if _, err := invoke(shut, call.GRPC, client); status.Code(err) != codes.Unavailable || call.FaultOf(err) != call.Gateway || call.PolicyOf(err) != "ratelimit" {
				t.Fatalf("round %d: closed: err = %v, want UNAVAILABLE of the gateway", round, err)
			}
		}
		after := values(t, reg)
		if got := after["gatehouse_redis_failures_total{failed}"] - before["gatehouse_redis_failures_total{failed}"]; got != 1 {
			t.Errorf("round %d: %v calls waited for Redis, want only the first", round, got)
		}
		if got := after["gatehouse_ratelimit_without_redis_total{}"] - before["gatehouse_ratelimit_without_redis_total{}"]; got != 600 {
			t.Errorf("round %d: %v calls were decided without Redis, want all 600", round, got)
		}
		server.Restart()
		until(t, "redis is up", store.Up)
		other := fmt.Sprintf("198.51.100.%d:1", round)
		if got := burst(shut, other, 20); got != 10 {
			t.Errorf("round %d: %d passed, want the 10 in Redis", round, got)
		}
	}
}

func TestALocalLimitGetsBackWhatRedisRefuses(t *testing.T) {
	server := redistest.Start(t)
	here, _ := replica(t, server)
	there, _ := replica(t, server)
	local := with(per(10, time.Hour), func(p *policyv1.RateLimit) { p.Name = new("here") })
	for i := range 8 {
		tenant := keyed(fmt.Sprint(i), shared("tenant", per(1, time.Hour)))
		if got := burst(chain(t, there, tenant), "", 1); got != 1 {
			t.Fatal("the other replica is refused")
		}
		if got := burst(chain(t, here, tenant, local), "", 1); got != 0 {
			t.Fatalf("tenant %d: passed, want refused by Redis", i)
		}
	}
	// The time that Redis took is lost, a few milliseconds, and the last call short
	// of them.
	if got := burst(chain(t, here, local), "", 20); got < 9 {
		t.Errorf("%d left, want 9 or 10", got)
	}
}

func TestSharedStateOutlivesSettings(t *testing.T) {
	server := redistest.Start(t)
	l, _ := replica(t, server)
	burst(chain(t, l, shared("x", per(5, time.Hour))), "", 5)
	other, _ := replica(t, server) // has not seen the refusal
	quick := chain(t, other, shared("x", per(5, 200*time.Millisecond)))
	if got := burst(quick, "", 1); got != 0 {
		t.Errorf("%d passed at once, want 0", got)
	}
	until(t, "the hour is forgotten", func() bool { return burst(quick, "", 1) == 1 })
}

// Each key owes Redis an amount of its own; an answer to another key's question
// would show in what is said to be left.
func TestNoDecisionIsAnothersWhileRedisComesAndGoes(t *testing.T) {
	const (
		size, step = 20_000_000, 1_000_000
		near       = step / 4 // what is earned and spent while the test runs
	)
	server := redistest.Start(t)
	store, err := redis.Dial(redis.Options{Addresses: []string{server.Addr}, Timeout: 30 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	l := limits(t, ratelimit.Options{Redis: store})
	costing := func(k string, cost uint32) grpc.ClientConnInterface {
		p := closed(shared("x", per(size/2, time.Hour)))
		p.Burst, p.Cost = new(uint32(size)), new(cost)
		return chain(t, l, keyed(k, p))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var answered atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		owes := int64(i+1) * step
		first, next := costing(fmt.Sprint(i), uint32(owes)), costing(fmt.Sprint(i), 1)
		until(t, "the first call passes", func() bool { return burst(first, "", 1) == 1 })
		wg.Go(func() {
			for ctx.Err() == nil {
				c, err := invoke(next, call.GRPC, "")
				if status.Code(err) == codes.Unavailable {
					continue
				}
				var left, full int64
				if _, serr := fmt.Sscanf(strings.Join(c.Header().Get("ratelimit"), "|"), `"x";r=%d;t=%d`, &left, &full); err != nil || serr != nil {
					t.Errorf("key %d: %v %v", i, err, serr)
					return
				}
				used := size - left
				if used > near && (used < owes-near || used > owes+near) {
					t.Errorf("key %d owes %d, but was told that %d is used", i, owes, used)
					return
				}
				answered.Add(1)
			}
		})
	}
	for range 3 {
		server.Kill()
		until(t, "redis is down", func() bool { return !store.Up() })
		server.Restart()
		until(t, "redis is up", store.Up)
		n := answered.Load()
		until(t, "calls are answered again", func() bool { return answered.Load() > n+100 })
	}
	cancel()
	wg.Wait()
}
