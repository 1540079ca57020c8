package concurrency_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/concurrency"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

func newCaps(tb testing.TB) (*concurrency.Caps, *prometheus.Registry) {
	tb.Helper()
	reg := prometheus.NewRegistry()
	caps, err := concurrency.New(reg)
	if err != nil {
		tb.Fatal(err)
	}
	return caps, reg
}

// cap0 is a cap without a queue.
func cap0(limit uint32, scope policyv1.Concurrency_Scope) *policyv1.Concurrency {
	return &policyv1.Concurrency{Limit: &limit, Scope: &scope}
}

func queued(limit, queue uint32, maxWait time.Duration) *policyv1.Concurrency {
	return &policyv1.Concurrency{Limit: &limit, Queue: &queue, MaxWait: durationpb.New(maxWait)}
}

// upstream is one whose calls run until they are let go.
type upstream struct {
	release chan struct{}
	running atomic.Int32
	most    atomic.Int32
}

func newUpstream() *upstream { return &upstream{release: make(chan struct{})} }

func (u *upstream) invoke(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
	now := u.running.Add(1)
	defer u.running.Add(-1)
	for most := u.most.Load(); now > most && !u.most.CompareAndSwap(most, now); most = u.most.Load() {
	}
	select {
	case <-u.release:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

func build(caps *concurrency.Caps, method, upstream string, list []*policyv1.Concurrency) (interceptors.Interceptor, error) {
	return policytest.TryBuild(caps, interceptors.Method{
		Name: method, Policy: &policyv1.Policy{Concurrency: list}, Target: interceptors.Target{Upstream: upstream},
	})
}

func chain(tb testing.TB, caps *concurrency.Caps, u *upstream, method, name string, list ...*policyv1.Concurrency) grpc.ClientConnInterface {
	tb.Helper()
	i, err := build(caps, method, name, list)
	if err != nil {
		tb.Fatal(err)
	}
	return interceptors.Chain(calltest.Conn{OnInvoke: u.invoke}, i)
}

func as(ctx context.Context, peer string, who *call.Caller) context.Context {
	c := &call.Call{Peer: peer}
	if who != nil {
		c.SetCaller(who)
	}
	return call.With(ctx, c)
}

func refused(t *testing.T, err error, fault call.Fault, text string, retry time.Duration) {
	t.Helper()
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(status.Convert(err).Message(), text) {
		t.Fatalf("err = %v, want RESOURCE_EXHAUSTED with %q", err, text)
	}
	if call.FaultOf(err) != fault || call.PolicyOf(err) != "concurrency" {
		t.Errorf("fault %v by %q, want %v by concurrency", call.FaultOf(err), call.PolicyOf(err), fault)
	}
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok && info.GetRetryDelay().AsDuration() == retry {
			return
		}
	}
	t.Errorf("details %v, want RetryInfo of %v", status.Convert(err).Details(), retry)
}

func TestWhatIsCountedTogether(t *testing.T) {
	const one, other = "/s/one", "/s/other"
	ann, bob := &call.Caller{ID: "ann", Authenticator: "jwt"}, &call.Caller{ID: "bob", Authenticator: "jwt"}
	for _, tc := range []struct {
		name           string
		scope          policyv1.Concurrency_Scope
		method         string // of the second call
		peer1, peer2   string
		who1, who2     *call.Caller
		refused        string
		fault          call.Fault
		secondUpstream string
	}{
		{name: "unspecified is the RPC", method: one, refused: "/s/one takes 1 calls at once"},
		{name: "RPC", scope: policyv1.Concurrency_SCOPE_RPC, method: one, refused: "/s/one takes 1 calls at once", who1: ann, who2: bob},
		{name: "other RPC", scope: policyv1.Concurrency_SCOPE_RPC, method: other},
		{name: "upstream", scope: policyv1.Concurrency_SCOPE_UPSTREAM, method: other, refused: `upstream "up" takes 1 calls`},
		{name: "other upstream", scope: policyv1.Concurrency_SCOPE_UPSTREAM, method: one, secondUpstream: "second"},
		{name: "caller", scope: policyv1.Concurrency_SCOPE_CALLER, method: one, who1: ann, who2: ann, peer2: "192.0.2.9:1", refused: "a caller may have 1 calls of /s/one", fault: call.Client},
		{name: "other caller", scope: policyv1.Concurrency_SCOPE_CALLER, method: one, who1: ann, who2: bob},
		{name: "same name elsewhere", scope: policyv1.Concurrency_SCOPE_CALLER, method: one, who1: ann, who2: &call.Caller{ID: "ann", Authenticator: "keys"}},
		{name: "caller, other RPC", scope: policyv1.Concurrency_SCOPE_CALLER, method: other, who1: ann, who2: ann},
		{name: "address", scope: policyv1.Concurrency_SCOPE_CALLER, method: one, peer1: "192.0.2.1:1", peer2: "192.0.2.1:2", refused: "a caller may", fault: call.Client},
		{name: "other address", scope: policyv1.Concurrency_SCOPE_CALLER, method: one, peer1: "192.0.2.1:1", peer2: "192.0.2.2:1"},
		{name: "network of IPv6", scope: policyv1.Concurrency_SCOPE_CALLER, method: one, peer1: "[2001:db8::1]:1", peer2: "[2001:db8::ffff:1]:1", refused: "a caller may", fault: call.Client},
		{name: "other network of IPv6", scope: policyv1.Concurrency_SCOPE_CALLER, method: one, peer1: "[2001:db8::1]:1", peer2: "[2001:db8:0:1::1]:1"},
		{name: "address of a caller", scope: policyv1.Concurrency_SCOPE_CALLER, method: one, peer1: "192.0.2.1:1", peer2: "192.0.2.1:1", who1: ann},
		{name: "nobody", scope: policyv1.Concurrency_SCOPE_CALLER, method: one, peer1: "@", peer2: "", refused: "a caller may", fault: call.Client},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				caps, _ := newCaps(t)
				u := newUpstream()
				name2 := "up"
				if tc.secondUpstream != "" {
					name2 = tc.secondUpstream
				}
				if tc.fault == call.Upstream {
					tc.fault = call.Gateway
				}
				go chain(t, caps, u, one, "up", cap0(1, tc.scope)).Invoke(as(t.Context(), tc.peer1, tc.who1), one, nil, nil)
				synctest.Wait()
				second := make(chan error, 1)
				conn := chain(t, caps, u, tc.method, name2, cap0(1, tc.scope))
				go func() { second <- conn.Invoke(as(t.Context(), tc.peer2, tc.who2), tc.method, nil, nil) }()
				synctest.Wait()
				if tc.refused == "" {
					if n := u.running.Load(); n != 2 {
						t.Errorf("%d calls run, want both", n)
					}
				} else {
					refused(t, <-second, tc.fault, tc.refused, 100*time.Millisecond)
				}
				close(u.release)
				synctest.Wait()
				if tc.refused == "" && <-second != nil {
					t.Error("the second call failed")
				}
				if err := conn.Invoke(as(t.Context(), tc.peer2, tc.who2), tc.method, nil, nil); err != nil {
					t.Errorf("when all is over: %v, want room", err)
				}
			})
		})
	}
}

func TestTheQueueGoesByDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caps, reg := newCaps(t)
		u := newUpstream()
		conn := chain(t, caps, u, "/s/m", "up", queued(1, 4, time.Second))
		var mu sync.Mutex
		var order []string
		start := func(name string, timeout time.Duration) {
			ctx := t.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				t.Cleanup(cancel)
			}
			go func() {
				if err := conn.Invoke(ctx, "/s/m", nil, nil); err != nil {
					name += " failed"
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
			}()
			synctest.Wait()
		}
		start("runs", 0)
		start("never", 0)
		start("never, later", 0)
		start("late", 9*time.Second)
		start("early", 3*time.Second)
		if got := gauges(t, reg); got["running rpc /s/m"] != 1 || got["waiting rpc /s/m"] != 4 {
			t.Errorf("metrics %v, want 1 running and 4 waiting", got)
		}
		refused(t, conn.Invoke(t.Context(), "/s/m", nil, nil), call.Gateway, "/s/m takes 1 calls", time.Second)
		for range 5 {
			u.release <- struct{}{}
			synctest.Wait()
		}
		if want := []string{"runs", "early", "late", "never", "never, later"}; !slices.Equal(order, want) {
			t.Errorf("order %q, want %q", order, want)
		}
		if u.most.Load() != 1 {
			t.Errorf("%d calls at once, want 1", u.most.Load())
		}
	})
}

func TestWhoDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caps, reg := newCaps(t)
		u := newUpstream()
		conn := chain(t, caps, u, "/s/m", "up", queued(1, 4, time.Second))
		go conn.Invoke(t.Context(), "/s/m", nil, nil)
		synctest.Wait()
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second-1)
		defer cancel()
		refused(t, conn.Invoke(ctx, "/s/m", nil, nil), call.Gateway, "/s/m takes", time.Second)
		if took := time.Since(begin); took != 0 {
			t.Errorf("a call that cannot wait for max_wait was refused after %v, want at once", took)
		}
		refused(t, conn.Invoke(t.Context(), "/s/m", nil, nil), call.Gateway, "/s/m takes", time.Second)
		if took := time.Since(begin); took != time.Second {
			t.Errorf("refused after %v, want max_wait", took)
		}
		gone, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		if err := conn.Invoke(gone, "/s/m", nil, nil); status.Code(err) != codes.Canceled || call.FaultOf(err) != call.Client {
			t.Errorf("a client that left: %v by %v, want CANCELLED by the client", err, call.FaultOf(err))
		}
		if got := gauges(t, reg); got["waiting rpc /s/m"] != 0 {
			t.Errorf("metrics %v, want nobody waiting", got)
		}
		close(u.release)
		synctest.Wait()
		if got := gauges(t, reg); got["running rpc /s/m"] != 0 {
			t.Errorf("metrics %v, want nothing running", got)
		}
	})
}

func TestDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caps, _ := newCaps(t)
		u := newUpstream()
		conn := chain(t, caps, u, "/s/m", "up", &policyv1.Concurrency{Limit: proto.Uint32(1)})
		waiting := chain(t, caps, u, "/s/m", "up", &policyv1.Concurrency{Limit: proto.Uint32(1), Queue: proto.Uint32(1)})
		go conn.Invoke(t.Context(), "/s/m", nil, nil)
		synctest.Wait()
		begin := time.Now()
		refused(t, conn.Invoke(t.Context(), "/s/m", nil, nil), call.Gateway, "/s/m", 100*time.Millisecond)
		if took := time.Since(begin); took != 0 {
			t.Errorf("without a queue it took %v, want nothing", took)
		}
		refused(t, waiting.Invoke(t.Context(), "/s/m", nil, nil), call.Gateway, "/s/m", 100*time.Millisecond)
		if took := time.Since(begin); took != 100*time.Millisecond {
			t.Errorf("waited %v, want 100ms", took)
		}
		close(u.release)
	})
}

func TestCallsGoByTheLimitTheyCameWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caps, _ := newCaps(t)
		u := newUpstream()
		old := chain(t, caps, u, "/s/m", "up", cap0(3, policyv1.Concurrency_SCOPE_RPC))
		for range 2 {
			go old.Invoke(t.Context(), "/s/m", nil, nil)
		}
		synctest.Wait()
		lower := chain(t, caps, u, "/s/m", "up", queued(1, 1, time.Second))
		go lower.Invoke(t.Context(), "/s/m", nil, nil) // waits
		synctest.Wait()
		if n := u.running.Load(); n != 2 {
			t.Fatalf("%d calls run, want the 2 of the old table", n)
		}
		go old.Invoke(t.Context(), "/s/m", nil, nil)
		synctest.Wait()
		if n := u.running.Load(); n != 3 {
			t.Fatalf("%d calls run, want a third under the old limit", n)
		}
		for _, want := range []int32{2, 1, 1, 0} { // only the last to leave lets the waiting one in
			u.release <- struct{}{}
			synctest.Wait()
			if n := u.running.Load(); n != want {
				t.Errorf("%d calls run, want %d", n, want)
			}
		}
	})
}

func TestAWaiterWithALargerLimitIsNotHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caps, _ := newCaps(t)
		u := newUpstream()
		up := func(limit uint32) *policyv1.Concurrency {
			p := queued(limit, 4, time.Minute)
			p.Scope = policyv1.Concurrency_SCOPE_UPSTREAM.Enum()
			return p
		}
		small, large := chain(t, caps, u, "/s/small", "up", up(1)), chain(t, caps, u, "/s/large", "up", up(3))
		for range 3 {
			go large.Invoke(t.Context(), "/s/large", nil, nil)
		}
		synctest.Wait()
		go small.Invoke(t.Context(), "/s/small", nil, nil)
		synctest.Wait()
		go large.Invoke(t.Context(), "/s/large", nil, nil)
		synctest.Wait()
		u.release <- struct{}{}
		synctest.Wait()
		if n := u.running.Load(); n != 3 {
			t.Errorf("%d calls run, want the waiting one of the larger limit among 3", n)
		}
		close(u.release)
	})
}

func TestSeveralCapsAreTakenAndGivenBackTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caps, reg := newCaps(t)
		u := newUpstream()
		conn := chain(t, caps, u, "/s/m", "up",
			cap0(5, policyv1.Concurrency_SCOPE_UPSTREAM), cap0(9, policyv1.Concurrency_SCOPE_RPC), cap0(2, policyv1.Concurrency_SCOPE_CALLER))
		for range 2 {
			go conn.Invoke(as(t.Context(), "192.0.2.1:1", nil), "/s/m", nil, nil)
		}
		synctest.Wait()
		for range 9 { // were their places under the first cap kept, it would be full
			refused(t, conn.Invoke(as(t.Context(), "192.0.2.1:1", nil), "/s/m", nil, nil), call.Client, "a caller may have 2", 100*time.Millisecond)
		}
		for _, scope := range []string{"upstream up", "rpc /s/m", "caller /s/m"} {
			if got := gauges(t, reg)["running "+scope]; got != 2 {
				t.Errorf("%s has %v running, want 2", scope, got)
			}
		}
		close(u.release)
		synctest.Wait()
		for series, n := range gauges(t, reg) {
			if n != 0 {
				t.Errorf("%s = %v, want 0", series, n)
			}
		}
	})
}

func TestAStreamHoldsItsPlaceUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caps, reg := newCaps(t)
		i, err := build(caps, "/s/m", "up", []*policyv1.Concurrency{cap0(1, policyv1.Concurrency_SCOPE_RPC)})
		if err != nil {
			t.Fatal(err)
		}
		conn := interceptors.Chain(calltest.Conn{OnStream: func(context.Context, *grpc.StreamDesc, string) (grpc.ClientStream, error) {
			return &calltest.ClientStream{Answers: []string{"a"}}, nil
		}}, i)
		desc := &grpc.StreamDesc{ServerStreams: true}
		for range 2 {
			up, err := conn.NewStream(t.Context(), desc, "/s/m")
			if err != nil {
				t.Fatal(err)
			}
			if err := up.RecvMsg(&call.Message{}); err != nil {
				t.Fatal(err)
			}
			_, err = conn.NewStream(t.Context(), desc, "/s/m")
			refused(t, err, call.Gateway, "/s/m takes 1", 100*time.Millisecond)
			if err := up.RecvMsg(&call.Message{}); err != io.EOF {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := conn.NewStream(ctx, desc, "/s/m"); err != nil {
			t.Fatal(err)
		}
		cancel() // nobody reads its end
		synctest.Wait()
		if n := gauges(t, reg)["running rpc /s/m"]; n != 0 {
			t.Errorf("%v running, want none", n)
		}
	})
}

func TestAPanicGivesThePlaceBack(t *testing.T) {
	caps, reg := newCaps(t)
	i, err := build(caps, "/s/m", "up", []*policyv1.Concurrency{cap0(1, policyv1.Concurrency_SCOPE_RPC)})
	if err != nil {
		t.Fatal(err)
	}
	conn := interceptors.Chain(calltest.Conn{OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error { panic("boom") }}, i)
	func() {
		defer func() { recover() }()
		conn.Invoke(t.Context(), "/s/m", nil, nil)
	}()
	if n := gauges(t, reg)["running rpc /s/m"]; n != 0 {
		t.Errorf("%v running, want none", n)
	}
}

func TestNoCap(t *testing.T) {
	caps, _ := newCaps(t)
	for _, list := range [][]*policyv1.Concurrency{nil, {{Unlimited: new(true)}}} {
		i, err := build(caps, "/s/m", "up", list)
		if err != nil || i.Unary != nil || i.Stream != nil {
			t.Errorf("%v: %+v and %v, want a policy that does nothing", list, i, err)
		}
	}
}

func TestMistakesAreNamed(t *testing.T) {
	caps, reg := newCaps(t)
	ok := cap0(1, policyv1.Concurrency_SCOPE_RPC)
	for want, bad := range map[string]*policyv1.Concurrency{
		"concurrency[1].limit":    {},
		"concurrency[1].max_wait": {Limit: proto.Uint32(1), MaxWait: durationpb.New(-1)},
		"concurrency[1].scope":    {Limit: proto.Uint32(7)},
	} {
		if _, err := build(caps, "/s/m", "up", []*policyv1.Concurrency{ok, bad}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("err = %v, want one that names %s", err, want)
		}
	}
	if _, err := concurrency.New(reg); err == nil {
		t.Error("two sets of collectors in one registry: want an error")
	}
}

// TestManyAtOnce is for the race detector: nothing is lost in the crowd.
func TestManyAtOnce(t *testing.T) {
	caps, reg := newCaps(t)
	var running, most atomic.Int32
	i, err := build(caps, "/s/m", "up", []*policyv1.Concurrency{queued(3, 8, time.Millisecond), cap0(2, policyv1.Concurrency_SCOPE_CALLER)})
	if err != nil {
		t.Fatal(err)
	}
	conn := interceptors.Chain(calltest.Conn{OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return nil
	}}, i)
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			ctx := as(t.Context(), "", &call.Caller{ID: fmt.Sprint(w % 5)})
			for range 500 {
				ctx, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
				conn.Invoke(ctx, "/s/m", nil, nil)
				cancel()
			}
		})
	}
	all.Wait()
	if most.Load() > 3 {
		t.Errorf("%d calls at once, want at most 3", most.Load())
	}
	for series, n := range gauges(t, reg) {
		if n != 0 {
			t.Errorf("%s = %v, want 0", series, n)
		}
	}
}

func TestAnUncontendedCallAllocatesNothing(t *testing.T) {
	conn, ctx := uncontended(t)
	if n := testing.AllocsPerRun(1000, func() { conn.Invoke(ctx, "/s/m", nil, nil) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func uncontended(tb testing.TB) (grpc.ClientConnInterface, context.Context) {
	caps, _ := newCaps(tb)
	i, err := build(caps, "/s/m", "up", []*policyv1.Concurrency{
		cap0(5, policyv1.Concurrency_SCOPE_RPC), cap0(5, policyv1.Concurrency_SCOPE_UPSTREAM), cap0(5, policyv1.Concurrency_SCOPE_CALLER),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return interceptors.Chain(calltest.Conn{}, i), as(tb.Context(), "192.0.2.1:1", &call.Caller{ID: "ann", Authenticator: "jwt"})
}

func BenchmarkThreeCaps(b *testing.B) {
	conn, ctx := uncontended(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := conn.Invoke(ctx, "/s/m", nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// gauges are all series, as "running rpc /s/m".
func gauges(t *testing.T, reg prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := strings.TrimPrefix(f.GetName(), "gatehouse_concurrency_")
			for _, name := range []string{"scope", "name"} {
				for _, l := range m.GetLabel() {
					if l.GetName() == name {
						key += " " + l.GetValue()
					}
				}
			}
			got[key] = m.GetGauge().GetValue()
		}
	}
	return got
}
