package hostile

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

// TestShareIsTheLowest has the calls of one of two callers fail during Play, or since.
func TestShareIsTheLowest(t *testing.T) {
	const inPlay = 200 // many more than enough
	for name, test := range map[string]struct {
		play, stand bool // whether calls are answered
		kept        bool
	}{
		"no call fails":           {play: true, stand: true, kept: true},
		"calls fail during Play":  {play: false, stand: true, kept: false},
		"calls fail since it":     {play: true, stand: false, kept: false},
		"calls fail all the time": {play: false, stand: false, kept: false},
	} {
		t.Run(name, func(t *testing.T) {
			var made atomic.Int64
			var standing atomic.Bool
			played := make(chan struct{})
			answers := func(context.Context) error {
				if made.Add(1) == inPlay {
					close(played)
				}
				if standing.Load() && test.stand || !standing.Load() && test.play {
					return nil
				}
				return errors.New("refused")
			}
			i := startInnocents(t.Context(), []caller{answers, func(context.Context) error { return nil }})
			<-played
			standing.Store(true)
			i.stands()
			share, calls := i.share()
			if kept := share >= 0.9; kept != test.kept || calls < inPlay+2*enough-1 {
				t.Errorf("got a share of %v of %d calls, want at least nine tenths: %v", share, calls, test.kept)
			}
		})
	}
}

func TestFailuresOfAShortPlayCount(t *testing.T) {
	var calls tally
	calls.all.Store(4)
	calls.failed.Store(1)
	if share := calls.share(few); share != 0.95 {
		t.Errorf("one failure of four calls: got a share of %v, want 0.95", share)
	}
	calls.failed.Store(4)
	if share := calls.share(few); share != 0.8 {
		t.Errorf("four failures of four calls: got a share of %v, want 0.8", share)
	}
}
