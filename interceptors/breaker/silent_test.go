package breaker_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

// silence begins calls of clients that send no message until the test ends.
func silence(t *testing.T, n int, conn grpc.ClientConnInterface) (end context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	for range n {
		go func() {
			down := &calltest.ServerStream{Ctx: call.With(ctx, new(call.Call)), OnRecv: func() { <-ctx.Done() }, RecvErr: context.Canceled}
			if err := call.Forward(&call.Method{Name: method, Conn: conn}, down); err == nil {
				t.Error("a call without a request succeeded")
			}
		}()
	}
	synctest.Wait()
	return cancel
}

// TestSilentCallsAreNoProbes: clients that keep their requests back take no place of a
// probe, so that others close the breaker.
func TestSilentCallsAreNoProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBreakers(t, constant(.5))
		up := &backend{err: unavailable()}
		conn := connect(t, b, "shop", method, threeState, up.conn())
		repeat(t, 20, conn)
		time.Sleep(5 * time.Second)
		expect(t, b, "half-open")
		defer silence(t, 100, conn)()
		up.err = nil
		if refused := repeat(t, 3, conn); refused != 0 {
			t.Errorf("%d of 3 probes were refused beside silent calls", refused)
		}
		expect(t, b, "closed")
	})
}

// TestSilentCallsAreNotUnanswered: the adaptive kind takes an attempt that is out for
// long as not answered. One that has not begun is none.
func TestSilentCallsAreNotUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBreakers(t, constant(0))
		up := &backend{}
		conn := connect(t, b, "shop", method, "", up.conn())
		defer silence(t, 100, conn)()
		for range 10 {
			time.Sleep(time.Second)
			if refused := repeat(t, 2, conn); refused != 0 {
				t.Fatalf("%d of 2 calls were refused beside silent calls", refused)
			}
		}
	})
}

// TestSilentCallsTakeNoTurn: while it refuses, the one call in a while that finds out
// whether the upstream is back is not one of a client that keeps its request back.
func TestSilentCallsTakeNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBreakers(t, constant(0)) // whoever may be refused is
		up := &backend{err: unavailable()}
		conn := connect(t, b, "shop", method, "", up.conn())
		repeat(t, 40, conn)
		if expect(t, b, "refusing"); repeat(t, 1, conn) != 1 {
			t.Fatal("it lets all through")
		}
		up.err = nil
		time.Sleep(time.Second)
		defer silence(t, 100, conn)()
		if refused := repeat(t, 1, conn); refused != 0 {
			t.Error("the call that may find out was refused beside silent calls")
		}
	})
}

// TestQuietStreamsAreNoProbesForLong: streams that say nothing, for their clients wait
// or ask for what never comes, leave the places of probes to others.
func TestQuietStreamsAreNoProbesForLong(t *testing.T) {
	for _, desc := range []grpc.StreamDesc{{ClientStreams: true, ServerStreams: true}, {ServerStreams: true}} {
		synctest.Test(t, func(t *testing.T) {
			b, _ := newBreakers(t, constant(.5))
			up := &backend{err: unavailable()}
			to := up.conn()
			to.OnStream = func(ctx context.Context, _ *grpc.StreamDesc, _ string) (grpc.ClientStream, error) {
				return &calltest.ClientStream{End: context.Canceled, OnRecv: func() { <-ctx.Done() }}, nil
			}
			conn := connect(t, b, "shop", method, threeState, to)
			repeat(t, 20, conn)
			time.Sleep(5 * time.Second)
			expect(t, b, "half-open")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for range 3 {
				s, err := conn.NewStream(ctx, &desc, method)
				if err != nil {
					t.Fatal(err)
				}
				go func() { _ = s.RecvMsg(new(call.Message)) }()
			}
			up.err = nil
			if refused := repeat(t, 1, conn); refused != 1 {
				t.Error("there are more probes than declared")
			}
			time.Sleep(time.Second)
			if refused := repeat(t, 3, conn); refused != 0 {
				t.Errorf("%d of 3 probes were refused beside quiet streams", refused)
			}
			expect(t, b, "closed")
			cancel()
			synctest.Wait()
			expect(t, b, "closed")
		})
	}
}

// TestQuietStreamsDoNotOpenIt: a half-open state in which nobody but quiet streams
// has come stays half-open.
func TestQuietStreamsDoNotOpenIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBreakers(t, constant(.5))
		up := &backend{err: unavailable()}
		conn := connect(t, b, "shop", method, threeState, up.conn())
		repeat(t, 20, conn)
		time.Sleep(5 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if _, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		expect(t, b, "half-open")
		up.err = nil
		if refused := repeat(t, 3, conn); refused != 0 {
			t.Errorf("%d of 3 probes were refused", refused)
		}
		expect(t, b, "closed")
	})
}
