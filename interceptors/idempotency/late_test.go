package idempotency_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/interceptors/idempotency"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/redis"
	"github.com/gatehouse-dev/gatehouse/test/redistest"
)

// impatientReplica does not wait long for Redis.
func impatientReplica(t *testing.T, address string) *replica {
	t.Helper()
	r := &replica{reg: prometheus.NewRegistry()}
	var err error
	r.store, err = redis.Dial(redis.Options{Addresses: []string{address}, Timeout: 200 * time.Millisecond, Registerer: r.reg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.store.Close() })
	r.keys = newKeys(t, idempotency.Options{Redis: r.store, Registerer: r.reg})
	return r
}

// persist repeats a call for as long as Redis cannot be asked.
func persist(t *testing.T, m *call.Method, r request) error {
	t.Helper()
	var err error
	until(t, "redis can be asked", func() bool {
		_, _, err = send(t.Context(), m, r)
		return call.PolicyOf(err) != "idempotency" || status.Code(err) != codes.Unavailable
	})
	return err
}

// Redis stalls, and does what it was asked when it is back: it gives the key to a
// call that was refused meanwhile.
func TestAStallLeavesNoKeyTaken(t *testing.T) {
	server := redistest.Start(t)
	b := &backend{}
	here, elsewhere := serve(t, impatientReplica(t, server.Addr).keys, b, shared()), serve(t, impatientReplica(t, server.Addr).keys, b, shared())
	third := serve(t, newReplica(t, server).keys, b, shared())
	one, other := request{key: []string{"one"}}, request{key: []string{"other"}}
	if _, _, err := send(t.Context(), third, request{key: []string{"first"}}); err != nil { // Redis knows the scripts now
		t.Fatal(err)
	}
	server.Freeze()
	for m, r := range map[*call.Method]request{here: one, elsewhere: other} {
		if _, _, err := send(t.Context(), m, r); status.Code(err) != codes.Unavailable {
			t.Fatalf("err = %v, want UNAVAILABLE", err)
		}
	}
	server.Thaw()
	if err := persist(t, here, one); err != nil {
		t.Errorf("the repetition at the same gateway: err = %v, want it answered", err)
	}
	until(t, "the repetition at another gateway is answered", func() bool {
		_, _, err := send(t.Context(), third, other)
		return err == nil
	})
	if b.calls.Load() != 3 {
		t.Errorf("%d calls, want one for each key", b.calls.Load())
	}
}

// The call is done, and Redis stalls before it has the answer.
func TestAStallDuringTheCallLosesNoAnswer(t *testing.T) {
	server := redistest.Start(t)
	b := &backend{answer: func(context.Context, int64) error { server.Freeze(); return nil }}
	here, there := serve(t, impatientReplica(t, server.Addr).keys, b, shared()), serve(t, newReplica(t, server).keys, b, shared())
	if err := persist(t, here, request{key: []string{"k"}}); err != nil {
		t.Fatal(err)
	}
	server.Thaw()
	until(t, "a repetition elsewhere is answered", func() bool {
		_, _, err := send(t.Context(), there, request{key: []string{"k"}})
		return err == nil
	})
	if b.calls.Load() != 1 {
		t.Errorf("%d calls, want one", b.calls.Load())
	}
}

// Keys that Redis did not hear of are freed when it is back, without a call here
// that does so for others.
func TestLateKeysAreFreedWithoutACall(t *testing.T) {
	const keys = 200
	server := redistest.Start(t, "--dir", t.TempDir(), "--appendonly", "yes", "--appendfsync", "always")
	r := newReplica(t, server)
	var arrived atomic.Int64
	killed := make(chan struct{})
	b := &backend{answer: func(context.Context, int64) error {
		arrived.Add(1)
		<-killed
		return status.Error(codes.Unavailable, "come again")
	}}
	here := serve(t, r.keys, b, shared())
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() { _, _, _ = send(context.Background(), here, request{key: []string{fmt.Sprint(i)}}) })
	}
	until(t, "all calls run", func() bool { return arrived.Load() == keys })
	server.Kill()
	close(killed)
	wg.Wait()
	server.Restart()
	there := serve(t, newReplica(t, server).keys, &backend{}, shared())
	for i := range keys {
		until(t, "the key is free", func() bool {
			_, _, err := send(t.Context(), there, request{key: []string{fmt.Sprint(i)}})
			return err == nil
		})
	}
}

// A claim may reach Redis long after it was given up.
func TestAClaimThatArrivesLateHasNoEffect(t *testing.T) {
	server := redistest.Start(t)
	network := newSlowNetwork(t, server.Addr)
	b := &backend{answer: func(_ context.Context, n int64) error {
		if n == 2 {
			return status.Error(codes.Unavailable, "come again")
		}
		return nil
	}}
	m := serve(t, impatientReplica(t, network.address).keys, b, shared())
	if err := persist(t, m, request{key: []string{"first"}}); err != nil {
		t.Fatal(err)
	}
	k := request{key: []string{"k"}}
	network.hold.Store(true)
	if _, _, err := send(t.Context(), m, k); status.Code(err) != codes.Unavailable || b.calls.Load() != 1 {
		t.Fatalf("err = %v after %d calls, want UNAVAILABLE: Redis hears of nothing", err, b.calls.Load())
	}
	network.hold.Store(false)
	until(t, "the key is free again", func() bool { _, _, _ = send(t.Context(), m, k); return b.calls.Load() == 2 })
	network.release()
	if err := persist(t, m, k); err != nil || b.calls.Load() != 3 {
		t.Errorf("err = %v after %d calls, want an answer: nobody has the key", err, b.calls.Load())
	}
}

// slowNetwork leads to a server. What clients send while it holds arrives when it
// is released, whatever becomes of the connection.
type slowNetwork struct {
	address string
	hold    atomic.Bool

	mu      sync.Mutex
	held    []func()
	running sync.WaitGroup
}

func newSlowNetwork(t *testing.T, server string) *slowNetwork {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &slowNetwork{address: l.Addr().String()}
	n.running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			n.running.Go(func() { n.carry(client, up) })
		}
	})
	t.Cleanup(func() {
		n.release()
		l.Close()
		n.running.Wait()
	})
	return n
}

// carry brings one connection's bytes to and fro, until the client closes it.
func (n *slowNetwork) carry(client, up net.Conn) {
	defer client.Close()
	n.running.Go(func() { _, _ = io.Copy(client, up) })
	buf := make([]byte, 1<<16)
	for {
		size, err := client.Read(buf)
		if err != nil {
			break
		}
		if n.hold.Load() {
			n.mu.Lock()
			defer n.mu.Unlock()
			late := buf[:size]
			n.held = append(n.held, func() {
				defer up.Close()
				_, _ = up.Write(late)
				_ = up.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, up) // Redis closes it when it has read all
			})
			return
		}
		if _, err := up.Write(buf[:size]); err != nil {
			break
		}
	}
	up.Close()
}

// release has all arrive that was held.
func (n *slowNetwork) release() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range n.held {
		f()
	}
	n.held = nil
}
