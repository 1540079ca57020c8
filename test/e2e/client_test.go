package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// newClient is etcd's official client, which knows nothing of a gateway. The
// context bounds the whole test.
func newClient(t *testing.T) (*clientv3.Client, context.Context) {
	t.Helper()
	address := newTarget(t).grpc
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{address}, Context: ctx, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client, ctx
}

func TestClientKV(t *testing.T) {
	client, ctx := newClient(t)
	for i := range 3 {
		must(client.Put(ctx, fmt.Sprint("fruit/", i), fmt.Sprint("apple ", i)))(t)
	}
	got := must(client.Get(ctx, "fruit/", clientv3.WithPrefix(), clientv3.WithLimit(2)))(t)
	if got.Count != 3 || len(got.Kvs) != 2 || !got.More || string(got.Kvs[1].GetValue()) != "apple 1" {
		t.Errorf("get: %v", got)
	}
	put := must(client.Put(ctx, "fruit/0", "pear", clientv3.WithPrevKV()))(t)
	if string(put.PrevKv.GetValue()) != "apple 0" || put.Header.GetRevision() != 5 {
		t.Errorf("put: %v", put)
	}
	deleted := must(client.Delete(ctx, "fruit/1"))(t)
	if deleted.Deleted != 1 {
		t.Errorf("delete: %v", deleted)
	}
	if old := must(client.Get(ctx, "fruit/1", clientv3.WithRev(5)))(t); len(old.Kvs) != 1 {
		t.Errorf("get at an earlier revision: %v", old)
	}
}

func TestClientTxn(t *testing.T) {
	client, ctx := newClient(t)
	create := func() *clientv3.TxnResponse {
		return must(client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision("key"), "=", 0)).
			Then(clientv3.OpPut("key", "value"), clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut("nested", "value")}, nil)).
			Else(clientv3.OpGet("key"), clientv3.OpGet("nested")).
			Commit())(t)
	}
	if first := create(); !first.Succeeded || len(first.Responses) != 2 {
		t.Errorf("first transaction: %v", first)
	}
	second := create()
	if second.Succeeded || len(second.Responses) != 2 ||
		string(second.Responses[1].GetResponseRange().GetKvs()[0].GetValue()) != "value" {
		t.Errorf("second transaction: %v", second)
	}
}

// TestClientErrors wants etcd's own errors, which its client knows by code and
// message.
func TestClientErrors(t *testing.T) {
	client, ctx := newClient(t)
	for range 3 {
		must(client.Put(ctx, "key", "value"))(t)
	}
	must(client.Compact(ctx, 3))(t)
	for _, tt := range []struct {
		name string
		call func() error
		want error
	}{
		{"empty key", func() error { _, err := client.Get(ctx, ""); return err }, rpctypes.ErrEmptyKey},
		{"compacted", func() error { _, err := client.Get(ctx, "key", clientv3.WithRev(2)); return err }, rpctypes.ErrCompacted},
		{"future", func() error { _, err := client.Get(ctx, "key", clientv3.WithRev(99)); return err }, rpctypes.ErrFutureRev},
		{"no lease", func() error { _, err := client.Put(ctx, "key", "value", clientv3.WithLease(1)); return err }, rpctypes.ErrLeaseNotFound},
		{"auth off", func() error { _, err := client.Authenticate(ctx, "root", "secret"); return err }, rpctypes.ErrAuthNotEnabled},
	} {
		if err := tt.call(); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	late, cancel := context.WithTimeout(ctx, time.Nanosecond)
	defer cancel()
	if _, err := client.Get(late, "key"); !errors.Is(err, context.DeadlineExceeded) && status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("past the deadline: got %v", err)
	}
}

// TestClientWatch wants every one of 1,000 events, once and in order, both as
// they happen and from history.
func TestClientWatch(t *testing.T) {
	const events = 1000
	client, ctx := newClient(t)
	live := client.Watch(clientv3.WithRequireLeader(ctx), "key/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	if created := <-live; !created.Created || created.Err() != nil {
		t.Fatalf("watch: %v, %v", created, created.Err())
	}
	done := make(chan error, 1)
	go func() { done <- putAll(ctx, client, events) }()
	wantEvents(t, live, events)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	history := client.Watch(ctx, "key/", clientv3.WithPrefix(), clientv3.WithRev(1))
	wantEvents(t, history, events)
}

func putAll(ctx context.Context, client *clientv3.Client, events int) error {
	for i := range events {
		if _, err := client.Put(ctx, fmt.Sprintf("key/%04d", i), fmt.Sprint(i)); err != nil {
			return err
		}
	}
	return nil
}

func wantEvents(t *testing.T, watch clientv3.WatchChan, events int) {
	t.Helper()
	seen := 0
	for seen < events {
		answer, ok := <-watch
		if !ok || answer.Err() != nil {
			t.Fatalf("the watch ended after %d events: %v", seen, answer.Err())
		}
		for _, event := range answer.Events {
			want := fmt.Sprint(seen)
			if event.GetType() != mvccpb.Event_PUT || string(event.GetKv().GetValue()) != want || event.GetKv().GetModRevision() != int64(seen+2) {
				t.Fatalf("event %d: got %v", seen, event)
			}
			seen++
		}
	}
}

// TestClientWatchEnds wants the backend's own end of a stream, and one watch's
// cancellation to leave the others on the same stream alone.
func TestClientWatchEnds(t *testing.T) {
	client, ctx := newClient(t)
	for range 3 {
		must(client.Put(ctx, "key", "value"))(t)
	}
	must(client.Compact(ctx, 4))(t)
	compacted := <-client.Watch(ctx, "key", clientv3.WithRev(1))
	if !errors.Is(compacted.Err(), rpctypes.ErrCompacted) || compacted.CompactRevision != 4 {
		t.Errorf("watch from a compacted revision: %v, %v", compacted, compacted.Err())
	}
	kept := client.Watch(ctx, "kept", clientv3.WithCreatedNotify())
	<-kept
	once, cancel := context.WithCancel(ctx)
	cancelled := client.Watch(once, "key", clientv3.WithCreatedNotify())
	<-cancelled
	cancel()
	for range cancelled { // until it is closed
	}
	must(client.Put(ctx, "kept", "value"))(t)
	if answer := <-kept; len(answer.Events) != 1 {
		t.Errorf("the watch that was kept: %v, %v", answer, answer.Err())
	}
}

// TestClientLease keeps a lease alive past its time to live.
func TestClientLease(t *testing.T) {
	const seconds = 2
	client, ctx := newClient(t)
	lease := must(client.Grant(ctx, seconds))(t)
	must(client.Put(ctx, "key", "value", clientv3.WithLease(lease.ID)))(t)
	alive := must(client.KeepAlive(ctx, lease.ID))(t)
	for begin := time.Now(); time.Since(begin) < (seconds+1)*time.Second; {
		if answer, ok := <-alive; !ok || answer.TTL != seconds {
			t.Fatalf("keep-alive: %v, open %v", answer, ok)
		}
	}
	if left := must(client.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys()))(t); left.TTL < 0 || len(left.Keys) != 1 {
		t.Errorf("time to live: %v", left)
	}
	must(client.Revoke(ctx, lease.ID))(t)
	for range alive { // until the client learns that the lease has gone
	}
	if got := must(client.Get(ctx, "key"))(t); got.Count != 0 {
		t.Errorf("the key outlived its lease: %v", got)
	}
}

// TestClientLock has contenders for one lock, which watch each other's keys and
// keep their sessions alive.
func TestClientLock(t *testing.T) {
	const contenders = 4
	client, ctx := newClient(t)
	holder := newMutex(t, client)
	if err := holder.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := newMutex(t, client).TryLock(ctx); !errors.Is(err, concurrency.ErrLocked) {
		t.Errorf("a second lock: got %v, want %v", err, concurrency.ErrLocked)
	}
	var inside atomic.Int32
	inside.Add(1)
	done := make(chan error, contenders)
	for range contenders {
		mutex := newMutex(t, client)
		go func() { done <- hold(ctx, mutex, &inside) }()
	}
	inside.Add(-1)
	if err := holder.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	for range contenders {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// hold takes the lock and gives it back. Nobody else may be inside meanwhile.
func hold(ctx context.Context, mutex *concurrency.Mutex, inside *atomic.Int32) error {
	if err := mutex.Lock(ctx); err != nil {
		return err
	}
	if n := inside.Add(1); n != 1 {
		return fmt.Errorf("%d hold the lock at once", n)
	}
	inside.Add(-1)
	return mutex.Unlock(ctx)
}

func newMutex(t *testing.T, client *clientv3.Client) *concurrency.Mutex {
	t.Helper()
	session := must(concurrency.NewSession(client, concurrency.WithTTL(10)))(t)
	t.Cleanup(func() { _ = session.Close() })
	return concurrency.NewMutex(session, "lock")
}

// must ends the test on an error: must(call())(t).
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
