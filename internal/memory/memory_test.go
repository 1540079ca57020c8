package memory_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

const mib = 1 << 20

// TestCallsOfOneClientTakeTurns has more calls than fit hold a request, and then as
// much again and more for an answer: each ends, and nothing is left.
func TestCallsOfOneClientTakeTurns(t *testing.T) {
	p := memory.New(memory.Limits{Client: 8 * mib})
	c := p.NewClient()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			var s memory.Share
			s.Open(c, nil)
			defer s.Close()
			for _, reserve := range []func() error{
				func() error { return s.Reserve(t.Context(), 4*mib) },
				func() error { return s.ReserveAnswer(t.Context(), 4*mib) },
				func() error { return s.ReserveAnswer(t.Context(), 20*mib) },
			} {
				if err := reserve(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if c.Held() != 0 || p.Held() != 0 {
		t.Errorf("%d and %d bytes are left", c.Held(), p.Held())
	}
}

// TestWaitingEndsWithTheCall leaves the room of a call that gave up to the next.
func TestWaitingEndsWithTheCall(t *testing.T) {
	c := memory.New(memory.Limits{Client: 8 * mib}).NewClient()
	var first, second, third memory.Share
	for _, s := range []*memory.Share{&first, &second, &third} {
		s.Open(c, nil)
	}
	if err := first.Reserve(t.Context(), 8*mib); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	if err := second.Reserve(ctx, 8*mib); !errors.Is(err, gone) {
		t.Errorf("%v, want the cause of the end", err)
	}
	first.Close()
	if err := third.Reserve(t.Context(), 8*mib); err != nil || c.Held() != 8*mib {
		t.Errorf("%v, %d bytes held", err, c.Held())
	}
}
