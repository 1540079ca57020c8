package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/arena"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/contender"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/proc"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/report"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/workload"
)

// minRounds is how many rounds a published run has at least.
const minRounds = 5

// compare runs the benchmark and writes or prints what came out.
func compare(ctx context.Context, f flags, cases []workload.Case) error {
	contenders, err := findContenders(f.contenders)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return fmt.Errorf("make a folder for the run: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if f.gatehouse == "" && slices.ContainsFunc(contenders, contender.IsGatehouse) {
		f.gatehouse = filepath.Join(dir, "gatehouse")
		if err := proc.Build(ctx, f.gatehouse); err != nil {
			return err
		}
	}
	results, err := arena.Run(ctx, arena.Options{
		Rounds: f.rounds, Duration: f.duration, Connections: f.connections,
		Cases: cases, Contenders: contenders, Gatehouse: f.gatehouse, Dir: dir,
		Progress: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) },
	})
	if err != nil {
		return err
	}
	return publish(f.out, report.Report{
		Machine: machine(), Revision: revision(ctx),
		Rounds: f.rounds, Seconds: f.duration.Seconds(), Connections: f.connections, Cases: results,
	})
}

// publish writes the page and the chart to a folder; without one it prints the
// page.
func publish(out string, r report.Report) error {
	if out == "" {
		return r.Markdown(os.Stdout)
	}
	return errors.Join(
		write(filepath.Join(out, "PERFORMANCE.md"), r.Markdown),
		write(filepath.Join(out, "performance.svg"), r.SVG),
	)
}

func write(file string, content func(io.Writer) error) error {
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return errors.Join(content(f), f.Close())
}

// revision names what was measured.
func revision(ctx context.Context) string {
	name, err := proc.Output(ctx, "", "git", "describe", "--tags", "--always", "--dirty")
	if err != nil {
		return "unknown"
	}
	return name
}

func machine() report.Machine {
	m := report.Machine{
		CPU: "unknown processor", Cores: runtime.NumCPU(), Memory: "unknown memory", Kernel: "of unknown version",
		Go: runtime.Version(), Date: time.Now().UTC().Format(time.DateOnly),
	}
	if name, ok := field("/proc/cpuinfo", "model name"); ok {
		m.CPU = name
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.Memory = fmt.Sprintf("%.0f GiB", float64(info.Totalram)*float64(info.Unit)/(1<<30))
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	return m
}

// field finds the first "name : value" in a file.
func field(file, name string) (string, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(b)) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}
