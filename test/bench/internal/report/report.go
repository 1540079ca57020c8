// Package report turns measurements into a page and a chart.
package report

import (
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/contender"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/stat"
)

// Sample is what one round says about one contender.
type Sample struct {
	CPU                  float64 // of the process, in microseconds per request
	PerSecond            float64 // requests answered
	P50, P99             float64 // in milliseconds, closed loop
	SteadyP50, SteadyP99 float64 // in milliseconds, at the case's steady rate
	Peak                 float64 // memory, in MiB
}

// Line is one contender in one case.
type Line struct {
	Contender string
	Samples   []Sample
}

// Of summarises one number of all rounds.
func (l Line) Of(number func(Sample) float64) stat.Summary {
	values := make([]float64, len(l.Samples))
	for i, s := range l.Samples {
		values[i] = number(s)
	}
	return stat.Of(values)
}

// Case is one case with all its contenders.
type Case struct {
	Title      string
	SteadyRate float64 // requests per second, the same for all contenders
	Lines      []Line
}

// CPU returns the median of a contender's CPU time per request, in
// microseconds, and whether it took part.
func (c Case) CPU(name string) (float64, bool) {
	for _, l := range c.Lines {
		if l.Contender == name {
			return l.Of(cpu).Median, true
		}
	}
	return 0, false
}

// Report is a whole run.
type Report struct {
	Machine     Machine
	Revision    string // of the gateway that was measured
	Rounds      int
	Seconds     float64 // of each measurement
	Connections int
	Cases       []Case
}

// Machine is what the run took place on.
type Machine struct {
	CPU    string
	Cores  int
	Memory string
	Kernel string
	Go     string
	Date   string
}

func cpu(s Sample) float64       { return s.CPU }
func perSecond(s Sample) float64 { return s.PerSecond }
func p50(s Sample) float64       { return s.P50 }
func p99(s Sample) float64       { return s.P99 }
func steadyP50(s Sample) float64 { return s.SteadyP50 }
func steadyP99(s Sample) float64 { return s.SteadyP99 }
func peak(s Sample) float64      { return s.Peak }

// label is a contender as readers know it.
func label(name string) string {
	switch name {
	case contender.Gatehouse:
		return "Gatehouse"
	case contender.Policies:
		return "Gatehouse, policies"
	case contender.Facade:
		return "Generated facade"
	case contender.Floor:
		return "Floor"
	default:
		return name
	}
}
