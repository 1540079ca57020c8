package upstream_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/orca"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gatehouse-dev/gatehouse/internal/upstream"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// backend is one replica that counts its calls.
type backend struct {
	address string
	calls   atomic.Int64
	fails   atomic.Bool
	holds   atomic.Bool // unary calls, until their end
	mute    atomic.Bool // to unary calls it says nothing, not even at their end
	over    chan struct{}
	held    atomic.Int64
	health  *health.Server
	server  *grpc.Server

	mu    sync.Mutex
	load  float64 // that it reports, of 1
	peers map[string]bool
	seen  metadata.MD // of the last call
}

const (
	unary  = "/test.Service/Unary"
	stream = "/test.Service/Stream" // ends with the client's half, or never
)

// newBackend serves from l until the test ends.
func newBackend(t testing.TB, l net.Listener, opts ...grpc.ServerOption) *backend {
	t.Helper()
	b := &backend{address: l.Addr().String(), health: health.NewServer(), peers: map[string]bool{}, over: make(chan struct{})}
	b.server = grpc.NewServer(append(opts, grpc.UnknownServiceHandler(b.handle))...)
	healthv1.RegisterHealthServer(b.server, b.health)
	go func() { _ = b.server.Serve(l) }()
	t.Cleanup(b.server.Stop)
	t.Cleanup(func() { close(b.over) })
	return b
}

func (b *backend) handle(_ any, ss grpc.ServerStream) error {
	p, _ := peer.FromContext(ss.Context())
	md, _ := metadata.FromIncomingContext(ss.Context())
	b.mu.Lock()
	b.peers[p.Addr.String()] = true
	b.seen = md
	if r := orca.CallMetricsRecorderFromContext(ss.Context()); r != nil {
		r.SetApplicationUtilization(b.load)
		r.SetQPS(100)
	}
	b.mu.Unlock()
	b.calls.Add(1)
	if b.fails.Load() {
		return status.Error(codes.Unavailable, "out of order")
	}
	name, _ := grpc.MethodFromServerStream(ss)
	if name == stream {
		return b.stream(ss)
	}
	if err := ss.RecvMsg(new(emptypb.Empty)); err != nil {
		return err
	}
	if b.mute.Load() {
		<-b.over
	}
	if b.holds.Load() {
		b.held.Add(1)
		<-ss.Context().Done()
	}
	return ss.SendMsg(new(emptypb.Empty))
}

// last is the metadata of the last call.
func (b *backend) last() metadata.MD {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen
}

// stream echoes.
func (*backend) stream(ss grpc.ServerStream) error {
	for {
		switch err := ss.RecvMsg(new(emptypb.Empty)); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
		if err := ss.SendMsg(new(emptypb.Empty)); err != nil {
			return err
		}
	}
}

// fleet is some replicas on loopback.
func fleet(t testing.TB, n int, opts ...grpc.ServerOption) []*backend {
	t.Helper()
	list := make([]*backend, n)
	for i := range list {
		list[i] = newBackend(t, gatewaytest.Listen(t), opts...)
	}
	return list
}

// options are those of an upstream with these replicas and weights.
func options(fleet []*backend, weights ...uint32) upstream.Options {
	o := upstream.Options{
		Name: "shop", KeepaliveTime: 6 * time.Minute, KeepaliveTimeout: 3 * time.Second,
		ConnectTimeout: 5 * time.Second, MaxReceive: 1 << 20, UserAgent: "test",
	}
	for i, b := range fleet {
		a := upstream.Address{Address: b.address}
		if i < len(weights) {
			a.Weight = weights[i]
		}
		o.Addresses = append(o.Addresses, a)
	}
	return o
}

func dial(t testing.TB, o upstream.Options) *upstream.Upstream {
	t.Helper()
	up, err := upstream.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = up.Close() })
	return up
}

// send makes a call.
func send(ctx context.Context, up *upstream.Upstream) error {
	ctx, cancel := context.WithTimeout(ctx, gatewaytest.Patience)
	defer cancel()
	var header metadata.MD // asked for, as call.Forward does
	return up.Conn().Invoke(ctx, unary, new(emptypb.Empty), new(emptypb.Empty), grpc.Header(&header))
}

// sendMany makes calls that must succeed and returns how many each replica had.
func sendMany(t testing.TB, up *upstream.Upstream, fleet []*backend, n int) []int {
	t.Helper()
	reset(fleet)
	for range n {
		if err := send(t.Context(), up); err != nil {
			t.Fatal(err)
		}
	}
	return counts(fleet)
}

func reset(fleet []*backend) {
	for _, b := range fleet {
		b.calls.Store(0)
	}
}

func counts(fleet []*backend) []int {
	list := make([]int, len(fleet))
	for i, b := range fleet {
		list[i] = int(b.calls.Load())
	}
	return list
}

// settle makes calls until just these replicas get some.
func settle(t testing.TB, up *upstream.Upstream, fleet []*backend, called ...int) {
	t.Helper()
	gatewaytest.Eventually(t, fmt.Sprintf("replicas %v, and no others, called", called), func() bool {
		reset(fleet)
		for i := range 30 * len(fleet) {
			_ = send(upstream.WithHashKey(t.Context(), fmt.Sprint("key ", i)), up)
		}
		for i, n := range counts(fleet) {
			if (n > 0) != slices.Contains(called, i) {
				return false
			}
		}
		return true
	})
}

// near tells whether counts are as wanted, give or take.
func near(got, want []int, by int) bool {
	for i := range want {
		if got[i] < want[i]-by || got[i] > want[i]+by {
			return false
		}
	}
	return len(got) == len(want)
}

func TestRoundRobin(t *testing.T) {
	t.Parallel()
	all := fleet(t, 3)
	up := dial(t, options(all))
	settle(t, up, all, 0, 1, 2)
	if got := sendMany(t, up, all, 30); !slices.Equal(got, []int{10, 10, 10}) {
		t.Errorf("got %v, want 10 each", got)
	}
	if s := up.Status(); s.Found != "addresses" || s.Replicas != 3 || s.Connections != 3 || s.Problem != "" {
		t.Errorf("status = %+v", s)
	}
}

func TestWeighted(t *testing.T) {
	t.Parallel()
	all := fleet(t, 3)
	o := options(all, 1, 2, 3)
	o.Balancing.Kind = upstream.Weighted
	up := dial(t, o)
	settle(t, up, all, 0, 1, 2)
	if got := sendMany(t, up, all, 60); !near(got, []int{10, 20, 30}, 2) {
		t.Errorf("got %v, want 10, 20, 30", got)
	}
	all[2].server.Stop()
	settle(t, up, all, 0, 1)
	if got := sendMany(t, up, all, 60); !near(got, []int{20, 40, 0}, 2) {
		t.Errorf("got %v without the third, want 20, 40, 0", got)
	}
}

// TestNoReports: without weights and without reports, it is one after the other.
func TestNoReports(t *testing.T) {
	t.Parallel()
	all := fleet(t, 2)
	o := options(all)
	o.Balancing.Kind = upstream.Weighted
	up := dial(t, o)
	settle(t, up, all, 0, 1)
	if got := sendMany(t, up, all, 20); !slices.Equal(got, []int{10, 10}) {
		t.Errorf("got %v, want 10 each", got)
	}
}

// TestLeastRequest holds the calls of one replica. Chance lets it have a quarter
// of them; in turn it would have half.
func TestLeastRequest(t *testing.T) {
	t.Parallel()
	for name, weights := range map[string][]uint32{"grpc-go's": nil, "ours, alike": {5, 5}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := fleet(t, 2)
			o := options(all, weights...)
			o.Balancing.Kind = upstream.LeastRequest
			if weights != nil {
				o.Balancing.SlowStart = time.Nanosecond // as good as none
			}
			up := dial(t, o)
			settle(t, up, all, 0, 1)
			testHeld(t, up, all)
		})
	}
}

func testHeld(t *testing.T, up *upstream.Upstream, all []*backend) {
	t.Helper()
	reset(all)
	all[0].holds.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	const calls = 100
	var ended atomic.Int64
	for i := range calls {
		group.Go(func() {
			if send(ctx, up) == nil {
				ended.Add(1)
			}
		})
		gatewaytest.Eventually(t, "the call's end, or its being held", func() bool { return int(ended.Load()+all[0].held.Load()) == i+1 })
	}
	if got := counts(all); got[0] >= calls/2 || got[0] == 0 {
		t.Errorf("got %v: the one that holds calls had as many as the other", got)
	}
}

func TestLeastRequestWeighs(t *testing.T) {
	t.Parallel()
	all := fleet(t, 2)
	o := options(all, 1, 9)
	o.Balancing.Kind = upstream.LeastRequest
	up := dial(t, o)
	settle(t, up, all, 0, 1)
	// By chance, a tenth: 20 of 200; 45 is six standard deviations away.
	if got := sendMany(t, up, all, 200); got[0] == 0 || got[0] > 45 {
		t.Errorf("got %v, want about 20 and 180", got)
	}
}

// homes finds the replica of each key, calling twice.
func homes(t *testing.T, up *upstream.Upstream, all []*backend, keys int) []int {
	t.Helper()
	list := make([]int, keys)
	for k := range list {
		reset(all)
		for range 2 {
			if err := send(upstream.WithHashKey(t.Context(), fmt.Sprint("caller-", k)), up); err != nil {
				t.Fatal(err)
			}
		}
		list[k] = slices.Index(counts(all), 2)
		if list[k] < 0 {
			t.Fatalf("key %d: calls went to %v, want both to one", k, counts(all))
		}
	}
	return list
}

func TestRingHash(t *testing.T) {
	t.Parallel()
	all := fleet(t, 3)
	o := options(all)
	o.Balancing.Kind = upstream.RingHash
	up := dial(t, o)
	gatewaytest.Eventually(t, "a connection without a call", func() bool { return up.Status().Connections > 0 })
	before := homes(t, up, all, 60)
	for i := range all {
		if !slices.Contains(before, i) {
			t.Fatalf("no key went to replica %d", i)
		}
	}
	all[2].server.Stop()
	gatewaytest.Eventually(t, "the end of its connection", func() bool { return up.Status().Connections == 2 })
	for k, home := range homes(t, up, all, 60) {
		if before[k] != 2 && before[k] != home {
			t.Errorf("key %d moved from %d to %d, though its replica is there", k, before[k], home)
		}
	}
}

// TestHashKeyIsOurs: the key is not sent, and what clients send under its name is
// not looked at.
func TestHashKeyIsOurs(t *testing.T) {
	t.Parallel()
	all := fleet(t, 3)
	o := options(all)
	o.Balancing.Kind = upstream.RingHash
	up := dial(t, o)
	home := homes(t, up, all, 1)[0]
	for i := range 20 {
		reset(all)
		ctx := metadata.AppendToOutgoingContext(t.Context(), "gatehouse-hash-key", fmt.Sprint(i), "x-own", "a")
		if err := send(upstream.WithHashKey(ctx, "caller-0"), up); err != nil {
			t.Fatal(err)
		}
		if got := counts(all); got[home] != 1 {
			t.Fatalf("the client's metadata sent the call elsewhere: %v, want %d", got, home)
		}
	}
	if err := send(upstream.WithHashKey(metadata.AppendToOutgoingContext(t.Context(), "x-own", "a"), "caller-0"), up); err != nil {
		t.Fatal(err)
	}
	if seen := all[home].last(); len(seen["gatehouse-hash-key"]) > 0 || len(seen["x-own"]) == 0 {
		t.Errorf("the backend saw %v", seen)
	}
}

// TestNoKey: without a key of the gateway's, one of the client's own does not
// bind its calls to a replica.
func TestNoKey(t *testing.T) {
	t.Parallel()
	all := fleet(t, 2)
	o := options(all)
	o.Balancing.Kind = upstream.RingHash
	up := dial(t, o)
	settle(t, up, all, 0, 1)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "gatehouse-hash-key", "mine")
	reset(all)
	for range 64 { // all to one by chance: never
		if err := send(ctx, up); err != nil {
			t.Fatal(err)
		}
	}
	if got := counts(all); got[0] == 0 || got[1] == 0 {
		t.Errorf("got %v, want calls at both", got)
	}
}

func TestRingHashWeighs(t *testing.T) {
	t.Parallel()
	all := fleet(t, 2)
	o := options(all, 1, 9)
	o.Balancing.Kind = upstream.RingHash
	up := dial(t, o)
	light := 0
	for _, home := range homes(t, up, all, 200) {
		if home == 0 {
			light++
		}
	}
	if light > 60 {
		t.Errorf("%d of 200 keys went to the one with a tenth", light)
	}
	settle(t, up, all, 0, 1) // calls without a key, too
	_ = sendMany(t, up, all, 20)
}

// TestConnections: each replica has as many connections as said, and all of them
// get calls.
func TestConnections(t *testing.T) {
	t.Parallel()
	all := fleet(t, 2)
	o := options(all)
	o.Balancing.Connections = 3
	up := dial(t, o)
	gatewaytest.Eventually(t, "six connections", func() bool { return up.Status().Connections == 6 })
	gatewaytest.Eventually(t, "calls on all", func() bool {
		_ = sendMany(t, up, all, 12)
		all[0].mu.Lock()
		defer all[0].mu.Unlock()
		all[1].mu.Lock()
		defer all[1].mu.Unlock()
		return len(all[0].peers) == 3 && len(all[1].peers) == 3
	})
	if err := up.Close(); err != nil {
		t.Error(err)
	}
	if s := up.Status(); s.Connections != 0 {
		t.Errorf("%d connections after the end", s.Connections)
	}
}

// TestHealth: a replica that says that it is not well gets no calls, whatever
// chooses.
func TestHealth(t *testing.T) {
	t.Parallel()
	slow := upstream.Balancing{SlowStart: time.Nanosecond}
	for name, b := range map[string]upstream.Balancing{
		"round robin": {}, "least request": {Kind: upstream.LeastRequest}, "reported": {Kind: upstream.Weighted},
		"ring": {Kind: upstream.RingHash}, "ours": slow,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := fleet(t, 3)
			for _, r := range all {
				r.health.SetServingStatus("shop", healthv1.HealthCheckResponse_SERVING)
			}
			all[1].health.SetServingStatus("shop", healthv1.HealthCheckResponse_NOT_SERVING)
			o := options(all)
			o.Balancing, o.Health = b, &upstream.Health{Service: "shop"}
			up := dial(t, o)
			settle(t, up, all, 0, 2)
			all[1].health.SetServingStatus("shop", healthv1.HealthCheckResponse_SERVING)
			settle(t, up, all, 0, 1, 2)
			all[0].health.SetServingStatus("shop", healthv1.HealthCheckResponse_NOT_SERVING)
			settle(t, up, all, 1, 2)
		})
	}
}

// TestHealthOfServer asks about the server as a whole: "" is a name too.
func TestHealthOfServer(t *testing.T) {
	t.Parallel()
	all := fleet(t, 2)
	all[0].health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	o := options(all)
	o.Health = new(upstream.Health)
	settle(t, dial(t, o), all, 1)
	o.Health = nil
	settle(t, dial(t, o), all, 0, 1)
}

func TestXDSWithoutBootstrap(t *testing.T) {
	t.Setenv("GRPC_XDS_BOOTSTRAP", "")
	t.Setenv("GRPC_XDS_BOOTSTRAP_CONFIG", "")
	for file, want := range map[string]string{"": "set GRPC_XDS_BOOTSTRAP", "/no/such/file": "cannot be read"} {
		t.Setenv("GRPC_XDS_BOOTSTRAP", file)
		o := options(nil)
		o.Target = "xds:///shop"
		if _, err := upstream.Dial(o); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `upstream "shop"`) {
			t.Errorf("bootstrap %q: err = %v, want it to say %q", file, err, want)
		}
	}
}
