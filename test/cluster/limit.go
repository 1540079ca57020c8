package cluster

import (
	"slices"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/cluster/contract"
)

// slack is how much more than the limit may get through.
const slack = 1.01

// admission is a call that got through the shared limit at some time between two.
type admission struct{ after, before time.Time }

// admissions finds them: calls that were executed, whether or not the client
// heard of it.
func admissions(records []*Record, journal []contract.Entry) []admission {
	executed := map[string]time.Time{}
	for _, e := range journal {
		executed[e.Nonce] = e.At
	}
	var all []admission
	for _, r := range records {
		if at, ok := executed[r.Call.ask.Nonce]; ok && r.Call.rpc == "Limited" {
			all = append(all, admission{r.Begin, at})
		}
	}
	return all
}

// Window is a span of time and how many calls got through in it.
type Window struct {
	From, To time.Time
	Admitted int
}

// Bound is what the limit lets through in the window.
func (w Window) Bound() float64 { return Burst + Rate*w.To.Sub(w.From).Seconds() }

// Use is the share of the bound that was used.
func (w Window) Use() float64 { return float64(w.Admitted) / w.Bound() }

// Exceeded reports whether more got through than may.
func (w Window) Exceeded() bool { return w.Use() > slack }

// FullestWindow looks at every window that begins with a call and ends with one,
// and returns the one that used most of its bound.
func FullestWindow(records []*Record, journal []contract.Entry) Window {
	all := admissions(records, journal)
	slices.SortFunc(all, func(a, b admission) int { return a.before.Compare(b.before) })
	var fullest Window
	for _, first := range all {
		w := Window{From: first.after}
		for _, a := range all {
			if a.after.Before(w.From) {
				continue
			}
			w.To = a.before
			w.Admitted++
			if fullest.Admitted == 0 || w.Use() > fullest.Use() {
				fullest = w
			}
		}
	}
	return fullest
}

// AdmittedBetween counts the calls that were answered in a span of time.
func AdmittedBetween(records []*Record, from, to time.Time) (n int) {
	for _, r := range records {
		if r.Call.rpc == "Limited" && r.Result == Answered && !r.End.Before(from) && !r.End.After(to) {
			n++
		}
	}
	return n
}
