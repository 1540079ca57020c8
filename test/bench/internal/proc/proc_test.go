package proc_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

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
	fifo := filepath.Join(t.TempDir(), "ready")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, `i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo ready >"$0"; read x <"$0"`, fifo)
	if _, err := os.ReadFile(fifo); err != nil { // returns when the loop is done
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

func TestParsePeak(t *testing.T) {
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
			got, err := proc.ParsePeak([]byte(tc.status))
			if got != tc.want || (err != nil) != tc.fails {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}
