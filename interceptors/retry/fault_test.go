package retry_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// run makes so many calls, with a pause between, and returns how many succeeded.
func (r *rig) run(t *testing.T, calls int, pause time.Duration) (good int) {
	t.Helper()
	for range calls {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if got, err := r.call(ctx, false); err == nil && got == "fine" {
			good++
		}
		cancel()
		time.Sleep(pause)
	}
	return good
}

func TestRetriesMendAFlappingBackend(t *testing.T) {
	for _, withBreaker := range []*policyv1.Breaker{nil, {}} {
		synctest.Test(t, func(t *testing.T) {
			up := serve(often(.2))
			r, stop := build(t, policies{budget: "max_tokens: 100 token_ratio: 0.4", breaker: withBreaker}, up)
			defer stop()
			const calls = 2000
			if good := r.run(t, calls, 10*ms); good < calls*99/100 {
				t.Errorf("%d of %d calls succeeded, want more than 99%%", good, calls)
			}
			if n := up.seen(); n > calls*14/10 || n < calls*11/10 {
				t.Errorf("%d attempts for %d calls, want some, within the budget of 0.4 for each success", n, calls)
			}
		})
	}
}

func TestADeadBackendIsSpared(t *testing.T) {
	threeState := policyv1.Breaker_KIND_THREE_STATE
	for name, p := range map[string]*policyv1.Breaker{"adaptive": {}, "three-state": {Kind: &threeState}, "none": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := serve(dead)
				r, stop := build(t, policies{breaker: p}, up)
				defer stop()
				const calls = 1000 // ten seconds of them, and the window has thirty
				if good := r.run(t, calls, 10*ms); good != 0 {
					t.Fatalf("%d calls succeeded", good)
				}
				n := up.seen()
				if n > calls*11/10 {
					t.Errorf("%d attempts for %d calls, want less than 1.1 each", n, calls)
				}
				if p == nil {
					return
				}
				if n > calls/10 {
					t.Errorf("%d of %d attempts reached a dead backend", n, calls)
				}
				if s := r.breakers.States()[0]; s.Refusal < .9 {
					t.Errorf("the breaker is at %+v", s)
				}
				up.becomes(well)
				r.run(t, 900, 100*ms) // 90 seconds
				if good := r.run(t, 1000, 10*ms); good != 1000 {
					t.Errorf("%d of 1000 calls succeeded after the backend had come back", good)
				}
			})
		})
	}
}

func TestOneBadReplicaOfThree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := serve(dead)
		// The budget must have room for a third: round robin meets the bad one
		// each third time, unless a retry takes its turn.
		r, stop := build(t, policies{budget: "max_tokens: 100 token_ratio: 0.6", breaker: new(policyv1.Breaker)}, serve(well), bad, serve(well))
		defer stop()
		if good := r.run(t, 1000, 10*ms); good < 990 {
			t.Errorf("%d of 1000 calls succeeded with one bad replica of three", good)
		}
		if bad.seen() < 100 {
			t.Errorf("the bad replica saw %d attempts: this test tests nothing", bad.seen())
		}
	})
}

func TestASlowReplicaIsHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := serve(func(_ int, s grpc.ServerStream) error {
			select {
			case <-time.After(5 * time.Second):
			case <-s.Context().Done():
			}
			return replies(s)
		})
		r, stop := build(t, policies{retry: "hedge: {delay: {nanos: 50000000}}", budget: "max_tokens: 100 token_ratio: 0.6"}, serve(well), slow, serve(well))
		defer stop()
		begun := time.Now()
		if good := r.run(t, 300, 10*ms); good != 300 {
			t.Errorf("%d of 300 calls succeeded", good)
		}
		if each := (time.Since(begun) - 3*time.Second) / 300; each > 50*ms {
			t.Errorf("a call took %v on average, want less than the delay", each)
		}
		if slow.seen() < 30 {
			t.Errorf("the slow replica saw %d attempts: this test tests nothing", slow.seen())
		}
	})
}

func TestABlackHoleOfThree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hole := serve(func(_ int, s grpc.ServerStream) error {
			<-s.Context().Done()
			return s.Context().Err()
		})
		r, stop := build(t, policies{retry: "attempt_timeout: {nanos: 200000000}", budget: "max_tokens: 100 token_ratio: 0.6"}, serve(well), hole, serve(well))
		defer stop()
		if good := r.run(t, 300, 10*ms); good < 297 {
			t.Errorf("%d of 300 calls succeeded with a black hole among three replicas", good)
		}
		if hole.seen() < 30 {
			t.Errorf("the black hole saw %d attempts: this test tests nothing", hole.seen())
		}
	})
}

func TestPushbackIsHonouredOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := serve(func(n int, s grpc.ServerStream) error {
			if told := []string{"1234", "5", "", "-1"}[n]; told != "" {
				s.SetTrailer(metadata.Pairs("grpc-retry-pushback-ms", told))
				return down.err
			}
			return replies(s)
		})
		r, stop := build(t, policies{}, up)
		defer stop()
		if _, err := r.call(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if a, b := up.times[1].Sub(up.times[0]), up.times[2].Sub(up.times[1]); a != 1234*ms || b != 5*ms {
			t.Errorf("it waited %v and %v, want 1.234s and 5ms", a, b)
		}
		if want := []string{"", "1", "2"}; !slices.Equal(up.previous, want) {
			t.Errorf("the backend was told of %q attempts before, want %q", up.previous, want)
		}
		if _, err := r.call(t.Context(), false); call.CodeOf(err) != codes.Unavailable || up.seen() != 4 {
			t.Errorf("err = %v, %d attempts; want the call to end as the backend asked", err, up.seen())
		}
	})
}

func TestTheDeadlineSpansAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := make(chan time.Duration, 5)
		up := serve(func(_ int, s grpc.ServerStream) error {
			deadline, _ := s.Context().Deadline()
			left <- time.Until(deadline)
			time.Sleep(300 * ms)
			return down.err
		})
		r, stop := build(t, policies{retry: "attempts: 5"}, up)
		defer stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		_, err := r.call(ctx, false)
		// 300ms, a wait of 50, 300, a wait of 100, then the rest.
		if call.CodeOf(err) != codes.DeadlineExceeded || time.Since(begun) != time.Second {
			t.Errorf("err = %v after %v, want DEADLINE_EXCEEDED after 1s", err, time.Since(begun))
		}
		for _, want := range []time.Duration{time.Second, 650 * ms, 250 * ms} {
			if got := <-left; got != want {
				t.Errorf("an attempt had %v left, want %v", got, want)
			}
		}
	})
}

func TestServerStreamsOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := serve(func(n int, s grpc.ServerStream) error {
			switch n {
			case 0, 2:
				return down.err
			case 1:
				for range 2 {
					if err := replies(s); err != nil {
						return err
					}
				}
				return nil
			}
			if err := replies(s); err != nil {
				return err
			}
			return down.err
		})
		r, stop := build(t, policies{stream: true, breaker: new(policyv1.Breaker)}, up)
		defer stop()
		if got, err := r.call(t.Context(), true); err != nil || got != "fine,fine" || up.seen() != 2 {
			t.Errorf("got %q, %v in %d attempts; want both messages in the second", got, err, up.seen())
		}
		// One that breaks after its first message has been seen.
		if got, err := r.call(t.Context(), true); call.CodeOf(err) != codes.Unavailable || got != "fine" || up.seen() != 4 {
			t.Errorf("got %q, %v in %d attempts; want one message and the error", got, err, up.seen())
		}
	})
}

// What breaks on the wire is repeated if no answer had begun, and always counts
// against the upstream.
func TestBrokenConnections(t *testing.T) {
	for _, tc := range []struct {
		name     string
		answer   func(*frames)
		attempts int // of one call
		code     codes.Code
	}{
		{"garbage", func(f *frames) { _, _ = f.conn.Write([]byte("\x00\xff\xffnot HTTP/2 at all, by no means\r\n")) }, 2, codes.Unavailable},
		{"closed before the answer", func(f *frames) { _ = f.conn.Close() }, 2, codes.Unavailable},
		{"refused by RST_STREAM", func(f *frames) { _ = f.WriteRSTStream(f.stream, 2) }, 2, codes.Internal},
		{"reset in the middle of the answer", func(f *frames) {
			f.headers(":status", "200", "content-type", "application/grpc")
			_ = f.WriteData(f.stream, false, []byte{0, 0, 0, 0, 9, 'h', 'a', 'l'})
			_ = f.conn.Close()
		}, 1, codes.Unavailable},
		{"an answer that is not gRPC", func(f *frames) {
			f.headers(":status", "200", "content-type", "text/html")
			_ = f.WriteData(f.stream, true, []byte("<html>"))
		}, 2, codes.Unknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var wg sync.WaitGroup
				defer wg.Wait()
				up := serveRaw(&wg, tc.answer)
				r, stop := build(t, policies{retry: `attempts: 2 codes: ["UNAVAILABLE", "INTERNAL", "UNKNOWN"] initial_backoff: {seconds: 10} max_backoff: {seconds: 10}`, breaker: new(policyv1.Breaker)}, up)
				defer stop()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err := r.call(ctx, false)
				if call.CodeOf(err) != tc.code || call.FaultOf(err) != call.Upstream {
					t.Errorf("err = %v, the %v at fault; want %v of the upstream's", err, call.FaultOf(err), tc.code)
				}
				if up.seen() != tc.attempts {
					t.Errorf("%d attempts, want %d", up.seen(), tc.attempts)
				}
				if s := r.breakers.States()[0]; s.Failures != uint64(tc.attempts) {
					t.Errorf("the breaker counts %d failures, want %d", s.Failures, tc.attempts)
				}
			})
		})
	}
}
