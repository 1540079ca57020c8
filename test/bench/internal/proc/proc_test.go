package proc_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/proc"
)

func start(t *testing.T, script string, args ...string) *proc.Process {
	t.Helper()
	p, err := proc.Start("spinner", filepath.Join(t.TempDir(), "out"), "/bin/sh", append([]string{"-c", script}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

func TestAccounting(t *testing.T) {
	ready := fifo(t)
	p := start(t, `i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo ready >"$0"; read x <"$0"`, ready)
	if _, err := os.ReadFile(ready); err != nil { // returns when the loop is done
		t.Fatal(err)
	}
	cpu, err := p.CPU()
	if err != nil || cpu <= 0 {
		t.Errorf("CPU() = %v, %v, want more than 0", cpu, err)
	}
	peak, err := p.Peak()
	if err != nil || peak < 100<<10 || peak > 1<<30 {
		t.Errorf("Peak() = %v, %v, want the size of a shell", peak, err)
	}
	p.Stop()
	if _, err := p.Peak(); err == nil {
		t.Error("Peak of a program that has ended is no error")
	}
}

func TestErrorsTellTheLastWords(t *testing.T) {
	p := start(t, `echo first; echo "cannot listen" >&2; exit 1`)
	<-p.Done()
	err := p.Errorf("not ready")
	for _, want := range []string{"spinner: not ready", "cannot listen"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestStartSaysWhatIsMissing(t *testing.T) {
	_, err := proc.Start("spinner", filepath.Join(t.TempDir(), "out"), "/nowhere/program")
	if err == nil || !strings.Contains(err.Error(), "start spinner") {
		t.Errorf("got %v, want an error naming the program", err)
	}
}

func TestParseMemory(t *testing.T) {
	for _, tc := range []struct {
		name, status string
		want         int64
		fails        bool
	}{
		{"plain", "Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t    2240 kB\nVmRSS:\t 1 kB\n", 2240 << 10, false},
		{"ended", "Name:\tx\nState:\tZ (zombie)\n", 0, true},
		{"other unit", "VmHWM:\t 2 MB\n", 0, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := proc.ParseMemory([]byte(tc.status), "VmHWM")
			if got != tc.want || (err != nil) != tc.fails {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}

func TestAwait(t *testing.T) {
	notYet := errors.New("not yet")
	t.Run("until it serves", func(t *testing.T) {
		p, asked := start(t, "cat "+fifo(t)), 0
		err := p.Await(t.Context(), time.Minute, time.Millisecond, func(context.Context) error {
			if asked++; asked < 3 {
				return notYet
			}
			return nil
		})
		if err != nil || asked != 3 {
			t.Errorf("got %v after asking %d times", err, asked)
		}
	})
	t.Run("until it ends", func(t *testing.T) {
		p := start(t, "exit 3")
		err := p.Await(t.Context(), time.Minute, time.Millisecond, func(context.Context) error { return notYet })
		if err == nil || !strings.Contains(err.Error(), "exit status 3") {
			t.Errorf("got %v, want one that tells how it ended", err)
		}
	})
	t.Run("until the time is over", func(t *testing.T) {
		p := start(t, "cat "+fifo(t))
		err := p.Await(t.Context(), 10*time.Millisecond, time.Millisecond, func(context.Context) error { return notYet })
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, notYet) {
			t.Errorf("got %v, want that the time is over and what was said last", err)
		}
	})
}

// fifo makes a pipe that a program can wait on.
func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
