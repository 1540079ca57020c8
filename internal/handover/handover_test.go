//go:build unix

package handover_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/handover"
)

// patience is never waited out by a test that passes.
const patience = 20 * time.Second

func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.(*net.TCPListener)
}

func file(t *testing.T, l *net.TCPListener) *os.File {
	t.Helper()
	f, err := handover.File(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// ask is what the next connection to l is told.
func ask(t *testing.T, l net.Listener) string {
	t.Helper()
	c, err := net.DialTimeout("tcp", l.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	text, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// activated starts the server as systemd does: with LISTEN_PID, which only a
// shell can know, and the sockets. It returns all that the server wrote.
func activated(t *testing.T, env []string, sockets ...*os.File) *bytes.Buffer {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=${PID:-$$} exec "$0"`, os.Args[0])
	cmd.Env = append(append(os.Environ(), roleEnv+"=server", fmt.Sprintf("LISTEN_FDS=%d", len(sockets))), env...)
	cmd.ExtraFiles = sockets
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		_ = cmd.Wait() // the exit code is in what it wrote
	})
	return out
}

// TestActivation: sockets are found by their names, and by their addresses where
// the names mean nothing.
func TestActivation(t *testing.T) {
	t.Parallel()
	for name, names := range map[string]string{
		"by name": "LISTEN_FDNAMES=grpc:http", "by address": "LISTEN_FDNAMES=", "by address under names of units": "LISTEN_FDNAMES=a.socket:b.socket",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			web, native := listen(t), listen(t)
			env := []string{names, "HTTP_ADDRESS=" + web.Addr().String(), "GRPC_ADDRESS=" + native.Addr().String()}
			activated(t, env, file(t, native), file(t, web))
			for l, want := range map[net.Listener]string{web: "http", native: "grpc"} {
				if got := ask(t, l); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

// TestActivationMistakes: each is told with what would be right.
func TestActivationMistakes(t *testing.T) {
	t.Parallel()
	web := listen(t)
	at := web.Addr().String()
	plain, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Close() })
	for _, tc := range []struct {
		name   string
		env    []string
		socket *os.File
		want   []string
	}{
		{"another address", []string{"LISTEN_FDNAMES=http", "HTTP_ADDRESS=127.0.0.1:1"}, file(t, web), []string{at, "127.0.0.1:1", "listeners.http.address", "ListenStream="}},
		{"no such listener", []string{"LISTEN_FDNAMES=web", "HTTP_ADDRESS=127.0.0.1:1"}, file(t, web), []string{`"web"`, at, "FileDescriptorName=", "http, grpc, admin"}},
		{"listener that is off", []string{"LISTEN_FDNAMES=grpc"}, file(t, web), []string{`"grpc"`, at}},
		{"no socket", []string{"LISTEN_FDNAMES=http", "HTTP_ADDRESS=" + at}, plain, []string{"file descriptor 3", "no listening socket"}},
		{"no number", []string{"LISTEN_FDS=many"}, file(t, web), []string{`LISTEN_FDS="many"`}},
		{"meant for another", []string{"PID=1", "LISTEN_FDNAMES=http", "HTTP_ADDRESS=" + at}, file(t, web), []string{"nothing for http"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var out *bytes.Buffer
			t.Run("started", func(t *testing.T) { out = activated(t, tc.env, tc.socket) })
			for _, want := range tc.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("does not say %q: %s", want, out)
				}
			}
		})
	}
}

// program is the test binary in a role.
func program(role string, env ...string) *handover.Program {
	return &handover.Program{Path: os.Args[0], Env: append(append(os.Environ(), roleEnv+"="+role), env...)}
}

// TestReplace: the new process has the sockets, and the old one's listener ends
// without harm to them, what nobody has accepted included.
func TestReplace(t *testing.T) {
	t.Parallel()
	web, native := listen(t), listen(t)
	accepting := make(chan error, 1)
	go func() {
		_, err := native.Accept()
		accepting <- err
	}()
	p := program("server", "HTTP_ADDRESS="+web.Addr().String(), "GRPC_ADDRESS="+native.Addr().String())
	waiting, err := net.Dial("tcp", web.Addr().String()) // nobody accepts it here
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	next, err := p.Replace(t.Context(), []handover.Socket{{Name: "http", File: file(t, web)}, {Name: "grpc", File: file(t, native)}})
	if err != nil {
		t.Fatal(err)
	}
	if next.PID == 0 || next.PID == os.Getpid() {
		t.Errorf("the process is %d", next.PID)
	}
	_ = web.Close()
	_ = native.Close()
	if err := <-accepting; err == nil {
		t.Error("accepted what nobody has sent")
	}
	_ = waiting.SetDeadline(time.Now().Add(patience))
	if got, err := io.ReadAll(waiting); string(got) != "http" || err != nil {
		t.Errorf("what waited was told %q, %v", got, err)
	}
	if got := ask(t, native); got != "grpc" {
		t.Errorf("got %q", got)
	}
	if err := <-next.Ended; err != nil {
		t.Errorf("the new process ended with %v", err)
	}
}

// TestReplaceAtAnotherAddress: a gateway whose configuration has changed opens
// what it needs, and leaves what it does not.
func TestReplaceAtAnotherAddress(t *testing.T) {
	t.Parallel()
	web, native := listen(t), listen(t)
	p := program("server", "HTTP_ADDRESS=127.0.0.1:1", "GRPC_ADDRESS=127.0.0.1:0") // 0 is any
	next, err := p.Replace(t.Context(), []handover.Socket{{Name: "http", File: file(t, web)}, {Name: "grpc", File: file(t, native)}})
	if err != nil {
		t.Fatal(err)
	}
	_ = native.Close()
	if got := ask(t, native); got != "grpc" {
		t.Errorf("got %q", got)
	}
	if err := <-next.Ended; err != nil {
		t.Errorf("the new process ended with %v", err)
	}
}

// TestGiverKilled: a process has the sockets that it was given also if the one that
// gave them is gone before it can look.
func TestGiverKilled(t *testing.T) {
	t.Parallel()
	web := listen(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=giver")
	cmd.ExtraFiles = []*os.File{file(t, web)}
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = web.Close() // but for the test's copy, which keeps what connects waiting
	if got := ask(t, web); got != "http" {
		t.Errorf("got %q", got)
	}
	if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" { // also waits for the heir, which has its output
		t.Errorf("the giver ended with %v: %s", err, out)
	}
}

// TestTakeBack: the sockets of a process that has ended serve on, those that it had
// taken.
func TestTakeBack(t *testing.T) {
	t.Parallel()
	web, native := listen(t), listen(t)
	p := program("server", "HTTP_ADDRESS="+web.Addr().String())
	next, err := p.Replace(t.Context(), []handover.Socket{{Name: "http", File: file(t, web)}, {Name: "grpc", File: file(t, native)}})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Sockets.Close()
	_, _ = web.Close(), native.Close()
	if got := ask(t, web); got != "http" {
		t.Errorf("got %q", got)
	}
	if err := <-next.Ended; err != nil {
		t.Errorf("the new process ended with %v", err)
	}
	if l, err := next.Sockets.Take("grpc", ""); l != nil || err != nil {
		t.Errorf("a socket that the new process did not take was kept: %v %v", l, err)
	}
	again, err := next.Sockets.Take("http", "")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := next.Sockets.Rest(); err != nil {
		t.Fatal(err)
	}
	go func() {
		if c, err := again.Accept(); err == nil {
			_, _ = io.WriteString(c, "again")
			_ = c.Close()
		}
	}()
	if got := ask(t, web); got != "again" {
		t.Errorf("got %q", got)
	}
}

// TestLeft: a successor that has been replaced itself may end in any way.
func TestLeft(t *testing.T) {
	t.Parallel()
	next, err := program("leaving").Replace(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-next.Ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

// TestAskedToEnd: who ends a successor does not want its predecessor back.
func TestAskedToEnd(t *testing.T) {
	t.Parallel()
	for signal, asked := range map[syscall.Signal]bool{syscall.SIGTERM: true, syscall.SIGINT: true, syscall.SIGKILL: false} {
		web := listen(t)
		next, err := program("server", "HTTP_ADDRESS="+web.Addr().String()).Replace(t.Context(), []handover.Socket{{Name: "http", File: file(t, web)}})
		if err != nil {
			t.Fatal(err)
		}
		next.Sockets.Close()
		if err := syscall.Kill(next.PID, signal); err != nil {
			t.Fatal(err)
		}
		if err := <-next.Ended; (err == nil) != asked {
			t.Errorf("%v: ended with %v", signal, err)
		}
	}
}

// TestReplaceFails: the error says why, and the new process is gone.
func TestReplaceFails(t *testing.T) {
	t.Parallel()
	missing := &handover.Program{Path: os.Args[0] + ".nowhere"}
	impatient := program("stubborn")
	impatient.Patience = 200 * time.Millisecond
	for _, tc := range []struct {
		name, want string
		program    *handover.Program
	}{
		{"it says why", "the new gateway says: gatehouse.yaml:1:1: a mistake; and another", program("failing")},
		{"it ends", "the new gateway ended without a word: exit status 3", program("mute")},
		{"it is not ready in time", "the new gateway was not ready within 200ms", impatient},
		{"it is no gateway", `the new gateway says "hello": want "ready"`, program("talkative")},
		{"it is not there", "the new gateway cannot be started: ", missing},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			next, err := tc.program.Replace(t.Context(), nil)
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Fatalf("got %v, %v; want %q", next, err, tc.want)
			}
		})
	}
}

// TestReplaceLeavesListener: to pass a socket on does not make it block, upon
// which an Accept would not end with its listener.
func TestReplaceLeavesListener(t *testing.T) {
	t.Parallel()
	l := listen(t)
	if next, err := program("mute").Replace(t.Context(), []handover.Socket{{Name: "http", File: file(t, l)}}); err == nil {
		t.Fatalf("replaced by %v", next)
	}
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
		if errno != 0 || flags&syscall.O_NONBLOCK == 0 {
			t.Errorf("the listener blocks: flags %#x, %v", flags, errno)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestReplaceGivenUp: who is asked to end meanwhile starts nobody.
func TestReplaceGivenUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if next, err := program("stubborn").Replace(ctx, nil); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Fatalf("got %v, %v", next, err)
	}
}

// TestSelf: the file is what was called, wherever it is called from.
func TestSelf(t *testing.T) {
	self, err := handover.Self()
	if err != nil {
		t.Fatal(err)
	}
	a, err := os.Stat(self.Path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.Stat(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(a, b) || !strings.HasPrefix(self.Path, "/") || len(self.Args) != len(os.Args)-1 {
		t.Errorf("got %q %q", self.Path, self.Args)
	}
}

// TestNotify: systemd hears one datagram of lines.
func TestNotify(t *testing.T) {
	name := fmt.Sprintf("%s/notify", t.TempDir())
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	if err := handover.Notify(handover.MainPID(42), handover.NotifyReady); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	n, err := l.Read(got)
	if err != nil || string(got[:n]) != "MAINPID=42\nREADY=1" {
		t.Errorf("got %q, %v", got[:n], err)
	}
	t.Setenv("NOTIFY_SOCKET", name+".nowhere")
	if err := handover.Notify(handover.NotifyReady); err == nil || !strings.Contains(err.Error(), "NOTIFY_SOCKET") {
		t.Errorf("got %v", err)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := handover.Notify(handover.NotifyReady); err != nil {
		t.Errorf("without systemd: %v", err)
	}
}
