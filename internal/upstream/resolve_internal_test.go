package upstream

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/resolver"
)

// TestRefresherWaits: what has not answered is not begun anew, and what has is,
// once in every interval.
func TestRefresherWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answered atomic.Bool
		begun := 0
		f := &refresher{
			begin: func() (resolver.Resolver, error) {
				begun++
				return nothing{}, nil
			},
			answered: &answered, current: nothing{}, stop: make(chan struct{}), done: make(chan struct{}),
		}
		go f.run(time.Second)
		time.Sleep(10*time.Second + time.Millisecond)
		if synctest.Wait(); begun != 0 {
			t.Errorf("begun %d times without an answer", begun)
		}
		answered.Store(true)
		time.Sleep(10 * time.Second)
		if synctest.Wait(); begun != 10 {
			t.Errorf("begun %d times in ten intervals", begun)
		}
		f.Close()
		time.Sleep(10 * time.Second)
		if synctest.Wait(); begun != 10 {
			t.Errorf("begun %d times, and so after the end", begun)
		}
	})
}
