package breaker_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestItOpensAndClosesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, reg := newBreakers(t, constant(.5)) // no jitter
		up := &backend{err: unavailable()}
		conn := connect(t, b, "shop", method, threeState, up.conn())
		if refused := repeat(t, 20, conn); refused != 0 || up.calls != 20 {
			t.Fatalf("%d of the first 20 were refused; they are too few to decide", refused)
		}
		expect(t, b, "open")
		err := invoke(t, conn)
		checkRefusal(t, err, 5*time.Second)
		if up.calls != 20 {
			t.Error("what was refused has been sent")
		}
		time.Sleep(5*time.Second - 1)
		if repeat(t, 10, conn) != 10 {
			t.Error("it let something through before its open time was over")
		}
		time.Sleep(time.Nanosecond)
		up.err = nil
		expect(t, b, "half-open")
		for range 3 {
			if err := invoke(t, conn); err != nil {
				t.Errorf("a probe was refused: %v", err)
			}
		}
		expect(t, b, "closed")
		if all := series(t, reg); !slices.Contains(all, "gatehouse_breaker_refusals_total method="+method+" upstream=shop 11") {
			t.Errorf("want 11 refusals counted, got %q", all)
		}
		// The failures of before are forgotten.
		up.err = unavailable()
		if repeat(t, 19, conn); state(t, b).State != "closed" {
			t.Error("it opened with fewer calls than minimum_calls")
		}
	})
}

func TestAFailedProbeOpensItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBreakers(t, constant(.5))
		up := &backend{err: unavailable()}
		conn := connect(t, b, "shop", method, threeState, up.conn())
		repeat(t, 20, conn)
		time.Sleep(5 * time.Second)
		if repeat(t, 2, conn) != 1 || up.calls != 21 {
			t.Errorf("%d calls were sent, want one probe after 20", up.calls)
		}
		expect(t, b, "open")
	})
}

func TestSoManyProbesAsDeclared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBreakers(t, constant(.5))
		up := &backend{err: unavailable()}
		conn := connect(t, b, "shop", method, threeState+"probes: 2", up.conn())
		repeat(t, 20, conn)
		time.Sleep(5 * time.Second)
		up.err, up.takes = nil, time.Hour
		ctx, leave := context.WithCancel(t.Context())
		for range 2 {
			go func() { _ = conn.Invoke(ctx, method, nil, nil) }()
		}
		synctest.Wait()
		checkRefusal(t, invoke(t, conn), time.Second)
		// Clients that go away say nothing; their places are free again.
		leave()
		synctest.Wait()
		expect(t, b, "half-open")
		up.takes = 0
		if refused := repeat(t, 2, conn); refused != 0 {
			t.Errorf("%d of two more probes were refused", refused)
		}
		expect(t, b, "closed")
	})
}

func TestProbesThatHangCountAsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBreakers(t, constant(.5))
		up := &backend{err: unavailable()}
		conn := connect(t, b, "shop", method, threeState+"probes: 1", up.conn())
		repeat(t, 20, conn)
		time.Sleep(5 * time.Second)
		up.err, up.takes = nil, time.Hour
		go func() { _ = invoke(t, conn) }()
		synctest.Wait()
		time.Sleep(30*time.Second - 1)
		expect(t, b, "half-open")
		time.Sleep(time.Nanosecond)
		expect(t, b, "open")
		time.Sleep(5 * time.Second)
		up.takes = 0
		if err := invoke(t, conn); err != nil {
			t.Error(err)
		}
		expect(t, b, "closed")
		time.Sleep(time.Hour) // the hung one ends, and is too late to matter
		synctest.Wait()
		expect(t, b, "closed")
	})
}

func TestOpenTimeIsVariedByATenth(t *testing.T) {
	for random, want := range map[float64]time.Duration{0: 4500 * time.Millisecond, .5: 5 * time.Second, .999999: 5500 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			b, _ := newBreakers(t, constant(random))
			up := &backend{err: unavailable()}
			conn := connect(t, b, "shop", method, threeState, up.conn())
			repeat(t, 20, conn)
			checkRefusal(t, invoke(t, conn), want)
		})
	}
}

func TestWhatOpensIt(t *testing.T) {
	for _, tc := range []struct {
		name, policy string
		failures     int // of 20
		slow         int // of 20, 1s each
		want         string
	}{
		{name: "half of the calls", failures: 10, want: "open"},
		{name: "fewer than half", failures: 9, want: "closed"},
		{name: "a declared share", policy: "failure_ratio: 0.2", failures: 4, want: "open"},
		{name: "less than that", policy: "failure_ratio: 0.2", failures: 3, want: "closed"},
		{name: "slow calls mean nothing by default", slow: 20, want: "closed"},
		{name: "all slow", policy: "slow_call: {nanos: 500000000}", slow: 20, want: "open"},
		{name: "not all slow", policy: "slow_call: {nanos: 500000000}", slow: 19, want: "closed"},
		{name: "as long as it may take", policy: "slow_call: {seconds: 1}", slow: 20, want: "closed"},
		{name: "a share of slow ones", policy: "slow_call: {nanos: 500000000} slow_ratio: 0.5", slow: 10, want: "open"},
		{name: "fewer slow ones", policy: "slow_call: {nanos: 500000000} slow_ratio: 0.5", slow: 9, want: "closed"},
		{name: "too few calls", policy: "minimum_calls: 21", failures: 20, want: "closed"},
		{name: "few are enough", policy: "minimum_calls: 2 failure_ratio: 1", failures: 20, want: "open"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, _ := newBreakers(t, constant(.5))
				up := &backend{}
				conn := connect(t, b, "shop", method, threeState+tc.policy, up.conn())
				for i := range 20 {
					up.err, up.takes = nil, 0
					if i < tc.failures {
						up.err = unavailable()
					}
					if i < tc.slow {
						up.takes = time.Second
						up.err = nil
					}
					_ = invoke(t, conn)
				}
				expect(t, b, tc.want)
			})
		})
	}
}

func TestFailuresLeaveTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBreakers(t, constant(.5))
		up := &backend{err: unavailable()}
		conn := connect(t, b, "shop", method, threeState, up.conn())
		repeat(t, 19, conn)
		time.Sleep(15 * time.Second)
		if s := state(t, b); s.Failures != 19 || s.Requests != 19 {
			t.Errorf("after half of the window it remembers %+v", s)
		}
		time.Sleep(16 * time.Second)
		if s := state(t, b); s.Failures != 0 || s.Requests != 0 {
			t.Errorf("after the window it remembers %+v", s)
		}
		repeat(t, 19, conn)
		expect(t, b, "closed")
	})
}
