//go:build linux

package cluster_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFailedUpgrade: a gateway whose successor cannot serve stays in service,
// says why, and can be asked again. systemd hears of it only what is so.
func TestFailedUpgrade(t *testing.T) {
	b := newUpgradeBackend(t)
	programs := buildUpgradePrograms(t)
	told := listenAsSystemd(t)
	g := newUpgradable(t, programs[0], b.address)
	cmd := exec.Command(g.program, "serve", "--config", g.config)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+told.path)
	g.start(t, cmd)
	told.want(t, "READY=1")
	first := g.pid

	g.configure(t, "upstreams: none\n")
	g.fail(t, "the new gateway says: ", "gatehouse.yaml:1:")
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexit 7\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	g.install(t, upgradeProgram{path: script})
	g.fail(t, "the new gateway ended without a word: exit status 7")

	free := upgradeFreeAddress(t)
	g.configure(t, upgradeConfig(b.address, free))
	g.install(t, programs[1])
	g.upgrade(t)
	told.want(t, "MAINPID="+strconv.Itoa(g.pid), "READY=1")
	if err := upgradeOnce(t, g, 1); err != nil {
		t.Error(err)
	}
	if b.calls(programs[1].version) != 1 || g.pid == first {
		t.Errorf("the new gateway, %d, had %d calls", g.pid, b.calls(programs[1].version))
	}
	resp, err := http.Get("http://" + free + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != 200 {
		t.Errorf("the admin listener at its new address answers %d", resp.StatusCode)
	}
	g.terminate(t)
	told.want(t, "STOPPING=1")
}

// fail asks for an upgrade that must fail, with a reason.
func (g *upgradable) fail(t *testing.T, reasons ...string) {
	t.Helper()
	if err := syscall.Kill(g.pid, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	late := time.After(upgradePatience)
	for {
		select {
		case line := <-g.lines:
			if line.Msg != stays {
				continue
			}
			for _, reason := range reasons {
				if !strings.Contains(line.Error, reason) {
					t.Errorf("does not say %q: %s", reason, line.Error)
				}
			}
		case <-late:
			t.Fatal("the gateway did not say that it stays")
		}
		break
	}
	if err := upgradeOnce(t, g, 0); err != nil {
		t.Errorf("after an upgrade that failed: %v", err)
	}
	if others := g.processes(t); !slices.Equal(others, []int{g.pid}) {
		t.Errorf("the processes are %v, want only %d", others, g.pid)
	}
}

// upgradeOnce makes one call.
func upgradeOnce(t *testing.T, g *upgradable, n int) error {
	ctx, cancel := context.WithTimeout(t.Context(), upgradePatience)
	defer cancel()
	return (&upgradeClient{n: n}).http(ctx, g.http, 0)
}

// systemd is what a service tells its state.
type systemd struct {
	path string
	told chan string
}

func listenAsSystemd(t *testing.T) *systemd {
	t.Helper()
	s := &systemd{path: filepath.Join(t.TempDir(), "notify"), told: make(chan string, 100)}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 1000); ; {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			s.told <- string(b[:n])
		}
	}()
	t.Cleanup(func() {
		_ = c.Close()
		<-done
	})
	return s
}

// want waits for messages, and none between them.
func (s *systemd) want(t *testing.T, messages ...string) {
	t.Helper()
	for _, want := range messages {
		select {
		case got := <-s.told:
			if got != want {
				t.Errorf("systemd was told %q, want %q", got, want)
			}
		case <-time.After(upgradePatience):
			t.Fatalf("systemd was not told %q", want)
		}
	}
}

func upgradeFreeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
