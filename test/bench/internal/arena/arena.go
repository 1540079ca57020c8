// Package arena lets the contenders take turns and measures them.
package arena

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/contender"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/load"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/report"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/token"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/workload"
)

// Options say what is measured, and how long.
type Options struct {
	Rounds      int
	Duration    time.Duration // of each of the two measurements of a round
	Connections int
	Cases       []workload.Case
	Contenders  []string
	Gatehouse   string                           // the gateway's binary
	Dir         string                           // for files, emptied by the caller
	Progress    func(format string, args ...any) // told what goes on; may be nil
}

// steadyShare is the share of the slowest contender's throughput at which
// steady latency is measured: busy, but nobody's queue grows.
const steadyShare = 0.5

// Run measures all cases, one after the other.
func Run(ctx context.Context, o Options) ([]report.Case, error) {
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the benchmark's own binary: %w", err)
	}
	signed, err := token.Sign(time.Now())
	if err != nil {
		return nil, err
	}
	a := &arena{Options: o, self: self, token: signed}
	back, err := a.startBackend(ctx)
	if err != nil {
		return nil, err
	}
	defer back.stop()
	a.backend = back
	var cases []report.Case
	for _, c := range o.Cases {
		result, err := a.measureCase(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("case %s: %w", c.Name, err)
		}
		cases = append(cases, result)
	}
	return cases, nil
}

type arena struct {
	Options
	self    string
	token   token.Signed // of every request
	backend *backend
	started int // how many contenders were, to name their files
}

// measureCase lets the contenders take turns. A first turn, which does not
// count, finds the rate that all of them can hold.
func (a *arena) measureCase(ctx context.Context, c workload.Case) (report.Case, error) {
	exchange, err := c.Exchange()
	if err != nil {
		return report.Case{}, err
	}
	exchange.HTTP.Token = a.token.Compact
	contenders := a.contendersOf(c)
	if len(contenders) == 0 {
		return report.Case{}, fmt.Errorf("none of the contenders %v takes part in it", a.Contenders)
	}
	result := report.Case{Title: c.Title}
	for _, name := range contenders {
		sample, err := a.turn(ctx, name, c, exchange, 0)
		if err != nil {
			return report.Case{}, err
		}
		if rate := sample.PerSecond * steadyShare; result.SteadyRate == 0 || rate < result.SteadyRate {
			result.SteadyRate = rate
		}
		result.Lines = append(result.Lines, report.Line{Contender: name})
	}
	for round := range a.Rounds {
		for i, name := range contenders {
			sample, err := a.turn(ctx, name, c, exchange, result.SteadyRate)
			if err != nil {
				return report.Case{}, err
			}
			result.Lines[i].Samples = append(result.Lines[i].Samples, sample)
			a.Progress("%-13s round %d  %-18s %7.1f µs CPU per request, %7.0f requests per second", c.Name, round+1, name, sample.CPU, sample.PerSecond)
		}
	}
	return result, nil
}

// contendersOf are those that take part in a case.
func (a *arena) contendersOf(c workload.Case) []string {
	var names []string
	for _, name := range a.Contenders {
		if contender.TakesPart(name, c) {
			names = append(names, name)
		}
	}
	return names
}

// turn starts a contender, checks and warms it up, measures it and stops it.
// Without a rate it is measured in a closed loop only.
func (a *arena) turn(ctx context.Context, name string, c workload.Case, x workload.Exchange, rate float64) (report.Sample, error) {
	running, err := a.start(ctx, name, c)
	if err != nil {
		return report.Sample{}, err
	}
	defer running.process.Stop()
	if err := running.ready(ctx, x); err != nil {
		return report.Sample{}, err
	}
	length, err := a.check(ctx, running, x)
	if err != nil {
		return report.Sample{}, fmt.Errorf("%s: %w", name, err)
	}
	if name == contender.Policies {
		if err := running.checkPolicies(ctx, x); err != nil {
			return report.Sample{}, running.process.Errorf("%w", err)
		}
	}
	client, err := a.dial(ctx, running, x, length)
	if err != nil {
		return report.Sample{}, running.process.Errorf("%w", err)
	}
	defer client.Close()
	if _, err := client.Closed(ctx, a.Duration/2); err != nil {
		return report.Sample{}, running.process.Errorf("warm up: %w", err)
	}
	return measure(ctx, running, client, a.Duration, rate)
}

// dial connects the load generator, which wants answers of that length.
func (a *arena) dial(ctx context.Context, r *running, x workload.Exchange, length int) (*load.Client, error) {
	if r.grpc {
		return load.DialGRPC(r.addr, a.Connections, x.RPC, x.HTTP.Token, x.Wire, length)
	}
	return load.Dial(ctx, r.addr, a.Connections, x.HTTP, load.Answer{Status: http.StatusOK, Length: length})
}

// measure takes all numbers of one round.
func measure(ctx context.Context, r *running, client *load.Client, d time.Duration, rate float64) (report.Sample, error) {
	before, err := r.process.CPU()
	if err != nil {
		return report.Sample{}, err
	}
	closed, err := client.Closed(ctx, d)
	if err != nil {
		return report.Sample{}, r.process.Errorf("closed loop: %w", err)
	}
	after, err := r.process.CPU()
	if err != nil {
		return report.Sample{}, err
	}
	sample := report.Sample{
		CPU:       float64((after - before).Nanoseconds()) / 1e3 / float64(closed.Requests),
		PerSecond: closed.PerSecond(),
		P50:       milliseconds(closed.Quantile(0.50)),
		P99:       milliseconds(closed.Quantile(0.99)),
	}
	if rate > 0 {
		steady, err := client.Open(ctx, rate, d)
		if err != nil {
			return report.Sample{}, r.process.Errorf("steady rate: %w", err)
		}
		sample.SteadyP50, sample.SteadyP99 = milliseconds(steady.Quantile(0.50)), milliseconds(steady.Quantile(0.99))
	}
	peak, err := r.process.Peak()
	sample.Peak = float64(peak) / (1 << 20)
	return sample, err
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// file names a file of the contender that is about to start.
func (a *arena) file(contender, suffix string) string {
	return filepath.Join(a.Dir, fmt.Sprintf("%03d-%s%s", a.started, contender, suffix))
}

// role is the command line by which the benchmark plays a role.
func role(name string, s contender.Settings) []string {
	return []string{"-role", name, "-listen", s.Listen, "-backend", s.Backend, "-cases", s.Case.Name}
}
