package remember_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/remember"
)

func keys(m *remember.Map[string, *int]) []string {
	return slices.Sorted(maps.Keys(maps.Collect(m.All())))
}

func fresh() *int { return new(int) }

func TestMapForgetsWhatNoTableUses(t *testing.T) {
	var m remember.Map[string, *int]
	build := func(taken bool, busy func(*int) bool, names ...string) {
		m.Begin()
		for _, name := range names {
			m.Get(name, fresh)
		}
		if taken {
			m.Busy = busy
			m.Commit()
		} else {
			m.Abandon()
		}
	}
	build(true, nil, "a", "b")
	a := m.Get("a", fresh)
	build(false, nil, "b", "c")
	if got := keys(&m); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("after a table that was refused: %v", got)
	}
	build(true, func(v *int) bool { return v == a }, "b")
	if got := keys(&m); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("what is busy: %v", got)
	}
	if m.Get("a", fresh) != a {
		t.Error("what was busy was made anew")
	}
	build(true, nil, "b", "d")
	if got := keys(&m); !slices.Equal(got, []string{"b", "d"}) {
		t.Errorf("at the end: %v", got)
	}
}

func TestMapWithoutTables(t *testing.T) {
	var m remember.Map[string, *int]
	if first := m.Get("a", fresh); first != m.Get("a", fresh) {
		t.Error("made twice")
	}
	for k := range m.All() {
		if k != "a" {
			t.Errorf("got %q", k)
		}
	}
}
