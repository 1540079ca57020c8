//go:build linux

package cluster_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestUpgradeUnderLoad replaces the program of a gateway again and again while
// new connections arrive: two programs by turns, on the same sockets. None may be
// refused or reset, every call must have its own answer, and every process but
// the last must have ended well.
//
// `make test-cluster` does it 20 times at 2,000 connections a second. A machine
// that is too slow for that has the connections arrive all the same and answers
// later; the rate that was reached is in the log of the test.
func TestUpgradeUnderLoad(t *testing.T) {
	upgrades, rate := 2, 200
	if os.Getenv("GATEHOUSE_CLUSTER") != "" {
		upgrades, rate = 20, 2000
	}
	b := newUpgradeBackend(t)
	programs := buildUpgradePrograms(t)
	g := startUpgradable(t, programs[0], b.address)
	load := startUpgradeLoad(t, g, rate, 16)
	upgradeEventually(t, "calls by the first program", func() bool { return b.calls(programs[0].version) > rate/4 })
	for n := range upgrades {
		next := programs[(n+1)%2]
		before := b.calls(next.version)
		g.install(t, next)
		g.upgrade(t)
		upgradeEventually(t, "calls by the new program", func() bool { return b.calls(next.version) > before+rate/2 })
	}
	sum := load.stop(t)
	g.replaced(t)
	if others := g.processes(t); len(others) != 1 || others[0] != g.pid {
		t.Errorf("the processes are %v, want only %d", others, g.pid)
	}
	g.terminate(t)
	t.Logf("%d upgrades in %v: %s", upgrades, sum.took.Round(time.Millisecond), sum)
}

// TestTerminatedUnderLoad asks a gateway to end whose socket another has as
// well: what has connected to it has its answer, and the next has the rest. No
// client keeps its connection here: on a busy machine more than a second goes by
// between two of its calls, and that is all that it is given.
func TestTerminatedUnderLoad(t *testing.T) {
	rounds, rate := 1, 200
	if os.Getenv("GATEHOUSE_CLUSTER") != "" {
		rounds, rate = 5, 2000
	}
	b := newUpgradeBackend(t)
	program := buildUpgradePrograms(t)[0]
	sockets := openUpgradeSockets(t)
	g := startActivated(t, program, b.address, sockets)
	load := startUpgradeLoad(t, g, rate, 0)
	for range rounds {
		before := b.calls(program.version)
		upgradeEventually(t, "calls", func() bool { return b.calls(program.version) > before+rate/4 })
		// As systemd does it, which keeps the sockets: one ends, then another begins.
		g.terminate(t)
		g.restart(t, sockets)
	}
	sum := load.stop(t)
	g.terminate(t)
	t.Logf("%d restarts on sockets that stay open: %s", rounds, sum)
}

// upgradeProgram is a build of the gateway.
type upgradeProgram struct{ path, version string }

// buildUpgradePrograms builds the gateway twice, so that one can be told from
// the other by what the backend sees.
func buildUpgradePrograms(t *testing.T) [2]upgradeProgram {
	t.Helper()
	dir := t.TempDir()
	var programs [2]upgradeProgram
	for i, version := range []string{"upgrade-even", "upgrade-odd"} {
		programs[i] = upgradeProgram{filepath.Join(dir, version), version}
		upgradeRun(t, filepath.Join("..", ".."), "go", "build", "-ldflags", "-s -w -X main.version="+version, "-o", programs[i].path, "./cmd/gatehouse")
	}
	return programs
}
