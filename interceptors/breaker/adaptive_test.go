package breaker_test

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

func TestAdaptiveBeginsByTheFormula(t *testing.T) {
	for _, tc := range []struct {
		name, policy string
		good, failed int
		want         float64
	}{
		{"healthy", "", 100, 0, 0},
		{"half fails", "", 50, 50, 0},
		{"more than half", "", 20, 21, 1 - 2*20./41},
		{"all", "", 0, 20, 1},
		{"few calls", "", 0, 19, 0},
		{"k", "k: 1.5", 50, 26, 1 - 1.5*50/76},
		{"just below k", "k: 1.5", 50, 25, 0},
		{"minimum_calls", "minimum_calls: 101", 0, 100, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, _ := newBreakers(t, constant(math.Nextafter(1, 0)))
			up := &backend{}
			conn := connect(t, b, "shop", method, tc.policy, up.conn())
			repeat(t, tc.good, conn)
			up.err = unavailable()
			repeat(t, tc.failed, conn)
			s := state(t, b)
			if math.Abs(s.Refusal-tc.want) > 1e-9 || s.Kind != "adaptive" || (s.State == "refusing") != (tc.want > 0) {
				t.Errorf("got %+v, want a refusal of %v", s, tc.want)
			}
			if s.Requests != uint64(tc.good+tc.failed) || s.Failures != uint64(tc.failed) {
				t.Errorf("counted %d, %d failed; want %d, %d", s.Requests, s.Failures, tc.good+tc.failed, tc.failed)
			}
		})
	}
}

// What is refused in the long run is the share by which failures exceed half.
func TestAdaptiveRefusesAShare(t *testing.T) {
	for failing, want := range map[float64][2]float64{
		.2: {0, 0}, .4: {0, 0}, .5: {0, .1}, .75: {.35, .6}, .9: {.7, .9}, .97: {.9, .98},
	} {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			b, _ := newBreakers(t, random.Float64)
			conn := connect(t, b, "shop", method, "", calltest.Conn{OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error {
				if random.Float64() < failing {
					return unavailable()
				}
				return nil
			}})
			refused := 0
			const calls = 12000
			for range calls { // two minutes of them
				refused += repeat(t, 1, conn)
				time.Sleep(10 * time.Millisecond)
			}
			if share := float64(refused) / calls; share < want[0] || share > want[1] {
				t.Errorf("%v of the calls fail, and %v of them are refused; want %v", failing, share, want)
			}
		})
	}
}

// mustRefuse calls until one is refused.
func mustRefuse(t *testing.T, conn grpc.ClientConnInterface) error {
	t.Helper()
	for range 1000 {
		if err := invoke(t, conn); err != nil && err.Error() != unavailable().Error() {
			return err
		}
	}
	t.Fatal("nothing is refused")
	return nil
}

func TestAdaptiveToleratesABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBreakers(t, constant(0)) // it refuses wherever it may
		up := &backend{takes: 2 * time.Second}
		conn := connect(t, b, "shop", method, "", up.conn())
		errs := make(chan error, 500)
		for range cap(errs) {
			go func() { errs <- invoke(t, conn) }()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Fatalf("a burst at a quiet, healthy upstream was refused: %v", err)
			}
		}
	})
}

func TestAdaptiveNoticesABlackHoleBeforeItsDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBreakers(t, constant(0))
		up := &backend{takes: time.Hour}
		conn := connect(t, b, "shop", method, "", up.conn())
		ctx, cancel := context.WithCancel(t.Context())
		for range 20 {
			go func() { _ = conn.Invoke(ctx, method, nil, nil) }()
		}
		synctest.Wait()
		time.Sleep(2999 * time.Millisecond)
		if s := state(t, b); s.Refusal != 0 {
			t.Errorf("it gave up too soon: %+v", s)
		}
		time.Sleep(1501 * time.Millisecond)
		if s := state(t, b); s.Refusal != 1 {
			t.Errorf("it has not noticed: %+v", s)
		}
		// Clients that go away take what they counted with them.
		cancel()
		synctest.Wait()
		if s := state(t, b); s.Refusal != 0 || s.Requests != 0 {
			t.Errorf("clients that went away count: %+v", s)
		}
	})
}

func TestAttemptsThatOutlastTheWindowCountNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBreakers(t, nil)
		up := &backend{takes: 31 * time.Second, err: unavailable()}
		_ = invoke(t, connect(t, b, "shop", method, "", up.conn()))
		if s := state(t, b); s.Requests != 0 || s.Failures != 0 {
			t.Errorf("got %+v, want nothing", s)
		}
	})
}

// Streams.

func open(t *testing.T, ctx context.Context, conn grpc.ClientConnInterface, desc grpc.StreamDesc) (grpc.ClientStream, error) {
	t.Helper()
	return conn.NewStream(ctx, &desc, method)
}

func TestStreams(t *testing.T) {
	broken := status.Error(codes.Unavailable, "reset")
	for _, tc := range []struct {
		name             string
		desc             grpc.StreamDesc
		answers          []string
		end              error
		openErr          error
		requests, failed uint64
	}{
		{"messages", grpc.StreamDesc{ServerStreams: true}, []string{"a", "b"}, nil, nil, 1, 0},
		{"no message", grpc.StreamDesc{ServerStreams: true}, nil, nil, nil, 1, 0},
		{"fails at once", grpc.StreamDesc{ServerStreams: true}, nil, broken, nil, 1, 1},
		{"cannot be opened", grpc.StreamDesc{ServerStreams: true}, nil, nil, broken, 1, 1},
		{"breaks after a message", grpc.StreamDesc{ServerStreams: true}, []string{"a"}, broken, nil, 2, 1},
		{"client's mistake", grpc.StreamDesc{ServerStreams: true}, nil, status.Error(codes.NotFound, ""), nil, 1, 0},
		{"uploads", grpc.StreamDesc{ClientStreams: true}, []string{"a"}, nil, nil, 1, 0},
		{"both ways", grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, []string{"a", "b"}, broken, nil, 2, 1},
	} {
		for _, kind := range []string{"", threeState} {
			t.Run(tc.name+" "+kind, func(t *testing.T) {
				b, _ := newBreakers(t, nil)
				conn := connect(t, b, "shop", method, kind, calltest.Conn{OnStream: func(context.Context, *grpc.StreamDesc, string) (grpc.ClientStream, error) {
					return &calltest.ClientStream{Answers: tc.answers, End: tc.end}, tc.openErr
				}})
				s, err := open(t, t.Context(), conn, tc.desc)
				for err == nil {
					err = s.RecvMsg(nil)
				}
				want := errors.Join(tc.end, tc.openErr)
				if want == nil && err != io.EOF || want != nil && !errors.Is(want, err) {
					t.Errorf("the stream ended with %v, want %v", err, want)
				}
				if s := state(t, b); s.Requests != tc.requests || s.Failures != tc.failed {
					t.Errorf("counted %d attempts, %d failed; want %d, %d", s.Requests, s.Failures, tc.requests, tc.failed)
				}
			})
		}
	}
}

func TestOpenRefusesStreams(t *testing.T) {
	b, _ := newBreakers(t, constant(.5))
	opened := 0
	conn := connect(t, b, "shop", method, threeState+"minimum_calls: 1", calltest.Conn{OnStream: func(context.Context, *grpc.StreamDesc, string) (grpc.ClientStream, error) {
		opened++
		return nil, unavailable()
	}})
	_, _ = open(t, t.Context(), conn, grpc.StreamDesc{ServerStreams: true})
	_, err := open(t, t.Context(), conn, grpc.StreamDesc{ServerStreams: true})
	checkRefusal(t, err, 5*time.Second)
	if opened != 1 {
		t.Errorf("%d streams were opened, want 1", opened)
	}
}

func TestLongStreamsAreNeitherSlowNorLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBreakers(t, nil)
		text := threeState + "minimum_calls: 1 slow_call: {seconds: 1} window: {seconds: 300}"
		for _, desc := range []grpc.StreamDesc{{ServerStreams: true}, {ClientStreams: true, ServerStreams: true}} {
			conn := connect(t, b, "shop", method, text, calltest.Conn{OnStream: func(ctx context.Context, _ *grpc.StreamDesc, _ string) (grpc.ClientStream, error) {
				n := 0
				return &calltest.ClientStream{Answers: []string{"a"}, End: late(call.Client), OnRecv: func() {
					if n++; n > 1 {
						<-ctx.Done()
					}
				}}, nil
			}})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			s, err := open(t, ctx, conn, desc)
			for err == nil {
				err = s.RecvMsg(nil)
			}
			cancel()
			synctest.Wait()
			if s := state(t, b); s.State != "closed" || s.Slow != 0 || s.Failures != 0 || s.Requests == 0 {
				t.Errorf("%+v: a stream that lived until its deadline counts against the upstream: %+v", desc, s)
			}
		}
	})
}

func TestUploadsAreNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBreakers(t, nil)
		conn := connect(t, b, "shop", method, threeState+"minimum_calls: 1 slow_call: {seconds: 1}", calltest.Conn{OnStream: func(ctx context.Context, _ *grpc.StreamDesc, _ string) (grpc.ClientStream, error) {
			return &calltest.ClientStream{End: late(call.Client), OnRecv: func() { <-ctx.Done() }}, nil
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s, err := open(t, ctx, conn, grpc.StreamDesc{ClientStreams: true})
		if err != nil {
			t.Fatal(err)
		}
		_ = s.RecvMsg(nil)
		if s := state(t, b); s.Requests != 0 || s.State != "closed" {
			t.Errorf("a client that was slow to send counts against the upstream: %+v", s)
		}
	})
}

// A stream may be silent for as long as its client likes. Clients that open many,
// and say nothing or wait for something, must not open the breaker for others.
func TestSilentStreamsSayNothing(t *testing.T) {
	for _, kind := range []string{"", threeState} {
		for _, desc := range []grpc.StreamDesc{{ServerStreams: true}, {ClientStreams: true}, {ClientStreams: true, ServerStreams: true}} {
			synctest.Test(t, func(t *testing.T) {
				b, _ := newBreakers(t, constant(0))
				conn := connect(t, b, "shop", method, kind+"minimum_calls: 1", calltest.Conn{})
				ctx, leave := context.WithCancel(t.Context())
				for range 100 {
					if _, err := open(t, ctx, conn, desc); err != nil {
						t.Fatal(err)
					}
					time.Sleep(100 * time.Millisecond)
				}
				if s := state(t, b); s.Requests != 0 || s.Refusal != 0 {
					t.Errorf("silent streams count: %+v", s)
				}
				leave()
				synctest.Wait()
				if s := state(t, b); s.Requests != 0 || s.Refusal != 0 {
					t.Errorf("streams whose clients left count: %+v", s)
				}
			})
		}
	}
}
