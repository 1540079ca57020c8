package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bench builds the program once and returns how to run it. It must be the
// program itself, because that is what starts itself again.
func bench(t *testing.T) func(args ...string) (stdout, stderr string, err error) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bench")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return func(args ...string) (string, string, error) {
		var stdout, stderr strings.Builder
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		return stdout.String(), stderr.String(), err
	}
}

func TestBench(t *testing.T) {
	run := bench(t)
	t.Run("every case", func(t *testing.T) {
		stdout, stderr, err := run("-contenders", "facade,floor", "-rounds", "1", "-duration", "20ms", "-connections", "2")
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		for _, want := range []string{"| 1 KB response | Generated facade |", "| 85 KB request | Generated facade |", "| 1 KB response, 1,000 routes |", "|  | Floor |", "| gRPC, 1 KB response | Floor |", "| gRPC on the HTTP port, 1 KB response | Floor |"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("no %q in\n%s", want, stdout)
			}
		}
	})
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"unknown case", []string{"-cases", "response-2k"}, `no case "response-2k": want one of response-1k`},
		{"unknown contender", []string{"-contenders", "envoy"}, `no contender "envoy": want one of gatehouse, gatehouse-policies, facade, floor`},
		{"a contender that takes no part", []string{"-contenders", "gatehouse-policies", "-gatehouse", "/nowhere/gatehouse", "-cases", "response-8k"}, "case response-8k: none of the contenders [gatehouse-policies] takes part"},
		{"no round", []string{"-rounds", "0"}, "want at least 1"},
		{"no time", []string{"-duration", "0s"}, "want more than 0"},
		{"half a run is not published", []string{"-out", ".", "-rounds", "3"}, "at least 5 rounds"},
		{"arguments", []string{"fast"}, `argument "fast" is too much`},
		{"unknown role", []string{"-role", "referee"}, `no role "referee"`},
		{"contender missing", []string{"-gatehouse", "/nowhere/gatehouse"}, "start gatehouse"},
		{"policies that are not in force", []string{"-contenders", "gatehouse-policies", "-cases", "response-1k", "-rounds", "1", "-duration", "20ms", "-gatehouse", lenient(t)}, "a request without a token is answered with 200, want 401"},
		{"contender that does not serve", []string{"-gatehouse", broken(t)}, "config.yaml:3: no"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stdout, stderr, err := run(tc.args...)
			if err == nil || !strings.Contains(stderr, tc.want) {
				t.Errorf("got %v\n%s%s\nwant %q", err, stdout, stderr, tc.want)
			}
		})
	}
}

// broken is a program in the place of Gatehouse that gives up.
func broken(t *testing.T) string {
	t.Helper()
	return script(t, "echo 'config.yaml:3: no' >&2; exit 1")
}

// lenient is a program in the place of Gatehouse that serves whoever comes: the
// generated facade, where the configuration says, played by who starts it.
func lenient(t *testing.T) string {
	t.Helper()
	return script(t, `listen=$(sed -n 's|^ *http: {address: "\(.*\)"}|\1|p' "$3")
backend=$(sed -n 's|^ *target: "passthrough:///\(.*\)"|\1|p' "$3")
exec /proc/$PPID/exe -role facade -cases response-1k -listen "$listen" -backend "$backend"`)
}

func script(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gatehouse")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}
