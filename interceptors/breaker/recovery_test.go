package breaker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

// outage is one of a backend that answers well before and after. A test may
// change answer in its bubble.
type outage struct {
	policy string
	rate   int           // calls a second
	lasts  time.Duration // after half a minute without any trouble
	takes  time.Duration // a good answer
	hangs  time.Duration // a call during the outage; 0: it fails at once
}

// seen is what an outage came to.
type seen struct {
	steady    float64 // attempts a second that reached the backend in the second half of the outage
	first     float64 // of the calls in the first 5 s after it: the served ones
	later     float64 // in the 5 s after those
	perSecond int     // the most attempts in one second of the second half
}

// run simulates it, without real time. Calls come evenly.
func (o outage) run(t *testing.T) (got seen) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBreakers(t, rand.New(rand.NewPCG(1, 2)).Float64)
		var away atomic.Bool
		var attempts atomic.Int64
		conn := connect(t, b, "shop", method, o.policy, calltest.Conn{OnInvoke: func(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
			attempts.Add(1)
			if away.Load() {
				wait(o.hangs)
				return unavailable()
			}
			wait(o.takes)
			return nil
		}})
		var calls sync.WaitGroup
		served := func(d time.Duration) float64 {
			var good, all atomic.Int64
			one := func() {
				if all.Add(1); conn.Invoke(t.Context(), method, nil, nil) == nil {
					good.Add(1)
				}
			}
			for range int(d.Seconds() * float64(o.rate)) {
				if o.takes+o.hangs == 0 {
					one()
				} else {
					calls.Go(one)
				}
				time.Sleep(time.Second / time.Duration(o.rate))
			}
			if !away.Load() {
				time.Sleep(o.takes)
			}
			return float64(good.Load()) / float64(all.Load())
		}
		served(30 * time.Second)
		away.Store(true)
		served(o.lasts / 2)
		for range int(o.lasts.Seconds() / 2) {
			before := attempts.Load()
			served(time.Second)
			n := int(attempts.Load() - before)
			got.steady += float64(n) / (o.lasts.Seconds() / 2)
			got.perSecond = max(got.perSecond, n)
		}
		away.Store(false)
		got.first, got.later = served(5*time.Second), served(5*time.Second)
		calls.Wait()
	})
	return got
}

func wait(d time.Duration) {
	if d > 0 {
		time.Sleep(d)
	}
}

func TestServesSoonAfterAnOutage(t *testing.T) {
	var all []outage
	for _, rate := range []int{1, 10, 200, 2000} {
		longest := 10 * time.Minute
		if rate > 1000 {
			longest = time.Minute // else it has a million calls
		}
		for _, lasts := range []time.Duration{10 * time.Second, 30 * time.Second, longest} {
			all = append(all, outage{rate: rate, lasts: lasts})
		}
	}
	for _, rate := range []int{3, 20, 200} { // answers that take a while, and a black hole
		all = append(all,
			outage{rate: rate, lasts: time.Minute, takes: 300 * time.Millisecond},
			outage{rate: rate, lasts: time.Minute, takes: 50 * time.Millisecond, hangs: 10 * time.Second})
	}
	for _, policy := range []string{"window: {seconds: 1}", "window: {seconds: 600}", "minimum_calls: 200", "k: 1.5", "k: 5"} {
		all = append(all, outage{policy: policy, rate: 100, lasts: 3 * time.Minute})
	}
	for _, o := range all {
		t.Run(fmt.Sprintf("%s%d a second, %v, %v, %v", o.policy, o.rate, o.lasts, o.takes, o.hangs), func(t *testing.T) {
			got := o.run(t)
			t.Logf("%+v", got)
			want := .9
			if o.takes > 100*time.Millisecond {
				want = .8 // it takes two answers to know
			}
			if got.first < want || got.later < 1 {
				t.Errorf("%.2f of the calls were served in the first 5 s after it, then %.2f; want %v and all", got.first, got.later, want)
			}
			if o.lasts < time.Minute {
				return // the breaker may only have begun to refuse
			}
			if got.steady > 4.5 || got.perSecond > 8 {
				t.Errorf("%.1f attempts a second reached a dead backend, %d in one; want four", got.steady, got.perSecond)
			}
		})
	}
}

// An upstream that answers now and then is let have k times what it answers, and
// the probes.
func TestABackendThatIsStillBadIsNotFlooded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBreakers(t, rand.New(rand.NewPCG(1, 2)).Float64)
		up := &backend{err: unavailable()}
		good := 0
		conn := connect(t, b, "shop", method, "", calltest.Conn{OnInvoke: func(ctx context.Context, m string, req, reply any, _ ...grpc.CallOption) error {
			if up.calls%20 == 19 { // one in twenty
				up.calls++
				good++
				return nil
			}
			return up.conn().Invoke(ctx, m, req, reply)
		}})
		seconds := func(n int) (attempts int) {
			before := up.calls
			for range n * 1000 {
				_ = invoke(t, conn)
				time.Sleep(time.Millisecond)
			}
			return up.calls - before
		}
		seconds(60)
		// A twentieth good lets a tenth through.
		if n := seconds(60); n > 60*200 {
			t.Errorf("%d of 60000 calls reached a backend that fails 19 of 20, %d well; want about a tenth", n, good)
		}
	})
}

// A server that goes away and comes back, over TCP.
func TestARealOutage(t *testing.T) {
	serve := func(address string) (*grpc.Server, string) {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer(grpc.ForceServerCodecV2(call.Codec{}), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
			return s.SendMsg(&call.Message{Data: calltest.Bytes("fine")})
		}))
		go func() { _ = s.Serve(listener) }()
		t.Cleanup(s.Stop)
		return s, listener.Addr().String()
	}
	first, address := serve("127.0.0.1:0")
	up, err := upstream.Dial(upstream.Options{Name: "shop", Target: "passthrough:///" + address, ConnectTimeout: time.Minute, MaxReceive: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = up.Close() })
	b, _ := newBreakers(t, nil)
	conn := connect(t, b, "shop", method, "", up.Conn())
	one := func() error {
		var reply call.Message
		defer reply.Free()
		return conn.Invoke(t.Context(), method, &call.Message{Data: calltest.Bytes("")}, &reply)
	}
	if err := one(); err != nil {
		t.Fatal(err)
	}
	first.Stop()
	for refused := 0; refused < 2000; {
		if call.PolicyOf(one()) == "breaker" {
			refused++
		}
	}
	serve(address)
	for one() != nil {
		time.Sleep(time.Millisecond)
	}
	// A few good answers are enough, however many calls the outage refused.
	refused := 0
	for served := 0; served < 100; served++ {
		if one() != nil {
			served = -1
			if refused++; refused > 100 {
				t.Fatalf("%d calls were refused after a good answer, and no hundred in a row passed", refused)
			}
		}
	}
}

func TestARefusalSaysWhenToComeBack(t *testing.T) {
	b, _ := newBreakers(t, constant(.5))
	conn := connect(t, b, "shop", method, "", (&backend{err: unavailable()}).conn())
	repeat(t, 20, conn)
	if err := invoke(t, conn); call.PolicyOf(err) == "breaker" {
		checkRefusal(t, err, time.Second)
	} else {
		checkRefusal(t, mustRefuse(t, conn), time.Second)
	}
}
