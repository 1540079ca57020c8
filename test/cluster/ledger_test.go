package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/cluster/contract"
)

// recorded is a call that was answered by the execution "x-1", as it should be.
func recorded(rpc, nonce string) *Record {
	c := call{backend: "alpha", rpc: rpc, ask: contract.Ask{Nonce: nonce}}
	return &Record{Call: c, Attempts: 1, Result: Answered, Got: []contract.Answer{
		{Nonce: nonce, Digest: c.ask.Digest(c.method()), Execution: "x-1"},
	}}
}

// TestAudit wants each fault to be found.
func TestAudit(t *testing.T) {
	done := contract.Entry{RPC: "Order", Nonce: "n", Execution: "x-1"}
	again := contract.Entry{RPC: "Order", Nonce: "n", Execution: "y-1"}
	for want, tc := range map[string]struct {
		change  func(r *Record)
		journal []contract.Entry
	}{
		"":                     {func(*Record) {}, []contract.Entry{done}},
		"a duplicate":          {func(*Record) {}, []contract.Entry{done, again}},
		"a duplicate of an un": {func(r *Record) { r.Result, r.Got = Undecided, nil }, []contract.Entry{done, again}},
		"is in no journal":     {func(*Record) {}, []contract.Entry{again}},
		"is lost":              {func(r *Record) { r.Result, r.Got = Lost, nil }, nil},
		"without a cause":      {func(r *Record) { r.Result, r.Got = Wrong, nil }, nil},
		"refused and executed": {func(r *Record) { r.Result, r.Got = Refused, nil }, []contract.Entry{done}},
		"a wrong answer: {":    {func(r *Record) { r.Got[0].Nonce = "other" }, []contract.Entry{done}},
		"a wrong answer: {Non": {func(r *Record) { r.Got[0].Digest = "other" }, []contract.Entry{done}},
		"message 1 came in":    {func(r *Record) { r.Got[0].Number = 1 }, []contract.Entry{done}},
		"with 0 messages":      {func(r *Record) { r.Got = nil }, []contract.Entry{done}},
		"want 2":               {func(r *Record) { r.Call.ask.Count = 2; r.Got[0].Digest = r.Call.ask.Digest(r.Call.method()) }, []contract.Entry{done}},
	} {
		r := recorded("Order", "n")
		tc.change(r)
		got := Audit([]*Record{r}, tc.journal)
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
			t.Errorf("got %q, want one fault with %q", got, want)
		}
	}
	two := []*Record{recorded("Read", "n"), recorded("Read", "m")}
	if got := Audit(two, nil); len(got) != 1 || !strings.Contains(got[0], "the answer of n too") {
		t.Errorf("got %q, want that one execution answered two calls", got)
	}
}

// TestFullestWindow has calls get through at the rate of the limit, behind a burst.
func TestFullestWindow(t *testing.T) {
	begin := time.Now()
	var records []*Record
	var journal []contract.Entry
	admit := func(at time.Duration) {
		r := recorded("Limited", string(rune('a'+len(records))))
		r.Begin = begin.Add(at)
		records = append(records, r)
		journal = append(journal, contract.Entry{RPC: "Limited", Nonce: r.Call.ask.Nonce, At: begin.Add(at)})
	}
	for range Burst {
		admit(time.Second)
	}
	for i := range Rate {
		admit(time.Second + time.Duration(i+1)*time.Second/Rate)
	}
	if w := FullestWindow(records, journal); w.Exceeded() || w.Use() < .99 {
		t.Errorf("%d calls are %.3f of the limit, want all of it", w.Admitted, w.Use())
	}
	admit(time.Second)
	if w := FullestWindow(records, journal); !w.Exceeded() || w.Admitted != Burst+1 || w.To.Sub(w.From) != 0 {
		t.Errorf("%d calls in %v are %.3f of the limit, want %d at once, too many", w.Admitted, w.To.Sub(w.From), w.Use(), Burst+1)
	}
}
