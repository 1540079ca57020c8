package gatewaytest

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Script says what a backend does in a call of each method, by full name.
type Script map[string]grpc.StreamHandler

// Backend serves a script from a loopback port until the test ends and returns
// its address.
func Backend(t testing.TB, script Script, opts ...grpc.ServerOption) string {
	t.Helper()
	opts = append(opts, grpc.UnknownServiceHandler(func(srv any, ss grpc.ServerStream) error {
		name, _ := grpc.MethodFromServerStream(ss)
		do := script[name]
		if do == nil {
			t.Errorf("backend: unexpected call of %s", name)
			return nil
		}
		return do(srv, ss)
	}))
	srv := grpc.NewServer(opts...)
	l := Listen(t)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	return l.Addr().String()
}

// Listen opens a loopback port.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// Unreachable is an address at which nobody listens.
func Unreachable(t testing.TB) string {
	t.Helper()
	l := Listen(t)
	_ = l.Close()
	return l.Addr().String()
}

// Message is a pointer to a generated message.
type Message[T any] interface {
	*T
	proto.Message
}

// Unary makes a handler of one request and one answer.
func Unary[Q, A any, PQ Message[Q], PA Message[A]](do func(context.Context, PQ) (PA, error)) grpc.StreamHandler {
	return func(_ any, ss grpc.ServerStream) error {
		in := PQ(new(Q))
		if err := ss.RecvMsg(in); err != nil {
			return err
		}
		out, err := do(ss.Context(), in)
		if err != nil {
			return err
		}
		return ss.SendMsg(out)
	}
}

// ServerStreaming makes a handler of one request and many answers.
func ServerStreaming[Q, A any, PQ Message[Q], PA Message[A]](do func(ctx context.Context, in PQ, send func(PA) error) error) grpc.StreamHandler {
	return func(_ any, ss grpc.ServerStream) error {
		in := PQ(new(Q))
		if err := ss.RecvMsg(in); err != nil {
			return err
		}
		return do(ss.Context(), in, func(a PA) error { return ss.SendMsg(a) })
	}
}

// Duplex makes a handler of many requests; receive returns io.EOF at their end.
func Duplex[Q, A any, PQ Message[Q], PA Message[A]](do func(ctx context.Context, receive func() (PQ, error), send func(PA) error) error) grpc.StreamHandler {
	return func(_ any, ss grpc.ServerStream) error {
		receive := func() (PQ, error) {
			in := PQ(new(Q))
			return in, ss.RecvMsg(in)
		}
		return do(ss.Context(), receive, func(a PA) error { return ss.SendMsg(a) })
	}
}
