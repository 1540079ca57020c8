package idempotency_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/redistest"
)

// slowReader is a client that takes its answer when it is told to.
type slowReader struct {
	calltest.ServerStream

	sending *atomic.Int64
	take    chan struct{}
}

func (s *slowReader) SendMsg(m any) error {
	s.sending.Add(1)
	<-s.take
	return s.ServerStream.SendMsg(m)
}

// A client that asks for a large answer in Redis with many calls at once gets it as
// often as it has room for it; the other calls leave it in Redis until then.
func TestLargeAnswersWaitForRoom(t *testing.T) {
	const size, calls = 1 << 20, 10
	conn := calltest.Conn{OnInvoke: func(_ context.Context, _ string, _, reply any, _ ...grpc.CallOption) error {
		reply.(*call.Message).Data = calltest.Bytes(strings.Repeat("x", size))
		return nil
	}}
	policy, err := build(newReplica(t, redistest.Start(t)).keys, shared())
	if err != nil {
		t.Fatal(err)
	}
	m := &call.Method{Name: method, Conn: interceptors.Chain(conn, policy)}
	client := memory.New(memory.Limits{Client: size * 3 / 2}).NewClient()
	var sending atomic.Int64
	take := make(chan struct{})
	send := func() error {
		c := &call.Call{Protocol: call.REST}
		c.Memory.Open(client, nil)
		md := metadata.Pairs("idempotency-key", "k")
		down := &slowReader{calltest.ServerStream{Ctx: metadata.NewOutgoingContext(call.With(t.Context(), c), md), Requests: []string{"tea"}}, &sending, take}
		err := call.Forward(m, down)
		c.Finish(err)
		return err
	}
	ended := make(chan error, 1+calls)
	go func() { ended <- send() }()
	take <- struct{}{}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	sending.Store(0)
	for range calls {
		go func() { ended <- send() }()
	}
	until(t, "two answers are there", func() bool { return sending.Load() >= 2 })
	if held := client.Held(); held < 2*size || held > 3*size { // one call may go beyond what there is room for
		t.Errorf("%d bytes are held for two answers of %d", held, size)
	}
	if n := sending.Load(); n != 2 {
		t.Errorf("%d answers are there, want 2", n)
	}
	close(take)
	for range calls {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if client.Held() != 0 {
		t.Errorf("%d bytes are left", client.Held())
	}
}
