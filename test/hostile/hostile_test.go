package hostile_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/hostile"
)

var (
	update = flag.Bool("update", false, "write what was measured into docs/SECURITY-MODEL.md")
	known  = flag.Bool("known", false, "play the attacks, too, that are known to succeed")
)

// playLimit bounds one attack.
const playLimit = 2 * time.Minute

// attacks are all, in the order of the table.
func attacks() []hostile.Attack {
	return slices.Concat(unreadAttacks(), streamAttacks(), uploadAttacks(), turnAttacks(), cpuAttacks(), viewAttacks(), keysAttacks(), moreKeysAttacks(), placeAttacks(), waitingAttacks(), processAttacks(), diagnosticsAttacks())
}

var page = filepath.Join("..", "..", "docs", "SECURITY-MODEL.md")

// TestAttacks plays each attack; `make test-hostile` asks for it.
func TestAttacks(t *testing.T) {
	if os.Getenv("GATEHOUSE_HOSTILE") == "" {
		t.Skip("make test-hostile plays the attacks")
	}
	if !hostile.Measurable {
		t.Skip("the gateway can be measured on Linux only")
	}
	binary := build(t)
	outcomes := map[string]hostile.Outcome{}
	for _, a := range attacks() {
		t.Run(a.String(), func(t *testing.T) {
			if a.Known != "" && !*known {
				t.Skip("known to succeed: " + a.Known)
			}
			ctx, cancel := context.WithTimeout(t.Context(), playLimit)
			defer cancel()
			o, err := hostile.Play(ctx, binary, t.TempDir(), a)
			t.Logf("memory %.1f MiB (benign %.1f), CPU %.3f s (benign %.3f, %.1f times), innocents %.1f %% of %d",
				float64(o.Memory)/hostile.MiB, float64(o.BenignMemory)/hostile.MiB, o.CPU, o.BenignCPU, o.Ratio(), 100*o.Innocent, o.InnocentCalls)
			if err != nil {
				t.Fatal(err)
			}
			for _, fault := range a.Faults(o) {
				t.Error(fault)
			}
			if !t.Failed() {
				outcomes[a.String()] = o
			}
		})
	}
	if !*update {
		return
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	updated, err := hostile.Update(string(text), attacks(), outcomes)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(page, []byte(updated), 0o600); err != nil {
		t.Fatal(err)
	}
}

// build builds the gateway, or takes the binary that the environment names.
func build(t *testing.T) string {
	t.Helper()
	if binary := os.Getenv("GATEHOUSE_BINARY"); binary != "" {
		return binary
	}
	binary := filepath.Join(t.TempDir(), "gatehouse")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/gatehouse")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the gateway: %v\n%s", err, out)
	}
	return binary
}

// TestTableIsCurrent wants a row of docs/SECURITY-MODEL.md for each bound of each
// attack, and no others.
func TestTableIsCurrent(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	missing, stale, err := hostile.Missing(string(text), attacks())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range missing {
		t.Errorf("%s has no row %q: play the attack with -update", page, row)
	}
	for _, row := range stale {
		t.Errorf("%s has a row %q, but no attack is so: play the attacks with -update", page, row)
	}
}

func TestAttacksHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range attacks() {
		if seen[a.String()] {
			t.Errorf("two attacks are called %q", a)
		}
		seen[a.String()] = true
		if a.Name == "" || a.Door == "" || a.Promise == "" || a.Play == nil {
			t.Errorf("%q lacks a name, a door, a promise or what it plays", a)
		}
	}
}

// each calls f for 0 to n-1 and returns the first error.
func each(n int, f func(i int) error) error {
	for i := range n {
		if err := f(i); err != nil {
			return fmt.Errorf("%d of %d: %w", i+1, n, err)
		}
	}
	return nil
}

// allAtOnce is each with a goroutine for each call.
func allAtOnce(n int, f func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := f(i); err != nil {
				errs[i] = fmt.Errorf("%d of %d: %w", i+1, n, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// effort bounds how long an attack tries what a gateway may keep it from.
const effort = 3 * time.Second

// tryTo does what may be kept from coming to an end, for a while. What it does ends
// with the attack.
func tryTo(t *hostile.Target, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	late := time.NewTimer(effort)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
	case <-t.Context().Done():
	}
	return nil
}

// reached waits until the backend has so many calls of the RPC, for a while.
func reached(t *hostile.Target, rpc string, calls int) error {
	return tryTo(t, func() error {
		poll := time.NewTicker(10 * time.Millisecond)
		defer poll.Stop()
		for t.Backend.Calls(rpc) < calls && t.Context().Err() == nil {
			<-poll.C
		}
		return nil
	})
}
