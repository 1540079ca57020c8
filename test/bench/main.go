// Command bench compares Gatehouse with the facade that grpc-gateway generates
// and with a floor that does nothing, side by side on this machine. It starts
// itself again for every process it needs. A short look at one case:
//
//	go run . -cases response-8k -rounds 1 -duration 500ms
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/contender"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/workload"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// flags are the command line.
type flags struct {
	rounds      int
	duration    time.Duration
	connections int
	cases       string
	contenders  string
	gatehouse   string
	out         string

	role, listen, backend string // for the processes that this one starts
}

func parse(args []string) (flags, error) {
	var f flags
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.IntVar(&f.rounds, "rounds", minRounds, "how often each contender has its turn")
	set.DurationVar(&f.duration, "duration", 2*time.Second, "how long each of the two measurements of a turn takes")
	set.IntVar(&f.connections, "connections", 8, "how many connections the load generator keeps open")
	set.StringVar(&f.cases, "cases", workload.Names(), "which cases, with commas between them")
	set.StringVar(&f.contenders, "contenders", strings.Join(contender.Names(), ","), "which contenders, with commas between them")
	set.StringVar(&f.gatehouse, "gatehouse", "", "the gatehouse binary; empty means build it")
	set.StringVar(&f.out, "out", "", "the folder for PERFORMANCE.md and performance.svg; empty means print the page")
	set.StringVar(&f.role, "role", "", "internal: play this role")
	set.StringVar(&f.listen, "listen", "", "internal: where the role listens")
	set.StringVar(&f.backend, "backend", "", "internal: where the backend is")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("argument %q is too much: there are only flags", set.Arg(0))
	}
	return f, f.validate()
}

func (f flags) validate() error {
	switch {
	case f.rounds < 1:
		return fmt.Errorf("-rounds is %d: want at least 1", f.rounds)
	case f.duration <= 0:
		return fmt.Errorf("-duration is %v: want more than 0", f.duration)
	case f.connections < 1:
		return fmt.Errorf("-connections is %d: want at least 1", f.connections)
	case f.out != "" && (f.rounds < minRounds || f.cases != workload.Names() || f.contenders != strings.Join(contender.Names(), ",")):
		return fmt.Errorf("-out is for a whole run: want all cases, all contenders and at least %d rounds", minRounds)
	default:
		return nil
	}
}

func run(ctx context.Context, args []string) error {
	f, err := parse(args)
	if err != nil {
		return err
	}
	cases, err := findCases(f.cases)
	if err != nil {
		return err
	}
	if f.role != "" {
		return contender.Run(ctx, f.role, contender.Settings{Listen: f.listen, Backend: f.backend, Case: cases[0]})
	}
	return compare(ctx, f, cases)
}

func findCases(names string) ([]workload.Case, error) {
	var cases []workload.Case
	for name := range strings.SplitSeq(names, ",") {
		c, err := workload.Find(name)
		if err != nil {
			return nil, err
		}
		cases = append(cases, c)
	}
	return cases, nil
}

func findContenders(names string) ([]string, error) {
	var found []string
	for name := range strings.SplitSeq(names, ",") {
		known := false
		for _, n := range contender.Names() {
			known = known || n == name
		}
		if !known {
			return nil, fmt.Errorf("no contender %q: want one of %s", name, strings.Join(contender.Names(), ", "))
		}
		found = append(found, name)
	}
	return found, nil
}
