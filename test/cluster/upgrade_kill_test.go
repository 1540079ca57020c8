//go:build linux

package cluster_test

import (
	"flag"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"
)

var kills = flag.Int("kills", 0, "how many processes TestKilledWhileHandingOver kills; 0 takes 2, or 24 in the long tests")

// killWithin is the time in which a process is killed after a hand-over has begun. An
// old process stays for longer than that.
const killWithin = 3 * time.Second

// TestKilledWhileHandingOver kills one of the two processes of a hand-over at a random
// moment (SIGKILL), again and again while new connections arrive. Whichever it is, the
// other serves: no connection is refused, none waits for ever, and no call is lost but
// those on connections that were there when the process was killed.
//
// The old process may be killed before the new one has looked at what it was given,
// the new one before, while and after it takes over.
func TestKilledWhileHandingOver(t *testing.T) {
	n, rate := *kills, 200
	if n == 0 {
		n = 2
		if long() {
			n = 24
		}
	}
	b := newUpgradeBackend(t)
	programs := buildUpgradePrograms(t)
	g := startUpgradable(t, programs[0], b.address)
	g.kills = true
	load := startUpgradeLoad(t, g, rate, 0)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	count := map[string]int{}
	for i := range n {
		g.install(t, programs[(i+1)%2])
		after, victim := time.Duration(random.Int64N(int64(killWithin))), "the old"
		if random.IntN(2) == 0 {
			after /= 20 // while the new one begins
		}
		if i%2 == 0 {
			victim = "the new"
		}
		count[victim]++
		t.Logf("%s process is killed after %v", victim, after.Round(time.Millisecond))
		load.killed(g.killOne(t, victim == "the old", after))
		if err := upgradeOnce(t, g, i); err != nil {
			t.Fatalf("the process that is left does not serve: %v", err)
		}
	}
	sum := load.stop(t)
	g.terminate(t)
	t.Logf("%v killed in %v: %s", count, sum.took.Round(time.Millisecond), sum)
}

// killOne begins a hand-over and kills one of its processes. When it returns, the
// other one serves alone.
func (g *upgradable) killOne(t *testing.T, old bool, after time.Duration) upgradeKill {
	t.Helper()
	if err := syscall.Kill(g.pid, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	next := 0
	upgradeEventually(t, "a new process", func() bool {
		for _, pid := range g.processes(t) {
			if pid != g.pid {
				next = pid
			}
		}
		return next != 0
	})
	<-time.After(after)
	victim, left := next, g.pid
	if old {
		victim, left = g.pid, next
	}
	k := upgradeKill{began: time.Now()}
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if old {
		upgradeEnd(t, victim)
	} else {
		upgradeEventually(t, "the end of the new process", func() bool { return syscall.Kill(victim, 0) == syscall.ESRCH }) // its parent has waited for it
	}
	k.dead = time.Now()
	if !old {
		g.anyLine(t, stays, "the new gateway has ended: this one serves again")
	}
	upgradeEventually(t, "one process alone", func() bool { return slices.Equal(g.processes(t), []int{left}) })
	g.pid = left
	return k
}

// anyLine waits for one of some messages.
func (g *upgradable) anyLine(t *testing.T, messages ...string) {
	t.Helper()
	for late := time.After(upgradePatience); ; {
		select {
		case line := <-g.lines:
			if slices.Contains(messages, line.Msg) {
				return
			}
		case <-late:
			t.Fatalf("no gateway said any of %q within %v", messages, upgradePatience)
		}
	}
}
