package upstream_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/orca"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// named is a listener in memory.
type named struct {
	*bufconn.Listener
	name string
	away atomic.Bool // nobody listens

	mu    sync.Mutex
	conns []net.Conn
}

func (n *named) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(n.conns, c)
	return c, err
}

// drop ends all connections.
func (n *named) drop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		_ = c.Close()
	}
	n.conns = nil
}

func (n *named) Addr() net.Addr  { return n }
func (*named) Network() string   { return "memory" }
func (n *named) String() string  { return n.name }
func (n *named) listening() bool { return !n.away.Load() }

// bubble is a fleet in memory, for tests whose time is not real.
func bubble(t *testing.T, names ...string) ([]*backend, []*named, grpc.DialOption) {
	t.Helper()
	reports := orca.CallMetricsServerOption(nil)
	var all []*backend
	var listeners []*named
	for _, name := range names {
		l := &named{Listener: bufconn.Listen(1 << 16), name: name}
		listeners, all = append(listeners, l), append(all, newBackend(t, l, reports))
	}
	return all, listeners, grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		for _, l := range listeners {
			if l.name == address && l.listening() {
				return l.DialContext(ctx)
			}
		}
		return nil, errors.New("nobody listens")
	})
}

// wait lets virtual time pass until n connections stand.
func wait(t *testing.T, up *upstream.Upstream, n int) {
	t.Helper()
	for range 1000 {
		if synctest.Wait(); up.Status().Connections == n {
			synctest.Wait()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%+v, want %d connections", up.Status(), n)
}

// TestSlowStart: a replica that comes late has a tenth of its share at first and
// all of it in the end, exactly.
func TestSlowStart(t *testing.T) {
	for name, weights := range map[string][]uint32{"round robin": nil, "weighted": {1, 3}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all, listeners, dialer := bubble(t, "old:1", "new:1")
				o := options(all, weights...)
				if weights != nil {
					o.Balancing.Kind = upstream.Weighted
				}
				o.Balancing.SlowStart, o.Dial = 1000*time.Second, []grpc.DialOption{dialer}
				listeners[1].away.Store(true)
				up := dial(t, o)
				defer up.Close()
				wait(t, up, 1)
				time.Sleep(1000 * time.Second)
				listeners[1].away.Store(false)
				wait(t, up, 2)
				testRamp(t, up, all, float64(max(o.Addresses[1].Weight, 1)))
			})
		})
	}
}

func testRamp(t *testing.T, up *upstream.Upstream, all []*backend, weight float64) {
	t.Helper()
	const calls = 310
	for i, part := range []float64{0.1, 0.55, 1} {
		if i > 0 {
			time.Sleep(500 * time.Second)
		}
		want := int(calls * weight * part / (1 + weight*part))
		if got := sendMany(t, up, all, calls); !near(got, []int{calls - want, want}, 2) {
			t.Errorf("after %v: got %v, want %d for the new one", time.Duration(i)*500*time.Second, got, want)
		}
	}
}

// TestWarmAfterReconnect: a replica that only lost its connection is as warm as
// before; one that was down is not.
func TestWarmAfterReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, listeners, dialer := bubble(t, "a:1", "b:1")
		o := options(all)
		o.Balancing.SlowStart, o.Dial = 1000*time.Second, []grpc.DialOption{dialer}
		up := dial(t, o)
		defer up.Close()
		wait(t, up, 2)
		time.Sleep(1000 * time.Second)
		listeners[1].drop()
		wait(t, up, 2)
		if got := sendMany(t, up, all, 110); !near(got, []int{55, 55}, 2) {
			t.Errorf("with a new connection: got %v, want 55 each", got)
		}
		listeners[1].away.Store(true)
		listeners[1].drop()
		wait(t, up, 1)
		time.Sleep(time.Second)
		listeners[1].away.Store(false)
		wait(t, up, 2)
		if got := sendMany(t, up, all, 110); !near(got, []int{100, 10}, 2) {
			t.Errorf("after it was down: got %v, want about 100 and 10", got)
		}
	})
}

// TestReportedLoad: without weights of the configuration, replicas are weighed by
// what they report: one that is four times as busy for as many calls gets a
// quarter of the other's.
func TestReportedLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, _, dialer := bubble(t, "idle:1", "busy:1")
		all[0].load, all[1].load = 0.2, 0.8
		o := options(all)
		o.Balancing.Kind, o.Dial = upstream.Weighted, []grpc.DialOption{dialer}
		up := dial(t, o)
		defer up.Close()
		wait(t, up, 2)
		for range 15 { // grpc-go looks on for ten seconds first
			_ = sendMany(t, up, all, 20)
			time.Sleep(time.Second)
		}
		if got := sendMany(t, up, all, 100); !near(got, []int{80, 20}, 3) {
			t.Errorf("got %v, want 80 and 20", got)
		}
	})
}

func outliers() *upstream.Outliers {
	return &upstream.Outliers{
		Interval: time.Second, BaseEjectionTime: 10 * time.Second, MaxEjectionTime: time.Minute, MaxEjectionPercent: 20,
		FailurePercentage: 50, MinimumCalls: 5, MinimumReplicas: 3,
	}
}

// TestOutliers: of five replicas of which two fail, one may be left out, and is;
// when it is well again and its time is over, it comes back.
func TestOutliers(t *testing.T) {
	for name, b := range map[string]upstream.Balancing{
		"round robin": {}, "least request": {Kind: upstream.LeastRequest}, "ours": {SlowStart: time.Nanosecond},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testOutliers(t, b) }) })
	}
}

func testOutliers(t *testing.T, b upstream.Balancing) {
	all, _, dialer := bubble(t, "a:1", "b:1", "c:1", "d:1", "e:1")
	o := options(all)
	o.Balancing, o.Outliers, o.Dial = b, outliers(), []grpc.DialOption{dialer}
	up := dial(t, o)
	defer up.Close()
	wait(t, up, 5)
	all[1].fails.Store(true)
	all[3].fails.Store(true)
	out := func() []int {
		reset(all)
		for range 200 {
			_ = send(t.Context(), up)
		}
		var list []int
		for i, n := range counts(all) {
			if n == 0 {
				list = append(list, i)
			}
		}
		return list
	}
	if list := out(); len(list) > 0 {
		t.Fatalf("%v were left out at once", list)
	}
	for range 5 {
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if list := out(); len(list) != 1 || list[0] != 1 && list[0] != 3 {
			t.Fatalf("left out: %v, want one of 1 and 3", list)
		}
	}
	all[1].fails.Store(false)
	all[3].fails.Store(false)
	time.Sleep(15 * time.Second)
	synctest.Wait()
	if list := out(); len(list) > 0 {
		t.Errorf("still left out: %v", list)
	}
}

// TestClientsEjectNobody: what clients do, and what no replica got, leaves no
// replica out.
func TestClientsEjectNobody(t *testing.T) {
	for name, b := range map[string]upstream.Balancing{
		"round robin": {}, "least request": {Kind: upstream.LeastRequest}, "ours": {SlowStart: time.Nanosecond}, "ring": {Kind: upstream.RingHash},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testClientsEjectNobody(t, b) }) })
	}
}

func testClientsEjectNobody(t *testing.T, b upstream.Balancing) {
	all, _, dialer := bubble(t, "a:1", "b:1", "c:1")
	o := options(all)
	o.Balancing, o.Outliers, o.Dial = b, outliers(), []grpc.DialOption{dialer}
	o.Outliers.MaxEjectionPercent = 100
	up := dial(t, o)
	defer up.Close()
	home := upstream.WithHashKey(t.Context(), "key") // for the ring: all at one
	for range 30 {
		if err := send(home, up); err != nil && b.Kind != upstream.RingHash {
			t.Fatal(err)
		}
	}
	for range 5 {
		for range 30 {
			ctx, cancel := context.WithCancel(home)
			s, err := up.Conn().NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, unary)
			cancel()
			for err == nil {
				err = s.RecvMsg(new(emptypb.Empty))
			}
			_ = send(metadata.AppendToOutgoingContext(home, "x'odd", "1"), up)
		}
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if err := send(home, up); err != nil {
			t.Fatalf("clients had replicas left out: %v", err)
		}
	}
}

// TestOutlierOfRing: the keys of a replica that is left out go elsewhere.
func TestOutlierOfRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, _, dialer := bubble(t, "a:1", "b:1", "c:1")
		o := options(all)
		o.Balancing.Kind, o.Outliers, o.Dial = upstream.RingHash, outliers(), []grpc.DialOption{dialer}
		up := dial(t, o)
		defer up.Close()
		homes(t, up, all, 30)
		all[0].fails.Store(true)
		for range 3 {
			for k := range 60 {
				_ = send(upstream.WithHashKey(t.Context(), string(rune('a'+k))), up)
			}
			time.Sleep(1100 * time.Millisecond)
			synctest.Wait()
		}
		if slices.Contains(homes(t, up, all, 30), 0) {
			t.Error("keys go to the one that is left out")
		}
	})
}

// TestStreamAge: a stream ends at its age, give or take a tenth by chance, as the
// gateway's own doing; one that ends before does not notice.
func TestStreamAge(t *testing.T) {
	for _, tc := range []struct {
		random float64
		want   time.Duration
	}{{0, 9 * time.Minute}, {0.5, 10 * time.Minute}, {1, 11 * time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			all, _, dialer := bubble(t, "a:1")
			o := options(all)
			o.MaxStreamAge, o.Random, o.Dial = 10*time.Minute, func() float64 { return tc.random }, []grpc.DialOption{dialer}
			up := dial(t, o)
			defer up.Close()
			testAge(t, up, tc.want)
		})
	}
}

func testAge(t *testing.T, up *upstream.Upstream, want time.Duration) {
	t.Helper()
	began := time.Now()
	s, err := up.Conn().NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SendMsg(new(emptypb.Empty)); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		err = s.RecvMsg(new(emptypb.Empty))
	}
	if took := time.Since(began); took != want {
		t.Errorf("took %v, want %v", took, want)
	}
	if call.CodeOf(err) != codes.Unavailable || call.FaultOf(err) != call.Gateway || err.Error() != "the stream reached its maximum age (10m0s): call again" {
		t.Errorf("err = %v", err)
	}
}
