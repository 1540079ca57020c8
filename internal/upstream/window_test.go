package upstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/test/bufconn"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// TestAnswersWaitForRoom asks at once for many times what the process may hold, by clients
// of their own, and has every answer come whole. Never many more of them are held than there
// is room for, and at last nothing is.
func TestAnswersWaitForRoom(t *testing.T) {
	const limit = 5 << 20
	for name, of := range map[string]struct{ calls, size, messages int }{
		"large":                     {40, 500_000, 1},
		"several large of a stream": {20, 500_000, 3},
		"small":                     {400, 24_000, 1},
		"several small of a stream": {200, 20_000, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &answering{answer: bytes.Repeat([]byte("gatehouse!"), of.size/10), messages: of.messages}
				// Every call counts as one of many.
				a.memory = memory.New(memory.Limits{Process: limit, Calls: 1})
				up := a.dial(t)
				defer up.Close()
				wait(t, up, 1)
				var calls sync.WaitGroup
				for range of.calls {
					calls.Go(func() {
						if err := a.receive(t, up); err != nil {
							t.Error(err)
						}
					})
				}
				calls.Wait()
				// Until half of the room could be needed, small answers do not ask for it.
				if most := a.most.Load(); most > limit+limit/4 || most < limit/2 {
					t.Errorf("%d bytes were held, want most of %d and little more", most, limit)
				}
				if held := a.memory.Held(); held != 0 {
					t.Errorf("%d bytes are held after all", held)
				}
			})
		})
	}
}

// TestAnswersThroughSmallWindows has answers of all sizes come where so many calls run that
// the windows of streams are smaller than grpc-go believes: none of them stalls.
func TestAnswersThroughSmallWindows(t *testing.T) {
	for _, size := range []int{1000, 24 << 10, 30_000, 60_000, 90_000, 96 << 10, 99_000, 200_000} {
		synctest.Test(t, func(t *testing.T) {
			a := &answering{answer: bytes.Repeat([]byte("x"), size), messages: 20, memory: memory.New(memory.Limits{Process: 100 << 20, Calls: 1})}
			up := a.dial(t)
			defer up.Close()
			wait(t, up, 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			var calls sync.WaitGroup
			for range 5 {
				calls.Go(func() {
					if err := a.receiveIn(ctx, up); err != nil {
						t.Errorf("%d bytes: %v", size, err)
					}
				})
			}
			calls.Wait()
		})
	}
}

// TestAnswersThatDoNotCome leaves no room to answers that wait when their calls end, or
// that break off.
func TestAnswersThatDoNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answering{answer: make([]byte, 900_000), messages: 1, memory: memory.New(memory.Limits{Process: 1 << 20, Calls: 1})}
		up := a.dial(t)
		defer up.Close()
		wait(t, up, 1)
		var other memory.Share
		other.Open(a.memory.NewClient(), nil)
		other.Hold(1 << 20)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() {
				if err := a.receiveIn(ctx, up); err == nil {
					t.Error("an answer came for which there was no room")
				}
			})
		}
		calls.Wait()
		other.Close()
		synctest.Wait()
		if held := a.memory.Held(); held != 0 {
			t.Errorf("%d bytes are held after all", held)
		}
		if err := a.receive(t, up); err != nil {
			t.Errorf("%v, want an answer now that there is room", err)
		}
	})
}

// TestCallsThatHoldRoom has calls hold all the room there is, with their requests, while
// they wait for room for their answers. Some are ended so that the others have theirs.
func TestCallsThatHoldRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls, size = 12, 450_000
		a := &answering{answer: make([]byte, size), messages: 1, memory: memory.New(memory.Limits{Process: 5 << 20, Calls: 1})}
		up := a.dial(t)
		defer up.Close()
		wait(t, up, 1)
		began := time.Now()
		var good, ended atomic.Int64
		var all sync.WaitGroup
		for range calls {
			all.Go(func() {
				c := new(call.Call)
				c.Memory.Open(a.memory.NewClient(), nil)
				defer c.Finish(nil)
				c.Memory.Hold(size)
				var answer call.Message
				defer answer.Free()
				switch err := up.Conn().Invoke(call.With(t.Context(), c), "/test.Service/Answer", new(call.Message), &answer); {
				case err == nil:
					good.Add(1)
				case errors.Is(err, call.MemoryError(memory.ErrFull)):
					ended.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if good.Load() < calls/2 || good.Load()+ended.Load() != calls {
			t.Errorf("%d of %d had answers, and %d were ended", good.Load(), calls, ended.Load())
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %v until all had ended", took)
		}
		if held := a.memory.Held(); held != 0 {
			t.Errorf("%d bytes are held after all", held)
		}
	})
}

// answering is a backend with answers of one size.
type answering struct {
	answer   []byte
	messages int
	memory   *memory.Process
	most     atomic.Int64 // bytes held at once
}

func (a *answering) dial(t *testing.T) *upstream.Upstream {
	t.Helper()
	l := &named{Listener: bufconn.Listen(1 << 16), name: "a:1"}
	server := grpc.NewServer(grpc.ForceServerCodecV2(call.Codec{}), grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
		var request call.Message
		defer request.Free()
		if err := ss.RecvMsg(&request); err != nil {
			return err
		}
		for range a.messages {
			if err := ss.SendMsg(&call.Message{Data: mem.BufferSlice{mem.SliceBuffer(a.answer)}}); err != nil {
				return err
			}
		}
		return nil
	}))
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	o := options([]*backend{{address: "a:1"}})
	o.Memory = a.memory
	o.Dial = []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) })}
	return dial(t, o)
}

// receive makes a call by a client of its own, which takes a second for each answer.
func (a *answering) receive(t *testing.T, up *upstream.Upstream) error {
	t.Helper()
	return a.receiveIn(t.Context(), up)
}

func (a *answering) receiveIn(ctx context.Context, up *upstream.Upstream) error {
	c := new(call.Call)
	c.Memory.Open(a.memory.NewClient(), nil)
	_ = a.memory.Admit(&c.Memory, 0) // too many run, which is not what this is about
	defer c.Finish(nil)
	ctx, cancel := context.WithCancel(call.With(ctx, c))
	defer cancel()
	s, err := up.Conn().NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/test.Service/Answer")
	if err != nil {
		return err
	}
	if err := errors.Join(s.SendMsg(new(call.Message)), s.CloseSend()); err != nil {
		return err
	}
	for n := 0; ; n++ {
		var answer call.Message
		err := s.RecvMsg(&answer)
		if err == io.EOF && n == a.messages {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d answers: %w", n, err)
		}
		held := a.memory.Held()
		for most := a.most.Load(); held > most && !a.most.CompareAndSwap(most, held); most = a.most.Load() {
		}
		if got := answer.Data.Materialize(); !bytes.Equal(got, a.answer) {
			return fmt.Errorf("%d bytes that are not those that were sent", len(got))
		}
		time.Sleep(time.Second)
		c.Memory.Release(int64(answer.Len()))
		answer.Free()
	}
}
