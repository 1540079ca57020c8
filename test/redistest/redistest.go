// Package redistest runs a real Redis for a test: one of its own, on a free port
// of the loopback interface, that keeps nothing and ends with the test.
package redistest

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// patience bounds how long a server may take to start.
	patience = 20 * time.Second
	// ready is what a server says when it takes connections.
	ready = "Ready to accept connections"
	// tries is how many ports are tried: one that was free may be taken by
	// another test before the server has it.
	tries = 5
)

// Server is a redis-server. Its methods belong to the test's goroutine.
type Server struct {
	Addr string // "127.0.0.1:port"; stays the same over Restart

	tb   testing.TB
	args []string
	run  *run // nil while it is dead
}

// Start starts a server with the given arguments beside its own, such as
// "--requirepass", "secret". It fails the test where there is no redis-server.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		tb.Fatal("this test needs a redis-server: install it with `apt-get install redis-server`")
	}
	s := &Server{tb: tb, args: args}
	tb.Cleanup(s.Kill)
	for try := 1; ; try++ {
		s.Addr = freeAddr(tb)
		if s.start() {
			return s
		}
		if try == tries {
			tb.Fatalf("redis-server does not start:\n%s", s.run.output())
		}
	}
}

// Kill ends the server at once, as a crash would. What it held is lost.
func (s *Server) Kill() {
	if s.run == nil {
		return
	}
	_ = s.run.cmd.Process.Kill() // it may have ended by itself
	<-s.run.ended
	s.run = nil
}

// Restart starts the server again, empty, on the same port, and returns when it
// takes connections.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Kill()
	if !s.start() {
		s.tb.Fatalf("redis-server does not start again on %s:\n%s", s.Addr, s.run.output())
	}
}

// Freeze stops the process: it keeps its connections and answers nothing. It
// returns when the process has stopped.
func (s *Server) Freeze() {
	s.tb.Helper()
	s.signal(syscall.SIGSTOP)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(s.run.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		s.tb.Fatalf("redis-server did not stop: %v, %v", status, err)
	}
}

// Thaw lets a process that is frozen go on.
func (s *Server) Thaw() {
	s.tb.Helper()
	s.signal(syscall.SIGCONT)
}

func (s *Server) signal(what syscall.Signal) {
	s.tb.Helper()
	if err := s.run.cmd.Process.Signal(what); err != nil {
		s.tb.Fatal(err)
	}
}

// Do sends a command, such as "CONFIG SET maxmemory 1", and returns the first line
// of the answer. An error fails the test.
func (s *Server) Do(command string) string {
	s.tb.Helper()
	conn, err := new(net.Dialer).DialContext(s.tb.Context(), "tcp", s.Addr)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(command + "\r\n")); err != nil {
		s.tb.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || strings.HasPrefix(line, "-") {
		s.tb.Fatalf("%s: redis answered %q, %v", command, line, err)
	}
	return strings.TrimSpace(line)
}

// start reports whether the server came to take connections on Addr.
func (s *Server) start() bool {
	s.tb.Helper()
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		s.tb.Fatal(err)
	}
	args := append([]string{
		"--bind", host, "--port", port, "--dir", s.tb.TempDir(),
		"--save", "", "--appendonly", "no", "--daemonize", "no",
	}, s.args...)
	cmd := exec.CommandContext(context.Background(), "redis-server", args...)
	s.run = &run{cmd: cmd, ready: make(chan struct{}), ended: make(chan struct{})}
	s.run.cmd.Stdout = s.run // the one writer: what it says is told as it comes
	if err := s.run.cmd.Start(); err != nil {
		s.run = nil
		s.tb.Fatalf("redis-server: %v", err)
	}
	go s.run.wait()
	select {
	case <-s.run.ready:
		return true
	case <-s.run.ended:
		return false
	case <-time.After(patience):
		return false
	}
}

// run is one process.
type run struct {
	cmd          *exec.Cmd
	ready, ended chan struct{}

	mu   sync.Mutex
	said bytes.Buffer
	told bool
}

func (r *run) wait() {
	_ = r.cmd.Wait() // tells that it was killed
	close(r.ended)
}

func (r *run) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said.Write(p)
	if !r.told && bytes.Contains(r.said.Bytes(), []byte(ready)) {
		r.told = true
		close(r.ready)
	}
	return len(p), nil
}

func (r *run) output() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.String()
}

// freeAddr is an address that nobody listens on now.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
