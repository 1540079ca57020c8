package upstream_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// TestEarlyHeadersOfAnotherRPC: where one RPC's headers come long before its answers, no
// room is kept for these. The answers of another one still wait for room.
func TestEarlyHeadersOfAnotherRPC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const early, prompt = "/test.Service/Early", "/test.Service/Prompt"
		l := &named{Listener: bufconn.Listen(1 << 16), name: "a:1"}
		server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
			if err := ss.RecvMsg(new(emptypb.Empty)); err != nil {
				return err
			}
			if name, _ := grpc.MethodFromServerStream(ss); name == early {
				if err := ss.SendHeader(nil); err != nil {
					return err
				}
				time.Sleep(time.Second)
			}
			return ss.SendMsg(new(emptypb.Empty))
		}))
		go func() { _ = server.Serve(l) }()
		defer server.Stop()
		o := options([]*backend{{address: "a:1"}})
		o.Dial = []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) })}
		up := dial(t, o)
		defer up.Close()
		wait(t, up, 1)
		client := memory.New(memory.Limits{Client: 1 << 20}).NewClient()
		var others memory.Share
		others.Open(client, nil)
		others.Ask(2 << 20) // so that every answer needs room
		for range 8 {
			if err := uploadOnce(t, up, client, early); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(others.Promise(t.Context(), 1<<20), others.Arrived(1<<20)); err != nil {
			t.Fatal(err)
		}
		if err := others.ReserveAnswer(t.Context(), 1<<20); err != nil { // the one that may exceed the limit
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- uploadOnce(t, up, client, prompt) }()
		synctest.Wait()
		if len(done) != 0 {
			t.Error("an answer was received where there was no room")
		}
		others.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// uploadOnce makes a call of a client's whose requests are a stream, of one.
func uploadOnce(t *testing.T, up *upstream.Upstream, client *memory.Client, method string) error {
	c := new(call.Call)
	c.Memory.Open(client, nil)
	defer c.Finish(nil)
	ctx, cancel := context.WithCancel(call.With(t.Context(), c))
	defer cancel()
	s, err := up.Conn().NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, method)
	if err != nil {
		return err
	}
	if err := s.SendMsg(new(call.Message)); err != nil {
		return err
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	var answer call.Message
	defer answer.Free()
	return s.RecvMsg(&answer)
}
