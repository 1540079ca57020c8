package e2e_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// redisServer is a real Redis in a process of its own, empty at each start.
type redisServer struct {
	address string
	cmd     *exec.Cmd // nil while it does not run
}

// startRedis starts a Redis on a free port and ends it with the test.
func startRedis(t *testing.T) *redisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("this test needs redis-server: apt-get install redis-server, or brew install redis")
	}
	for range 5 { // another process may take the free port first
		r := &redisServer{address: freeAddress(t)}
		t.Cleanup(r.kill)
		if said, ok := r.start(t); !ok {
			t.Logf("redis-server did not start:\n%s", said)
			continue
		}
		return r
	}
	t.Fatal("redis-server did not start on any port")
	return nil
}

// restart starts a Redis that was killed, on the same port.
func (r *redisServer) restart(t *testing.T) {
	t.Helper()
	if said, ok := r.start(t); !ok {
		t.Fatalf("redis-server did not start again on %s:\n%s", r.address, said)
	}
}

// kill ends Redis as a crash would.
func (r *redisServer) kill() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait() // says that it was killed
	r.cmd = nil
}

// freeze has Redis keep its connections and say nothing, until it is thawed. It
// returns when Redis has stopped.
func (r *redisServer) freeze(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(r.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("redis-server did not stop: %v, %v", status, err)
	}
}

func (r *redisServer) thaw(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// start returns what Redis said, and whether that was that it is ready.
func (r *redisServer) start(t *testing.T) (string, bool) {
	t.Helper()
	host, port, err := net.SplitHostPort(r.address)
	if err != nil {
		t.Fatal(err)
	}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.cmd = exec.Command("redis-server", "--bind", host, "--port", port, "--dir", t.TempDir(), "--save", "", "--appendonly", "no")
	r.cmd.Stdout, r.cmd.Stderr = in, in
	err = r.cmd.Start()
	_ = in.Close()
	if err != nil {
		t.Fatal(err)
	}
	_ = out.SetReadDeadline(time.Now().Add(startLimit))
	said, ok := untilReady(out)
	if !ok {
		r.kill()
		_ = out.Close()
		return said, false
	}
	_ = out.SetReadDeadline(time.Time{})
	go func() { // until it ends, so that it can say what it likes
		_, _ = io.Copy(io.Discard, out)
		_ = out.Close()
	}()
	return said, true
}

func untilReady(out io.Reader) (string, bool) {
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			return said.String(), true
		}
	}
	return said.String(), false
}
