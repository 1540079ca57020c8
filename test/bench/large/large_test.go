package main_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLarge holds the memory of the released binary with a large public API to its
// bound. How long it takes to load depends on the machine, and is only printed.
func TestLarge(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "large")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, tc := range []struct {
		name string
		args []string
		want string // "" for success
	}{
		{"within the bound", []string{"-settle", "2s", "-most", "275"}, ""},
		{"over a bound", []string{"-settle", "0s", "-most", "10", "-rpcs", "150", "-bindings", "200", "-files", "300"}, "want at most 10"},
		{"arguments", []string{"fast"}, `argument "fast" is too much`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), binary, tc.args...).CombinedOutput()
			t.Logf("%s", out)
			if (err != nil) != (tc.want != "") || !strings.Contains(string(out), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
