package upstream_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// limited makes a call that the gateway's own limit ends.
func limited(t *testing.T, up *upstream.Upstream, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(call.WithTimeLimit(t.Context(), limit), limit)
	defer cancel()
	if err := send(ctx, up); status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("err = %v, want DEADLINE_EXCEEDED", err)
	}
	synctest.Wait()
}

// TestSilence: an upstream that keeps its connection and answers nothing is silent
// after three calls over ten seconds, and not after its first answer.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, _, dialer := bubble(t, "a:1")
		o := options(all)
		o.Dial = []grpc.DialOption{dialer}
		up := dial(t, o)
		defer up.Close()
		wait(t, up, 1)
		silent := func(want bool, when string) {
			t.Helper()
			if since := up.Status().SilentSince; since.IsZero() == want {
				t.Errorf("%s: silent since %v, want %v", when, since, want)
			}
		}
		all[0].mute.Store(true)
		for n := range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second-time.Duration(n)*time.Millisecond)
			_ = send(ctx, up)
			cancel()
		}
		silent(false, "after deadlines that clients chose")
		for range 10 {
			limited(t, up, time.Second)
		}
		silent(false, "after nine seconds")
		began := time.Now()
		limited(t, up, time.Second)
		silent(true, "after ten seconds")
		if since := up.Status().SilentSince; !since.Before(began) {
			t.Errorf("silent since %v, want the end of the first call", since)
		}
		all[0].mute.Store(false)
		if err := send(t.Context(), up); err != nil {
			t.Fatal(err)
		}
		silent(false, "after an answer")
		all[0].mute.Store(true)
		limited(t, up, 10*time.Second)
		limited(t, up, 10*time.Second)
		silent(false, "after two calls")
		limited(t, up, 10*time.Second)
		silent(true, "after three calls")
	})
}

// TestSilenceForFullClient: that an upstream answers nothing is no fault of a client
// that holds as much as it may.
func TestSilenceForFullClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, _, dialer := bubble(t, "a:1")
		o := options(all)
		o.Dial, o.MaxReceive = []grpc.DialOption{dialer}, 1<<20
		up := dial(t, o)
		defer up.Close()
		wait(t, up, 1)
		all[0].mute.Store(true)
		client := memory.New(memory.Limits{Client: 1 << 20}).NewClient()
		var others memory.Share
		others.Open(client, nil)
		defer others.Close()
		others.Ask(2 << 20)
		if err := errors.Join(others.Promise(t.Context(), 1<<20), others.Arrived(1<<20)); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			c := new(call.Call)
			c.Memory.Open(client, nil)
			ctx, cancel := context.WithTimeout(call.WithTimeLimit(call.With(t.Context(), c), 10*time.Second), 10*time.Second)
			err := up.Conn().Invoke(ctx, unary, new(call.Message), new(call.Message))
			if got := call.OutcomeOf(ctx, err); got != call.Failed {
				t.Errorf("the outcome is %v after %v, want a failure of the upstream", got, err)
			}
			cancel()
			c.Finish(err)
		}
		if up.Status().SilentSince.IsZero() {
			t.Error("the upstream is not silent")
		}
	})
}

// TestStreamBreaksSilence: a stream that goes on is an answer.
func TestStreamBreaksSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, _, dialer := bubble(t, "a:1")
		o := options(all)
		o.Dial = []grpc.DialOption{dialer}
		up := dial(t, o)
		defer up.Close()
		wait(t, up, 1)
		all[0].mute.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		echo, err := up.Conn().NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, stream)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			limited(t, up, 10*time.Second)
			if err := exchange(echo); err != nil {
				t.Fatal(err)
			}
		}
		if since := up.Status().SilentSince; !since.IsZero() {
			t.Errorf("silent since %v, while a stream is answered", since)
		}
	})
}

// TestOutliersHang: a replica that answers nothing before the gateway's own limit
// is left out like one that fails.
func TestOutliersHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, _, dialer := bubble(t, "a:1", "b:1", "c:1", "d:1", "e:1")
		o := options(all)
		o.Outliers, o.Dial = outliers(), []grpc.DialOption{dialer}
		up := dial(t, o)
		defer up.Close()
		wait(t, up, 5)
		all[2].mute.Store(true)
		calls := func() {
			for range 50 {
				ctx, cancel := context.WithTimeout(call.WithTimeLimit(t.Context(), 10*time.Millisecond), 10*time.Millisecond)
				_ = send(ctx, up)
				cancel()
			}
		}
		calls()
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		reset(all)
		calls()
		if got := counts(all); got[2] != 0 || got[0] == 0 {
			t.Errorf("got %v, want none at the one that hangs", got)
		}
	})
}

// exchange sends a message on a stream and receives one.
func exchange(s grpc.ClientStream) error {
	if err := s.SendMsg(new(emptypb.Empty)); err != nil {
		return err
	}
	return s.RecvMsg(new(emptypb.Empty))
}
