package ratelimit_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/ratelimit"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

// FuzzBound sends calls at arbitrary times and holds the limit to what it
// promises: in every window at most burst + rate*t, and never less than a call
// that waits for as long as it is told.
func FuzzBound(f *testing.F) {
	f.Add(uint32(10), uint32(10), uint32(1000), uint8(1), []byte{0, 0, 0, 0, 50, 0, 0, 0, 255, 1, 2, 3})
	f.Add(uint32(1), uint32(1), uint32(3), uint8(1), []byte{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1})
	f.Add(uint32(7), uint32(20), uint32(100), uint8(3), []byte{0, 9, 0, 9, 0, 9, 200, 0, 0, 0, 0, 0, 0, 0, 0, 14, 14, 14})
	f.Fuzz(func(t *testing.T, requests, burstSize, millis uint32, cost uint8, gaps []byte) {
		requests, burstSize, millis = requests%1000+1, burstSize%1000+1, millis%100000+1
		n := uint32(cost)%burstSize + 1
		if len(gaps) > 300 {
			gaps = gaps[:300]
		}
		window := time.Duration(millis) * time.Millisecond
		synctest.Test(t, func(t *testing.T) {
			conn := chain(t, limits(t, ratelimit.Options{}), with(per(requests, window), func(p *policyv1.RateLimit) {
				p.Burst, p.Cost = new(burstSize), new(n)
			}))
			var passed []time.Time
			for _, gap := range gaps {
				// Gaps of up to two calls' worth, and bursts.
				time.Sleep(window / time.Duration(requests) * time.Duration(gap) / 128)
				if _, err := invoke(conn, call.GRPC, ""); err == nil {
					passed = append(passed, time.Now())
				}
			}
			for i := range passed {
				for j := i; j < len(passed); j++ {
					took := uint64(j-i+1) * uint64(n) * uint64(window)
					allowed := uint64(burstSize)*uint64(window) + uint64(requests)*uint64(passed[j].Sub(passed[i]))
					if took > allowed {
						t.Fatalf("%d calls of cost %d within %v: burst %d, %d per %v", j-i+1, n, passed[j].Sub(passed[i]), burstSize, requests, window)
					}
				}
			}
		})
	})
}

// What is earned is given, too: a caller that always asks gets the rate.
func TestTheRateIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := chain(t, limits(t, ratelimit.Options{}), per(30, time.Second))
		passed := 0
		for range 10_000 {
			passed += burst(conn, "", 1)
			time.Sleep(time.Millisecond)
		}
		if passed < 328 || passed > 330 {
			t.Errorf("%d passed in 10s at 30/s with a burst of 30, want 330", passed)
		}
	})
}

// A rate that is no whole number of nanoseconds per call is rounded to fewer calls.
func TestTheRateIsNeverRoundedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// More calls than a configuration may allow, so that the rounding shows.
		odd := with(per(7, 10), func(p *policyv1.RateLimit) {
			p.Burst, p.Cost, p.Key = new(uint32(7)), new(uint32(1)), new("peer.network")
		})
		policy, err := limits(t, ratelimit.Options{}).Build(&interceptors.Method{Name: method, Policy: &policyv1.Policy{RateLimit: []*policyv1.RateLimit{odd}}})
		if err != nil {
			t.Fatal(err)
		}
		conn := interceptors.Chain(calltest.Conn{}, policy)
		passed := 0
		for range 1000 {
			passed += burst(conn, "", 1)
			time.Sleep(time.Nanosecond)
		}
		if passed > 707 || passed < 500 {
			t.Errorf("%d passed in 1000ns at 7 in 10ns, want at most 707", passed)
		}
	})
}

func TestConcurrentCalls(t *testing.T) {
	l := limits(t, ratelimit.Options{})
	conn := chain(t, l,
		keyed("a", with(per(100, time.Hour), func(p *policyv1.RateLimit) { p.Name = new("a") })),
		keyed("b", with(per(70, time.Hour), func(p *policyv1.RateLimit) { p.Name = new("b") })),
		with(per(1000, time.Hour), func(p *policyv1.RateLimit) { p.Name = new("c") }))
	other := chain(t, l, keyed("a", with(per(100, time.Hour), func(p *policyv1.RateLimit) { p.Name = new("a") })))
	var passed atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { passed.Add(int64(burst(conn, "192.0.2."+strconv.Itoa(i), 100))) })
	}
	wg.Wait()
	if passed.Load() != 70 {
		t.Errorf("%d passed, want the 70 of the smallest limit", passed.Load())
	}
	if got := burst(other, "", 100); got != 30 {
		t.Errorf("%d left of limit a, want 30: the refused took from it", got)
	}
}

// address is that of the nth client.
func address(n int) string { return fmt.Sprintf("10.0.%d.%d:1", n/256, n%256) }

func TestFullBucketsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room, keys = 1000, 20_000
		reg := prometheus.NewRegistry()
		l := limits(t, ratelimit.Options{MaxKeys: room, Registerer: reg})
		conn := chain(t, l, per(1, time.Millisecond))
		for n := range keys {
			if burst(conn, address(n), 1) != 1 {
				t.Fatal("a new key is refused")
			}
			time.Sleep(100 * time.Microsecond) // ten keys are in use at once
		}
		got := values(t, reg)
		if held := got["gatehouse_ratelimit_keys{}"]; held > 500 {
			t.Errorf("%v keys are held, want few: ten are in use", held)
		}
		if evicted := got["gatehouse_ratelimit_evicted_total{}"]; evicted != 0 {
			t.Errorf("%v keys in use were forgotten, want none", evicted)
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room = 1000
		reg := prometheus.NewRegistry()
		l := limits(t, ratelimit.Options{MaxKeys: room, Registerer: reg})
		flood := chain(t, l, per(10, time.Hour))
		victim := chain(t, l, with(per(10, time.Hour), func(p *policyv1.RateLimit) { p.Name = new("v") }))
		burst(victim, "", 10)
		for n := range 10 * room {
			burst(flood, address(n), 1)
		}
		if held := values(t, reg)["gatehouse_ratelimit_keys{}"]; held > room {
			t.Errorf("%v keys are held, want at most %d", held, room)
		}
		if evicted := values(t, reg)["gatehouse_ratelimit_evicted_total{}"]; evicted < 8*room {
			t.Errorf("%v evicted, want about %d", evicted, 9*room)
		}
		if got := burst(victim, "", 10); got != 0 {
			t.Errorf("%d passed, want 0: a bucket that is empty is the last to go", got)
		}
	})
}

// A decision allocates nothing; the headers of its answer, the text of what is left.
func TestAllocations(t *testing.T) {
	l := limits(t, ratelimit.Options{})
	conn := chain(t, l,
		with(per(1_000_000, time.Second), func(p *policyv1.RateLimit) { p.Name = new("a") }),
		with(per(1_000_000, time.Second), func(p *policyv1.RateLimit) { p.Name = new("b") }))
	ctx := t.Context()
	if got := testing.AllocsPerRun(1000, func() { _ = conn.Invoke(ctx, method, nil, nil) }); got != 0 {
		t.Errorf("%v allocations for a decision, want 0", got)
	}
	var c call.Call
	with := call.With(ctx, &c)
	headers := testing.AllocsPerRun(1000, func() { c = call.Call{Peer: "192.0.2.1:5"}; c.AddHeader("ratelimit", "a", "ratelimit-policy", "b") })
	if got := testing.AllocsPerRun(1000, func() { c = call.Call{Peer: "192.0.2.1:5"}; _ = conn.Invoke(with, method, nil, nil) }); got > headers+1 {
		t.Errorf("%v allocations, want at most 1 beside the %v of AddHeader", got, headers)
	}
}

func BenchmarkAllowed(b *testing.B) {
	l, err := ratelimit.New(ratelimit.Options{})
	if err != nil {
		b.Fatal(err)
	}
	i, err := build(l, []*policyv1.RateLimit{per(1_000_000_000, time.Second)})
	if err != nil {
		b.Fatal(err)
	}
	conn := interceptors.Chain(calltest.Conn{}, i)
	for _, headers := range []bool{false, true} {
		b.Run("headers="+strconv.FormatBool(headers), func(b *testing.B) {
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if headers {
					ctx = call.With(context.Background(), &call.Call{Peer: "192.0.2.1:5"})
				}
				if err := conn.Invoke(ctx, method, nil, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
