package interceptors_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

// tracing notes when it is asked and told.
func tracing(name string, log *[]string) interceptors.Interceptor {
	return interceptors.Around(name, func(ctx context.Context, _ string) (context.Context, func(error), error) {
		*log = append(*log, "begin "+name)
		return ctx, func(error) { *log = append(*log, "end "+name) }, nil
	})
}

func TestChainRunsTheFirstOutermost(t *testing.T) {
	var log []string
	conn := interceptors.Chain(calltest.Conn{OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error {
		log = append(log, "call")
		return nil
	}}, tracing("a", &log), interceptors.Interceptor{Name: "nothing"}, tracing("b", &log))
	if err := conn.Invoke(t.Context(), "/s/m", nil, nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"begin a", "begin b", "call", "end b", "end a"}
	if !slices.Equal(log, want) {
		t.Errorf("order = %q, want %q", log, want)
	}
}

func TestChainAllocatesNothingPerCall(t *testing.T) {
	pass := interceptors.Around("pass", func(ctx context.Context, _ string) (context.Context, func(error), error) {
		return ctx, nothing, nil
	})
	raw := interceptors.Interceptor{Unary: func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		return next(ctx, method, req, reply, cc, opts...)
	}}
	conn := interceptors.Chain(calltest.Conn{}, pass, raw, pass, raw, pass, pass, pass, pass)
	ctx := t.Context()
	got := testing.AllocsPerRun(1000, func() {
		if err := conn.Invoke(ctx, "/s/m", nil, nil); err != nil {
			t.Error(err)
		}
	})
	if got != 0 {
		t.Errorf("a call through 8 interceptors allocates %v times, want 0", got)
	}
}

func nothing(error) {}

func TestAroundTellsTheOutcome(t *testing.T) {
	boom := status.Error(codes.Unavailable, "boom")
	for _, tc := range []struct {
		name    string
		outcome error
	}{{"success", nil}, {"failure", boom}} {
		t.Run(tc.name, func(t *testing.T) {
			var told []error
			conn := interceptors.Chain(calltest.Conn{
				OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error { return tc.outcome },
			}, telling(&told))
			if err := conn.Invoke(t.Context(), "/s/m", nil, nil); !errors.Is(err, tc.outcome) {
				t.Errorf("err = %v, want %v", err, tc.outcome)
			}
			if len(told) != 1 || !errors.Is(told[0], tc.outcome) {
				t.Errorf("told %v, want [%v]", told, tc.outcome)
			}
		})
	}
}

func telling(told *[]error) interceptors.Interceptor {
	return interceptors.Around("telling", func(ctx context.Context, _ string) (context.Context, func(error), error) {
		return ctx, func(err error) { *told = append(*told, err) }, nil
	})
}

func TestAroundRefuses(t *testing.T) {
	refusal := status.Error(codes.PermissionDenied, "no")
	refuse := interceptors.Around("refuse", func(ctx context.Context, _ string) (context.Context, func(error), error) {
		return ctx, nil, refusal
	})
	reached := false
	conn := interceptors.Chain(calltest.Conn{
		OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error { reached = true; return nil },
		OnStream: func(context.Context, *grpc.StreamDesc, string) (grpc.ClientStream, error) {
			reached = true
			return &calltest.ClientStream{}, nil
		},
	}, refuse)
	if err := conn.Invoke(t.Context(), "/s/m", nil, nil); !errors.Is(err, refusal) {
		t.Errorf("unary: %v, want %v", err, refusal)
	}
	if _, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/s/m"); !errors.Is(err, refusal) {
		t.Errorf("stream: %v, want %v", err, refusal)
	}
	if reached {
		t.Error("a refused call reached the upstream")
	}
}

func TestAroundTellsOfAPanic(t *testing.T) {
	var told []error
	conn := interceptors.Chain(calltest.Conn{
		OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error { panic("in the chain") },
	}, telling(&told))
	func() {
		defer func() { _ = recover() }()
		_ = conn.Invoke(t.Context(), "/s/m", nil, nil)
	}()
	if len(told) != 1 || status.Code(told[0]) != codes.Internal {
		t.Errorf("told %v, want one INTERNAL", told)
	}
}

func TestAroundFollowsAStreamToItsEnd(t *testing.T) {
	broken := status.Error(codes.DataLoss, "broken")
	for _, tc := range []struct {
		name    string
		desc    grpc.StreamDesc
		up      *calltest.ClientStream
		receive int
		want    error
	}{
		{"end of stream", grpc.StreamDesc{ServerStreams: true}, &calltest.ClientStream{Answers: []string{"a"}}, 2, nil},
		{"error", grpc.StreamDesc{ServerStreams: true}, &calltest.ClientStream{End: broken}, 1, broken},
		{"single answer", grpc.StreamDesc{ClientStreams: true}, &calltest.ClientStream{Answers: []string{"a"}}, 1, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var told []error
			conn := interceptors.Chain(calltest.Conn{
				OnStream: func(context.Context, *grpc.StreamDesc, string) (grpc.ClientStream, error) { return tc.up, nil },
			}, telling(&told))
			up, err := conn.NewStream(t.Context(), &tc.desc, "/s/m")
			if err != nil {
				t.Fatal(err)
			}
			for i := range tc.receive {
				if len(told) != 0 {
					t.Errorf("told after %d answers: %v", i, told)
				}
				var m call.Message
				_ = up.RecvMsg(&m)
			}
			var m call.Message
			_ = up.RecvMsg(&m) // one too many changes nothing
			if len(told) != 1 || !errors.Is(told[0], tc.want) || errors.Is(told[0], io.EOF) {
				t.Errorf("told %v, want [%v]", told, tc.want)
			}
		})
	}
}

func TestAroundTellsOfAnAbandonedStream(t *testing.T) {
	told := make(chan error, 2)
	conn := interceptors.Chain(calltest.Conn{}, interceptors.Around("telling", func(ctx context.Context, _ string) (context.Context, func(error), error) {
		return ctx, func(err error) { told <- err }, nil
	}))
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/s/m"); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-told; !errors.Is(err, context.Canceled) {
		t.Errorf("told %v, want %v", err, context.Canceled)
	}
}

func TestObserveIsToldAfterTheAnswer(t *testing.T) {
	var told []error
	conn := interceptors.Chain(calltest.Conn{}, interceptors.Observe("log", func(ctx context.Context, _ string) (context.Context, func(error), error) {
		return ctx, func(err error) { told = append(told, err) }, nil
	}))
	c := &call.Call{}
	if err := conn.Invoke(call.With(t.Context(), c), "/s/m", nil, nil); err != nil {
		t.Fatal(err)
	}
	if len(told) != 0 {
		t.Fatalf("told %v before the answer was written", told)
	}
	undeliverable := errors.New("undeliverable")
	c.Finish(undeliverable)
	c.Finish(nil)
	if len(told) != 1 || !errors.Is(told[0], undeliverable) {
		t.Errorf("told %v, want [%v]", told, undeliverable)
	}
}

func BenchmarkChain(b *testing.B) {
	pass := interceptors.Around("pass", func(ctx context.Context, _ string) (context.Context, func(error), error) {
		return ctx, nothing, nil
	})
	conn := interceptors.Chain(calltest.Conn{}, pass, pass, pass, pass, pass, pass, pass, pass)
	b.ReportAllocs()
	ctx := b.Context()
	for b.Loop() {
		_ = conn.Invoke(ctx, "/s/m", nil, nil)
	}
}
