package redis_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/gatehouse-dev/gatehouse/internal/redis"
	"github.com/gatehouse-dev/gatehouse/test/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	echo  = redis.NewScript(`return {KEYS[1], ARGV[1], 7}`)
	none  = redis.NewScript(`return false`)
	wrong = redis.NewScript(`return redis.error_reply("ERR this is wrong")`)
	count = redis.NewScript(`return redis.call("INCR", KEYS[1])`)
)

// dial connects with a timeout that a busy machine does not exceed.
func dial(t *testing.T, o redis.Options) *redis.Store {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	s, err := redis.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
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

func TestRun(t *testing.T) {
	server := redistest.Start(t)
	s := dial(t, redis.Options{Addresses: []string{server.Addr}})
	reply, err := s.Run(t.Context(), echo, []string{"k"}, "v")
	if got, ok := reply.([]any); err != nil || !ok || len(got) != 3 || got[0] != "gatehouse:k" || got[1] != "v" || got[2] != int64(7) {
		t.Errorf("reply %v, %v; want the prefixed key, the argument and 7", reply, err)
	}
	if reply, err := s.Run(t.Context(), none, nil); reply != nil || err != nil {
		t.Errorf("reply %v, %v; want neither", reply, err)
	}
	if _, err := s.Run(t.Context(), wrong, nil); err == nil || !strings.Contains(err.Error(), "this is wrong") {
		t.Errorf("err = %v, want the script's", err)
	}
	if !s.Up() {
		t.Error("down because of a script's mistake, want up")
	}
}

func TestPrefixPasswordAndDatabase(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "secret")
	s := dial(t, redis.Options{Addresses: []string{server.Addr}, Password: "secret", Database: 3, Prefix: "p:"})
	if reply, err := s.Run(t.Context(), count, []string{"n"}); err != nil || reply != int64(1) {
		t.Fatalf("reply %v, %v; want 1", reply, err)
	}
	other := dial(t, redis.Options{Addresses: []string{server.Addr}, Password: "secret", Prefix: "p:"})
	if reply, err := other.Run(t.Context(), count, []string{"n"}); err != nil || reply != int64(1) {
		t.Errorf("another database: reply %v, %v; want 1", reply, err)
	}
	stranger := dial(t, redis.Options{Addresses: []string{server.Addr}, Password: "guess"})
	if stranger.Up() {
		t.Error("up with a wrong password, want down")
	}
}

// A call that is cancelled, or whose deadline has passed, still gets an answer,
// and above all does not make Redis look down.
func TestTheCallersContextIsNotTheStores(t *testing.T) {
	server := redistest.Start(t)
	s := dial(t, redis.Options{Addresses: []string{server.Addr}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Run(ctx, count, []string{"n"}); err != nil || !s.Up() {
		t.Errorf("err = %v, up = %v; want an answer", err, s.Up())
	}
}

func TestDownIsKnownAtOnceAndUpIsFound(t *testing.T) {
	server := redistest.Start(t)
	reg := prometheus.NewRegistry()
	var log safeBuffer
	s := dial(t, redis.Options{Addresses: []string{server.Addr}, Registerer: reg, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if _, err := s.Run(t.Context(), count, []string{"n"}); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		server.Kill()
		if _, err := s.Run(t.Context(), count, []string{"n"}); err == nil || errors.Is(err, redis.ErrDown) {
			t.Fatalf("round %d: err = %v, want that of the connection", round, err)
		}
		for range 1000 {
			if _, err := s.Run(t.Context(), count, []string{"n"}); !errors.Is(err, redis.ErrDown) {
				t.Fatalf("round %d: err = %v, want ErrDown", round, err)
			}
		}
		if got := gauge(t, reg, "gatehouse_redis_up"); got != 0 {
			t.Errorf("round %d: gatehouse_redis_up = %v, want 0", round, got)
		}
		server.Restart()
		until(t, "redis is up", s.Up)
		if reply, err := s.Run(t.Context(), count, []string{"n"}); err != nil || reply != int64(1) {
			t.Errorf("round %d: reply %v, %v; want 1 from a fresh server", round, reply, err)
		}
		if got := gauge(t, reg, "gatehouse_redis_up"); got != 1 {
			t.Errorf("round %d: gatehouse_redis_up = %v, want 1", round, got)
		}
	}
	for _, line := range []string{"redis is down", "redis is up"} {
		if got := strings.Count(log.String(), line); got != 2 {
			t.Errorf("%q is logged %d times, want one line per change, 2:\n%s", line, got, log.String())
		}
	}
}

// Many calls meet a server that dies: each gets an answer, and once one has seen
// the failure nobody else is kept waiting for the timeout.
func TestOneFailureIsEnough(t *testing.T) {
	black := blackHole(t)
	const timeout = 300 * time.Millisecond
	s := dial(t, redis.Options{Addresses: []string{black}, Timeout: timeout})
	if s.Up() {
		t.Fatal("up, want down: nothing answers")
	}
	began := time.Now()
	for range 10000 {
		if _, err := s.Run(t.Context(), count, []string{"n"}); !errors.Is(err, redis.ErrDown) {
			t.Fatalf("err = %v, want ErrDown", err)
		}
	}
	if took := time.Since(began); took > 10*timeout { // one by one it would be 10000 times
		t.Errorf("took %v, want no waiting", took)
	}
}

// Redis answers and does not take writes: that is down, for whoever asks, and up
// again as soon as it does.
func TestWhatDoesNotTakeWritesIsDown(t *testing.T) {
	for name, state := range map[string]struct{ spoil, mend string }{
		"read-only replica":   {"REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"},
		"no memory":           {"CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"},
		"too few replicas":    {"CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"},
		"a user without keys": {"ACL SETUSER default resetkeys", "ACL SETUSER default allkeys"},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			reg := prometheus.NewRegistry()
			var log safeBuffer
			o := redis.Options{Addresses: []string{server.Addr}, Timeout: 5 * time.Second, Registerer: reg, Log: slog.New(slog.NewTextHandler(&log, nil))}
			s := dial(t, o)
			server.Do(state.spoil)
			until(t, "redis is down", func() bool {
				if _, err := s.Run(t.Context(), count, []string{"n"}); err == nil {
					t.Fatal("it was written to")
				}
				return !s.Up()
			})
			if _, err := s.Run(t.Context(), count, []string{"n"}); !errors.Is(err, redis.ErrDown) || redis.Refused(err) {
				t.Errorf("err = %v, want ErrDown", err)
			}
			if got := gauge(t, reg, "gatehouse_redis_up"); got != 0 || strings.Count(log.String(), "redis is down") != 1 {
				t.Errorf("gatehouse_redis_up = %v, want 0 and one line in the log:\n%s", got, log.String())
			}
			if later := dial(t, redis.Options{Addresses: o.Addresses}); later.Up() {
				t.Error("up for who connects now, want down")
			}
			server.Do(state.mend)
			until(t, "redis is up", s.Up)
			if reply, err := s.Run(t.Context(), count, []string{"n"}); err != nil || reply != int64(1) {
				t.Errorf("reply %v, %v; want 1", reply, err)
			}
			if got := gauge(t, reg, "gatehouse_redis_up"); got != 1 {
				t.Errorf("gatehouse_redis_up = %v, want 1", got)
			}
		})
	}
}

// AwaitUp and Go are for what must be done when Redis is back.
func TestWhatWaitsForRedis(t *testing.T) {
	server := redistest.Start(t)
	s, err := redis.Dial(redis.Options{Addresses: []string{server.Addr}, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AwaitUp(t.Context()); err != nil {
		t.Fatalf("err = %v, want none: it is up", err)
	}
	server.Kill()
	if _, err := s.Run(t.Context(), count, []string{"n"}); err == nil || redis.Refused(err) {
		t.Fatalf("err = %v, want that of the connection", err)
	}
	done := make(chan error)
	s.Go(func(ctx context.Context) {
		err := s.AwaitUp(ctx)
		if err == nil {
			_, err = s.Run(ctx, count, []string{"n"})
		}
		done <- err
	})
	server.Restart()
	if err := <-done; err != nil {
		t.Errorf("err = %v, want it done", err)
	}
	server.Kill()
	until(t, "redis is down", func() bool { _, _ = s.Run(t.Context(), count, []string{"n"}); return !s.Up() })
	ended := make(chan error, 1)
	s.Go(func(ctx context.Context) { ended <- s.AwaitUp(ctx) })
	s.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want it ended by Close", err)
	}
	s.Go(func(context.Context) { t.Error("it runs after Close") })
}

// Operations that fail together are one change, not several.
func TestManyFailuresAreOneChange(t *testing.T) {
	server := redistest.Start(t)
	var log safeBuffer
	s := dial(t, redis.Options{Addresses: []string{server.Addr}, Timeout: 200 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))})
	busy := redis.NewScript(`
local began = redis.call("TIME")
repeat local now = redis.call("TIME") until (now[1] - began[1]) * 1000000 + now[2] - began[2] > 1500000`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Run(context.Background(), busy, nil); err == nil {
				t.Error("an operation of 1.5s was waited for")
			}
		})
	}
	wg.Wait()
	if s.Up() || strings.Count(log.String(), "redis is down") != 1 {
		t.Errorf("up = %v, want down and one line:\n%s", s.Up(), log.String())
	}
	server.Kill()
}

func TestAnswersAreNeverAnothersUnderLoadAndDeath(t *testing.T) {
	server := redistest.Start(t)
	s := dial(t, redis.Options{Addresses: []string{server.Addr}, Timeout: 20 * time.Millisecond})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for i := range 16 {
		key := strings.Repeat("k", i+1)
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				reply, err := s.Run(context.Background(), echo, []string{key}, key)
				if got, ok := reply.([]any); err == nil && (!ok || got[0] != "gatehouse:"+key || got[1] != key) {
					t.Errorf("reply to %q is %v", key, reply)
					return
				}
			}
		})
	}
	for range 3 {
		server.Kill()
		until(t, "redis is down", func() bool { return !s.Up() })
		server.Restart()
		until(t, "redis is up", s.Up)
	}
	close(stop)
	wg.Wait()
}

func TestWrongOptions(t *testing.T) {
	for name, o := range map[string]redis.Options{
		"addresses": {},
		"database":  {Addresses: []string{"a:1", "b:1"}, Database: 1},
		"timeout":   {Addresses: []string{"a:1"}, Timeout: -1},
	} {
		if _, err := redis.Dial(o); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: err = %v, want one that names the field", name, err)
		}
	}
	reg := prometheus.NewRegistry()
	server := redistest.Start(t)
	dial(t, redis.Options{Addresses: []string{server.Addr}, Registerer: reg})
	if _, err := redis.Dial(redis.Options{Addresses: []string{server.Addr}, Registerer: reg}); err == nil {
		t.Error("two stores in one registry: want an error")
	}
}

func TestDefaults(t *testing.T) {
	if redis.DefaultTimeout != 50*time.Millisecond || redis.DefaultPrefix != "gatehouse:" {
		t.Errorf("defaults %v and %q, want 50ms and gatehouse:", redis.DefaultTimeout, redis.DefaultPrefix)
	}
}

// blackHole takes connections and says nothing.
func blackHole(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func gauge(t *testing.T, reg prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
