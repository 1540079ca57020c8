package shed_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/shed"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

// slow is an upstream whose calls take so long, or until they are given up.
func slow(d time.Duration) calltest.Conn {
	return calltest.Conn{OnInvoke: func(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}}
}

func overloaded(t *testing.T, err error) {
	t.Helper()
	if status.Code(err) != codes.Unavailable || call.FaultOf(err) != call.Gateway || call.PolicyOf(err) != "shed" {
		t.Fatalf("err = %v, fault %v by %q; want UNAVAILABLE by the gateway's shed", err, call.FaultOf(err), call.PolicyOf(err))
	}
	details := status.Convert(err).Details()
	if len(details) != 1 || details[0].(*errdetails.RetryInfo).GetRetryDelay().AsDuration() != time.Second {
		t.Errorf("details %v, want RetryInfo of 1s", details)
	}
}

func TestEachPriorityHasItsShare(t *testing.T) {
	for p, want := range map[policyv1.Priority]int{
		policyv1.Priority_PRIORITY_UNSPECIFIED: 16, sheddable: 14, normal: 16, high: 18, critical: 20,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newShedder(t, 20, 20)
			conn := interceptors.Chain(slow(time.Minute), precheck(s, "/s/m", p), build(s, "/s/m", p))
			let := 0
			for range 30 {
				ended := make(chan error, 1)
				go func() { ended <- conn.Invoke(t.Context(), "/s/m", nil, nil) }()
				synctest.Wait()
				select {
				case err := <-ended:
					overloaded(t, err)
				default:
					let++
				}
			}
			if let != want {
				t.Errorf("%v: %d of 20 let in, want %d", p, let, want)
			}
			_, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/s/m")
			overloaded(t, err)
			time.Sleep(time.Hour)
			if _, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/s/m"); err != nil {
				t.Errorf("%v: when all is over: %v", p, err)
			}
		})
	}
}

func TestEveryPriorityHasAPlace(t *testing.T) {
	conn := interceptors.Chain(calltest.Conn{}, build(newShedder(t, 1, 1), "/s/m", sheddable))
	if err := conn.Invoke(t.Context(), "/s/m", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestStreamsTakeNoPlace(t *testing.T) {
	conn := interceptors.Chain(calltest.Conn{}, build(newShedder(t, 1, 1), "/s/m", critical))
	for range 5 {
		if _, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/s/m"); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Invoke(t.Context(), "/s/m", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotMeetItsDeadlineIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShedder(t, 20, 20)
		conn := interceptors.Chain(slow(100*time.Millisecond), build(s, "/s/m", normal))
		within := func(d time.Duration) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			begin := time.Now()
			err := conn.Invoke(ctx, "/s/m", nil, nil)
			return time.Since(begin), err
		}
		if took, err := within(50 * time.Millisecond); status.Code(err) != codes.DeadlineExceeded || took == 0 {
			t.Errorf("before anything is known: %v after %v, want the upstream asked", err, took)
		}
		for range 20 {
			conn.Invoke(t.Context(), "/s/m", nil, nil)
		}
		if took, err := within(50 * time.Millisecond); status.Code(err) != codes.DeadlineExceeded || took != 0 || call.PolicyOf(err) != "shed" || call.FaultOf(err) != call.Gateway {
			t.Errorf("%v after %v, want DEADLINE_EXCEEDED by shed at once", err, took)
		}
		if _, err := within(150 * time.Millisecond); err != nil {
			t.Errorf("with enough time: %v", err)
		}
		time.Sleep(2 * time.Second) // what was known is old
		if took, err := within(50 * time.Millisecond); took == 0 {
			t.Errorf("%v at once; when nothing is known any more, want the upstream asked", err)
		}
	})
}

func TestWhatTheLimitFollows(t *testing.T) {
	const least = 10
	for _, tc := range []struct {
		name  string
		err   error
		takes time.Duration // a call under load; 20ms before
		grows bool
	}{
		{"quick answers", nil, 20 * time.Millisecond, true},
		{"slow answers", nil, 200 * time.Millisecond, false},
		{"deadlines that passed", status.Error(codes.DeadlineExceeded, "late"), 200 * time.Millisecond, false},
		{"slow, but not by much", nil, 24 * time.Millisecond, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := prometheus.NewRegistry()
				s, err := shed.New(&configv1.Shedding{Enabled: true, MinLimit: proto.Uint32(least), MaxLimit: proto.Uint32(1000)}, reg)
				if err != nil {
					t.Fatal(err)
				}
				var outcome error
				takes := 20 * time.Millisecond
				conn := interceptors.Chain(calltest.Conn{OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error {
					time.Sleep(takes)
					return outcome
				}}, build(s, "/s/m", critical))
				crowd(t, conn, 40, 2*time.Second)
				before := gauge(t, reg, "gatehouse_shed_limit")
				if before < 40 {
					t.Fatalf("limit is %v after an idle backend served 40 at once", before)
				}
				takes, outcome = tc.takes, tc.err
				crowd(t, conn, int(before), 3*time.Second)
				after := gauge(t, reg, "gatehouse_shed_limit")
				if grew := after > before; grew != tc.grows {
					t.Errorf("limit went from %v to %v; want it to grow: %v", before, after, tc.grows)
				}
				if gauge(t, reg, "gatehouse_shed_in_flight") != 0 {
					t.Error("calls are in flight after all have ended")
				}
			})
		})
	}
}

func TestOtherEndsTellNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		s, err := shed.New(&configv1.Shedding{Enabled: true, MinLimit: proto.Uint32(10), MaxLimit: proto.Uint32(1000)}, reg)
		if err != nil {
			t.Fatal(err)
		}
		conn := interceptors.Chain(calltest.Conn{OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error {
			time.Sleep(time.Millisecond)
			return call.Refuse(call.Client, codes.Unauthenticated, "who are you")
		}}, build(s, "/s/m", critical))
		crowd(t, conn, 10, 5*time.Second)
		if got := gauge(t, reg, "gatehouse_shed_limit"); got != 10 {
			t.Errorf("limit is %v after refusals alone, want 10", got)
		}
	})
}

// crowd has n callers that call one after the other.
func crowd(t *testing.T, conn grpc.ClientConnInterface, n int, length time.Duration) {
	t.Helper()
	end := time.Now().Add(length)
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for time.Now().Before(end) {
				if err := conn.Invoke(t.Context(), "/s/m", nil, nil); status.Code(err) == codes.Unavailable {
					time.Sleep(50 * time.Millisecond)
				}
			}
		})
	}
	all.Wait()
}

func TestDefaults(t *testing.T) {
	for _, o := range []*configv1.Shedding{nil, {}} {
		s, err := shed.New(o, prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		if i := build(s, "/s/m", critical); i.Unary != nil || i.Stream != nil {
			t.Error("shedding is on by default")
		}
	}
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		s, err := shed.New(byDefault(), reg)
		if err != nil {
			t.Fatal(err)
		}
		if got := gauge(t, reg, "gatehouse_shed_limit"); got != 20 {
			t.Errorf("min_limit is %v by default, want 20", got)
		}
		crowd(t, interceptors.Chain(slow(100*time.Millisecond), build(s, "/s/m", critical)), 1200, 4*time.Second)
		if got := gauge(t, reg, "gatehouse_shed_limit"); got != 1000 {
			t.Errorf("max_limit is %v by default, want 1000", got)
		}
	})
}

func TestTwoInOneRegistry(t *testing.T) {
	reg := prometheus.NewRegistry()
	_, first := shed.New(byDefault(), reg)
	if _, second := shed.New(byDefault(), reg); first != nil || second == nil {
		t.Errorf("two shedders in one registry: %v and %v, want an error of the second", first, second)
	}
}

func TestAPanicGivesThePlaceBack(t *testing.T) {
	conn := interceptors.Chain(calltest.Conn{OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error { panic("boom") }},
		build(newShedder(t, 1, 1), "/s/m", critical))
	for range 3 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic: the place was not given back")
				}
			}()
			conn.Invoke(t.Context(), "/s/m", nil, nil)
		}()
	}
}

// TestStateSurvivesARebuild: a new table's policy goes by what the old one saw.
func TestStateSurvivesARebuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShedder(t, 2, 2)
		go interceptors.Chain(slow(time.Second), build(s, "/s/m", normal)).Invoke(t.Context(), "/s/m", nil, nil)
		synctest.Wait()
		overloaded(t, interceptors.Chain(calltest.Conn{}, build(s, "/s/m", normal)).Invoke(t.Context(), "/s/m", nil, nil))
	})
}

// TestManyAtOnce is for the race detector.
func TestManyAtOnce(t *testing.T) {
	s := newShedder(t, 4, 8)
	var all sync.WaitGroup
	for w := range 16 {
		conn := interceptors.Chain(calltest.Conn{}, build(s, fmt.Sprint("/s/", w%3), policyv1.Priority(w%5)))
		all.Go(func() {
			for range 2000 {
				if err := conn.Invoke(t.Context(), "/s/m", nil, nil); err != nil && !errors.As(err, new(*call.Error)) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func TestNeitherLettingInNorRefusingAllocates(t *testing.T) {
	in, out := letting(t)
	for name, conn := range map[string]grpc.ClientConnInterface{"letting in": in, "refusing": out} {
		if n := testing.AllocsPerRun(1000, func() { conn.Invoke(t.Context(), "/s/m", nil, nil) }); n != 0 {
			t.Errorf("%s takes %v allocations, want 0", name, n)
		}
	}
}

// letting returns a chain that lets calls in, and one that is full.
func letting(tb testing.TB) (in, out grpc.ClientConnInterface) {
	in = interceptors.Chain(calltest.Conn{}, build(newShedder(tb, 20, 20), "/s/m", normal))
	s := newShedder(tb, 1, 1)
	release, entered := make(chan struct{}), make(chan struct{})
	tb.Cleanup(func() { close(release) })
	full := interceptors.Chain(calltest.Conn{OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error {
		close(entered)
		<-release
		return nil
	}}, build(s, "/s/m", normal))
	go full.Invoke(tb.Context(), "/s/m", nil, nil)
	<-entered
	return in, full
}

func BenchmarkShed(b *testing.B) {
	in, out := letting(b)
	for name, conn := range map[string]grpc.ClientConnInterface{"in": in, "refused": out} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				conn.Invoke(b.Context(), "/s/m", nil, nil)
			}
		})
	}
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
	t.Fatalf("no %s", name)
	return 0
}

// byDefault is what a configuration has that says no more than that calls are shed.
func byDefault() *configv1.Shedding {
	o := config.Default().GetShedding()
	o.Enabled = true
	return o
}
