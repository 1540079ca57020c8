package live

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// door counts how often it was closed.
type door struct{ closed int }

func (d *door) Close() error {
	d.closed++
	return nil
}

// TestPool: a value is shared by its settings and closed once, behind its last user.
func TestPool(t *testing.T) {
	p, opened := pool[*door]{}, 0
	acquire := func(settings proto.Message) *shared[*door] {
		t.Helper()
		s, err := p.acquire(settings, func() (*door, error) {
			opened++
			return new(door), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	release := func(s *shared[*door], closed int) {
		t.Helper()
		if err := p.release(s); err != nil || s.value.closed != closed {
			t.Errorf("closed %d times (%v), want %d", s.value.closed, err, closed)
		}
	}
	red, blue := wrapperspb.String("red"), wrapperspb.String("blue")
	first, second, other := acquire(red), acquire(proto.CloneOf(red)), acquire(blue)
	if first != second || first == other || opened != 2 {
		t.Errorf("opened %d; equal settings share: %v; others share: %v", opened, first == second, first == other)
	}
	release(first, 0)
	release(second, 1)
	again := acquire(red)
	if again == first || opened != 3 {
		t.Error("a closed value was acquired again")
	}
	p.retire(again)
	replacement := acquire(red)
	if replacement == again {
		t.Error("a retired value was acquired again")
	}
	if err := p.close(again); err != nil || again.value.closed != 1 {
		t.Errorf("closed %d times (%v) for those who use it", again.value.closed, err)
	}
	release(again, 1)
	if acquire(red) != replacement {
		t.Error("the end of a retired value took its replacement out of the pool")
	}
	release(replacement, 0)
	release(replacement, 1)
	release(other, 1)
	if len(p) != 0 {
		t.Errorf("%d values are left", len(p))
	}
}

// TestPoolKeepsNoFailure: what could not be opened is opened again by the next.
func TestPoolKeepsNoFailure(t *testing.T) {
	p, broken := pool[*door]{}, errors.New("broken")
	if _, err := p.acquire(new(wrapperspb.StringValue), func() (*door, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if s, err := p.acquire(new(wrapperspb.StringValue), func() (*door, error) { return new(door), nil }); err != nil || s.users != 1 {
		t.Errorf("got %+v, %v", s, err)
	}
}
