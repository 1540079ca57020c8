package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Report is a table of calls by RPC and of faults by kind.
func Report(records []*Record, faults map[string]int) string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	results := []Result{Answered, Refused, Undecided, Cut, Lost, Wrong}
	_, _ = fmt.Fprint(t, "\nrpc\tcalls\tattempts\tretried\t") // a builder takes all
	for _, r := range results {
		_, _ = fmt.Fprintf(t, "%s\t", r)
	}
	for _, k := range kinds {
		of := tally(records, k.rpc)
		_, _ = fmt.Fprintf(t, "\n%s\t%d\t%d\t%d\t", k.rpc, of.calls, of.attempts, of.retried)
		for _, r := range results {
			_, _ = fmt.Fprintf(t, "%d\t", of.results[r])
		}
	}
	_, _ = fmt.Fprintln(t)
	_ = t.Flush()
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(faults)) {
		fmt.Fprintf(&text, "%6d  %s\n", faults[kind], kind)
		total += faults[kind]
	}
	fmt.Fprintf(&text, "%6d  faults\n", total)
	return text.String()
}

type sum struct {
	calls, attempts, retried int
	results                  map[Result]int
}

func tally(records []*Record, rpc string) sum {
	s := sum{results: map[Result]int{}}
	for _, r := range records {
		if r.Call.rpc != rpc {
			continue
		}
		s.calls++
		s.attempts += r.Attempts
		if r.Attempts > 1 {
			s.retried++
		}
		s.results[r.Result]++
	}
	return s
}

// AnsweredShare is how many of the calls of an RPC were answered, and how many
// there were.
func AnsweredShare(records []*Record, rpc string) (answered, calls int) {
	s := tally(records, rpc)
	return s.results[Answered], s.calls
}
