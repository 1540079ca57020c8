package memory_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// TestQuietStreamHasItsTurnOnce has a stream go beyond the limit and then be quiet.
// Calls that hold the room and whose answers have come go on.
func TestQuietStreamHasItsTurnOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := memory.New(memory.Limits{Client: 8 * mib})
		c := p.NewClient()
		var stream memory.Share
		stream.Open(c, nil)
		defer stream.Close()
		var first memory.Share
		first.Open(c, nil)
		if err := first.Reserve(t.Context(), 8*mib); err != nil {
			t.Fatal(err)
		}
		if err := stream.ReserveAnswer(t.Context(), 4*mib); err != nil {
			t.Fatal(err)
		}
		stream.Release(4 * mib)
		if err := first.ReserveAnswer(t.Context(), 4*mib); err != nil { // synctest fails when it waits for ever
			t.Fatal(err)
		}
		first.Close()
		if c.Held() != 0 || p.Held() != 0 {
			t.Errorf("%d and %d bytes are left", c.Held(), p.Held())
		}
	})
}

// TestCallsMadeForOneTakeItsTurn has calls that are each made of two others hold the
// answer of the first. One of them goes beyond the limit at a time, to its end.
func TestCallsMadeForOneTakeItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := memory.New(memory.Limits{Client: 8 * mib})
		c := p.NewClient()
		var most int64
		var guard sync.Mutex
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				var whole memory.Share
				whole.Open(c, nil)
				defer whole.Close()
				for range 4 {
					var step memory.Share
					step.OpenWithin(&whole)
					if err := step.ReserveAnswer(t.Context(), 4*mib); err != nil {
						t.Error(err)
					}
					step.Close()
					<-time.After(time.Millisecond) // so that the others have their turn
					guard.Lock()
					most = max(most, c.Held())
					guard.Unlock()
				}
			})
		}
		all.Wait()
		if c.Held() != 0 || p.Held() != 0 {
			t.Errorf("%d and %d bytes are left", c.Held(), p.Held())
		}
		if most > 24*mib {
			t.Errorf("%d MiB were held, want little more than one call's", most/mib)
		}
	})
}

// TestSmallCallsLeaveRoom reserves the whole room beside calls that never end.
func TestSmallCallsLeaveRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memory.New(memory.Limits{Client: 8 * mib}).NewClient()
		var small, large memory.Share
		small.Open(c, nil)
		large.Open(c, nil)
		small.Hold(100)
		if !large.HasRoom(8 * mib) {
			t.Error("there is no room beside 100 bytes")
		}
		if err := large.Reserve(t.Context(), 8*mib); err != nil {
			t.Fatal(err)
		}
	})
}
