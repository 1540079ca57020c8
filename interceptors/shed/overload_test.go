package shed_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/shed"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

// backend does so many calls at once and queues the rest, first come, first
// served. It does not notice when a client has gone.
type backend struct {
	service atomic.Int64             // the mean of what a call takes, in nanoseconds
	vary    func(*rand.Rand) float64 // how many times that one takes
	mu      sync.Mutex
	random  *rand.Rand
	free    []time.Time // when each worker will be
}

func newBackend(workers int, service time.Duration) *backend {
	b := &backend{free: make([]time.Time, workers), random: rand.New(rand.NewPCG(1, 2))}
	b.service.Store(int64(service))
	b.vary = func(r *rand.Rand) float64 { return 0.5 + r.Float64() }
	return b
}

func (b *backend) invoke(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
	select {
	case <-time.After(time.Until(b.enqueue())):
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// enqueue returns when the call will be done.
func (b *backend) enqueue() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := 0
	for i, at := range b.free {
		if at.Before(b.free[first]) {
			first = i
		}
	}
	begin := time.Now()
	if b.free[first].After(begin) {
		begin = b.free[first]
	}
	b.free[first] = begin.Add(time.Duration(float64(b.service.Load()) * b.vary(b.random)))
	return b.free[first]
}

// capacity is what the backend can do in a second.
func (b *backend) capacity() float64 {
	return float64(len(b.free)) * float64(time.Second) / float64(b.service.Load())
}

const deadline = 500 * time.Millisecond

// offer calls conn at random moments that do not wait for answers (open loop, a
// Poisson process), and returns the share of the calls answered in time, of those
// in the last third.
func offer(t *testing.T, conn grpc.ClientConnInterface, perSecond float64, length time.Duration) float64 {
	var good, asked atomic.Int64
	var all sync.WaitGroup
	begin := time.Now()
	random := rand.New(rand.NewPCG(3, uint64(perSecond)))
	for at := 0.0; at < length.Seconds(); at += random.ExpFloat64() / perSecond {
		time.Sleep(time.Duration(at*float64(time.Second)) - time.Since(begin))
		counts := at >= length.Seconds()*2/3
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			err := conn.Invoke(ctx, "/s/m", nil, nil)
			if !counts {
				return
			}
			asked.Add(1)
			if err == nil {
				good.Add(1)
			}
		})
	}
	all.Wait()
	return float64(good.Load()) / float64(asked.Load())
}

// build is the policy of an RPC that gives out places.
func build(s *shed.Shedder, method string, p policyv1.Priority) interceptors.Interceptor {
	i, err := s.Build(&interceptors.Method{Name: method, Policy: &policyv1.Policy{Priority: &p}})
	if err != nil {
		panic(err)
	}
	return i
}

// precheck is the one in front of authentication.
func precheck(s *shed.Shedder, method string, p policyv1.Priority) interceptors.Interceptor {
	i, err := s.BuildPrecheck(&interceptors.Method{Name: method, Policy: &policyv1.Policy{Priority: &p}})
	if err != nil {
		panic(err)
	}
	return i
}

func newShedder(tb testing.TB, least, most uint32) *shed.Shedder {
	tb.Helper()
	s, err := shed.New(&configv1.Shedding{Enabled: true, MinLimit: new(least), MaxLimit: new(most)}, prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

const (
	sheddable = policyv1.Priority_PRIORITY_SHEDDABLE
	normal    = policyv1.Priority_PRIORITY_NORMAL
	high      = policyv1.Priority_PRIORITY_HIGH
	critical  = policyv1.Priority_PRIORITY_CRITICAL
)

func TestGoodputUnderFiveTimesTheCapacity(t *testing.T) {
	for _, tc := range []struct {
		name        string
		warm        time.Duration // at half the capacity, before
		length      time.Duration
		shed        bool
		least, most float64 // share of the capacity
	}{
		{"without", 0, 12 * time.Second, false, 0, 0.05},
		{"from the start", 0, 12 * time.Second, true, 0.8, 1},
		{"out of a calm", 10 * time.Second, 12 * time.Second, true, 0.8, 1},
		{"for long", 0, 45 * time.Second, true, 0.8, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(20, 50*time.Millisecond)
				conn := grpc.ClientConnInterface(calltest.Conn{OnInvoke: b.invoke})
				if tc.shed {
					conn = interceptors.Chain(conn, build(newShedder(t, 10, 1000), "/s/m", normal))
				}
				if tc.warm > 0 {
					if got := offer(t, conn, b.capacity()/2, tc.warm); got < 0.99 {
						t.Errorf("at half the capacity %.1f%% succeeded, want all", 100*got)
					}
				}
				share := 5 * offer(t, conn, 5*b.capacity(), tc.length)
				t.Logf("goodput is %.0f%% of the capacity", 100*share)
				if share < tc.least || share > tc.most+0.05 {
					t.Errorf("goodput is %.0f%% of the capacity, want %.0f to %.0f%%", 100*share, 100*tc.least, 100*tc.most)
				}
			})
		})
	}
}

func TestHighPrioritiesFareBetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(20, 50*time.Millisecond)
		s := newShedder(t, 10, 1000)
		var all sync.WaitGroup
		share := map[policyv1.Priority]float64{}
		var mu sync.Mutex
		for p, load := range map[policyv1.Priority]float64{critical: 0.3, high: 0.4, normal: 1.3, sheddable: 3} {
			all.Go(func() {
				conn := interceptors.Chain(calltest.Conn{OnInvoke: b.invoke}, build(s, "/s/"+p.String(), p))
				got := offer(t, conn, load*b.capacity(), 15*time.Second)
				mu.Lock()
				defer mu.Unlock()
				share[p] = got
			})
		}
		all.Wait()
		t.Logf("answered in time: %v", share)
		if share[critical] < 0.95 || share[high] < 0.85 || share[critical] < share[high] {
			t.Errorf("critical %.2f and high %.2f, want nearly all", share[critical], share[high])
		}
		if share[normal] > share[high] || share[sheddable] > share[normal]/2 {
			t.Errorf("high %.2f, normal %.2f, sheddable %.2f; want fewer with each", share[high], share[normal], share[sheddable])
		}
		if total := 0.3*share[critical] + 0.4*share[high] + 1.3*share[normal] + 3*share[sheddable]; total < 0.8 {
			t.Errorf("goodput of all is %.2f of the capacity, want at least 0.8", total)
		}
	})
}

func TestNothingIsShedWithoutOverload(t *testing.T) {
	for _, tc := range []struct {
		name string
		vary func(*rand.Rand) float64
	}{
		{"exponential", func(r *rand.Rand) float64 { return r.ExpFloat64() }},
		{"a tenth takes 50 times as long", func(r *rand.Rand) float64 {
			if r.IntN(10) == 0 {
				return 50. / 6
			}
			return 1. / 6
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(300, 60*time.Millisecond)
				b.vary = tc.vary
				s := newShedder(t, 20, 1000)
				// Many RPCs of little traffic each: their averages are noisy.
				var all sync.WaitGroup
				for i := range 20 {
					conn := interceptors.Chain(calltest.Conn{OnInvoke: b.invoke}, build(s, fmt.Sprint("/s/m", i), normal))
					all.Go(func() {
						if got := offer(t, conn, 50+float64(i), 20*time.Second); got < 0.99 {
							t.Errorf("RPC %d: %.1f%% succeeded, want all", i, 100*got)
						}
					})
				}
				all.Wait()
			})
		})
	}
}

func TestASlowerBackendIsNoOverloadForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(400, 20*time.Millisecond)
		conn := interceptors.Chain(calltest.Conn{OnInvoke: b.invoke}, build(newShedder(t, 20, 1000), "/s/m", normal))
		if got := offer(t, conn, 1000, 10*time.Second); got < 0.99 {
			t.Fatalf("%.1f%% succeeded, want all", 100*got)
		}
		b.service.Store(int64(80 * time.Millisecond)) // 80 of 400 workers are busy: no queue
		if got := offer(t, conn, 1000, 30*time.Second); got < 0.99 {
			t.Errorf("20s after the backend got slower %.1f%% succeeded, want all", 100*got)
		}
	})
}
