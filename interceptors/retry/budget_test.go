package retry_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
)

// series gives every series of a registry as text.
func series(t *testing.T, reg *prometheus.Registry) []string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			text := f.GetName()
			for _, l := range m.GetLabel() {
				text += " " + l.GetName() + "=" + l.GetValue()
			}
			all = append(all, fmt.Sprint(text, " ", m.GetGauge().GetValue()+m.GetCounter().GetValue()))
		}
	}
	return all
}

// attempts runs calls, all of which fail or succeed, and returns how many
// attempts each took.
func attempts(t *testing.T, n int, s *script, call func()) []int {
	t.Helper()
	var each []int
	for range n {
		before := len(s.times)
		call()
		each = append(each, len(s.times)-before)
	}
	return each
}

func TestBudget(t *testing.T) {
	for _, tc := range []struct {
		name, budget string
		answers      []answer
		calls        int
		want         string // attempts of each call
	}{
		// Ten tokens: the fifth failure leaves five, which is half.
		{"dead", "", []answer{down}, 5, "[3 2 1 1 1]"},
		{"small", "max_tokens: 2", []answer{down}, 3, "[1 1 1]"},
		{"large", "max_tokens: 1000", []answer{down}, 5, "[3 3 3 3 3]"},
		{"successes give back", "max_tokens: 4 token_ratio: 1", []answer{down, fine}, 3, "[2 1 1]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := newRetries(t, half)
				m := safe(t, "")
				m.Budget = budget(t, tc.budget)
				s := &script{answers: tc.answers}
				conn := connect(t, r, m, s.conn())
				if got := fmt.Sprint(attempts(t, tc.calls, s, func() { invoke(t.Context(), conn) })); got != tc.want {
					t.Errorf("attempts %v, want %v", got, tc.want)
				}
			})
		})
	}
}

func TestSuccessesFillTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newRetries(t, half)
		s := &script{answers: []answer{down}}
		conn := connect(t, r, safe(t, ""), s.conn())
		attempts(t, 10, s, func() { invoke(t.Context(), conn) })
		for range 60 { // of a tenth of a token each, from nothing
			s.answers = []answer{fine}
			invoke(t.Context(), conn)
		}
		s.answers = []answer{down}
		if got := attempts(t, 1, s, func() { invoke(t.Context(), conn) }); got[0] != 1 {
			t.Errorf("%d attempts with 5 tokens left, want 1", got[0])
		}
		s.answers = []answer{fine}
		for range 11 {
			invoke(t.Context(), conn)
		}
		s.answers = []answer{down}
		if got := attempts(t, 1, s, func() { invoke(t.Context(), conn) }); got[0] != 2 {
			t.Errorf("%d attempts with 6.1 tokens, want 2", got[0])
		}
	})
}

func TestTheBudgetIsTheUpstreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newRetries(t, half)
		s := &script{answers: []answer{down}}
		conn := connect(t, r, safe(t, ""), s.conn())
		attempts(t, 10, s, func() { invoke(t.Context(), conn) })
		other := safe(t, "")
		other.Name = "/shop.v1.Shop/List"
		same := connect(t, r, other, s.conn())
		if got := attempts(t, 1, s, func() { invoke(t.Context(), same) }); got[0] != 1 {
			t.Error("another RPC has a budget of its own at the same upstream")
		}
		other.Upstream = "stock"
		elsewhere := connect(t, r, other, s.conn())
		if got := attempts(t, 1, s, func() { invoke(t.Context(), elsewhere) }); got[0] != 3 {
			t.Error("another upstream has no budget of its own")
		}
	})
}

func TestTheBudgetOutlivesTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newRetries(t, half)
		s := &script{answers: []answer{down}}
		conn := connect(t, r, safe(t, ""), s.conn())
		attempts(t, 10, s, func() { invoke(t.Context(), conn) })
		for _, text := range []string{"", "max_tokens: 100"} { // neither refills it
			m := safe(t, "")
			m.Budget = budget(t, text)
			again := connect(t, r, m, s.conn())
			if got := attempts(t, 1, s, func() { invoke(t.Context(), again) }); got[0] != 1 {
				t.Errorf("%q: %d attempts, want 1 as before", text, got[0])
			}
		}
	})
}
