package shed_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

// begin makes n calls that are waited for by nobody, and returns how many of them run.
func begin(t *testing.T, conn grpc.ClientConnInterface, n int) (run int) {
	t.Helper()
	refused := make(chan error, n)
	for range n {
		go func() {
			if err := conn.Invoke(t.Context(), "/s/m", nil, nil); err != nil {
				refused <- err
			}
		}()
	}
	synctest.Wait()
	return n - len(refused)
}

// TestCallsThatNeverEndGiveTheirPlacesBack: the calls of one RPC hang for as long as
// the process lives. Others are refused for a moment only, and one that hangs has no
// more than half of the places from then on.
func TestCallsThatNeverEndGiveTheirPlacesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, free := context.WithCancel(t.Context())
		defer free()
		s := newShedder(t, 20, 20)
		hangs := true
		one := interceptors.Chain(calltest.Conn{OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error {
			if hangs {
				<-ctx.Done()
			}
			return nil
		}}, precheck(s, "/s/hangs", normal), build(s, "/s/hangs", normal))
		other := interceptors.Chain(calltest.Conn{}, precheck(s, "/s/m", normal), build(s, "/s/m", normal))

		if run := begin(t, one, 100); run != 16 {
			t.Fatalf("%d calls run, want the 16 of normal priority", run)
		}
		overloaded(t, other.Invoke(t.Context(), "/s/m", nil, nil))
		time.Sleep(5 * time.Second)
		_ = other.Invoke(t.Context(), "/s/m", nil, nil) // ends the window, and with it the batch
		time.Sleep(5 * time.Second)
		for i := range 5 {
			if err := other.Invoke(t.Context(), "/s/m", nil, nil); err != nil {
				t.Fatalf("call %d of another RPC after ten seconds: %v", i, err)
			}
			if run := begin(t, one, 100); run > 8 {
				t.Errorf("an RPC that hangs has %d more places, want at most half", run)
			}
			time.Sleep(time.Second)
		}

		hangs = false
		time.Sleep(10 * time.Second)
		if err := one.Invoke(t.Context(), "/s/m", nil, nil); err != nil {
			t.Errorf("the first call once it answers again: %v", err)
		}
		hangs = true
		if run := begin(t, one, 100); run < 15 {
			t.Errorf("%d calls run once it has answered again, want all that there is room for", run)
		}
		free()
		synctest.Wait()
		time.Sleep(time.Minute)
		hangs = false
		if err := other.Invoke(t.Context(), "/s/m", nil, nil); err != nil {
			t.Errorf("when all have ended: %v", err)
		}
		if run := begin(t, one, 100); run != 100 {
			t.Errorf("%d of 100 quick calls run when all have ended", run)
		}
	})
}

// TestSlowCallsKeepTheirPlaces: what is usual for an RPC is no reason to take a place.
func TestSlowCallsKeepTheirPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShedder(t, 20, 20)
		conn := interceptors.Chain(slow(time.Minute), build(s, "/s/m", critical))
		other := interceptors.Chain(calltest.Conn{}, build(s, "/s/other", critical))
		begin(t, conn, 20)
		time.Sleep(2 * time.Minute) // now it is known how long they take
		if run := begin(t, conn, 100); run != 20 {
			t.Fatalf("%d calls run, want 20", run)
		}
		for range 50 {
			overloaded(t, other.Invoke(t.Context(), "/s/other", nil, nil))
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
	})
}
