//go:build linux

package cluster_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// upgradeBackend answers with what it was asked for, and counts by which
// version of the gateway. A resource's first field is its name, so that a
// StringValue is one on the wire.
type upgradeBackend struct {
	address string
	mu      sync.Mutex
	seen    map[string]int
}

func newUpgradeBackend(t *testing.T) *upgradeBackend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &upgradeBackend{address: l.Addr().String(), seen: map[string]int{}}
	server := grpc.NewServer(grpc.UnknownServiceHandler(b.handle))
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Errorf("the backend ended with %v", err)
		}
	})
	return b
}

func (b *upgradeBackend) handle(_ any, stream grpc.ServerStream) error {
	name := new(wrapperspb.StringValue)
	if err := stream.RecvMsg(name); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	agent := strings.Join(md.Get("user-agent"), " ")
	b.mu.Lock()
	for _, version := range []string{"upgrade-even", "upgrade-odd"} {
		if strings.Contains(agent, version) {
			b.seen[version]++
		}
	}
	b.mu.Unlock()
	return stream.SendMsg(name)
}

func (b *upgradeBackend) calls(version string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen[version]
}

// upgradable is a gateway whose process changes.
type upgradable struct {
	http, grpc string
	admin      string
	pid        int
	kills      bool   // a test kills them
	before     []int  // processes that were replaced, and may not have ended yet
	program    string // the file, whose content is replaced
	config     string
	output     *os.File    // for all processes
	lines      chan upLine // what of their logs is of use
	text       *upgradeText
}

// upLine is a line of a log.
type upLine struct {
	Msg, HTTP, GRPC, Admin, Error string
	PID                           int
}

// upgradeText keeps the logs for a test that fails.
type upgradeText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *upgradeText) add(line []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b.Write(append(line, '\n'))
}

func newUpgradable(t *testing.T, program upgradeProgram, backend string) *upgradable {
	t.Helper()
	adoptOrphans(t)
	dir := t.TempDir()
	g := &upgradable{program: filepath.Join(dir, "gatehouse"), config: filepath.Join(dir, "gatehouse.yaml"), lines: make(chan upLine, 1000), text: new(upgradeText)}
	g.configure(t, upgradeConfig(backend, "127.0.0.1:0"))
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	g.output = in
	read := make(chan struct{})
	go func() {
		defer close(read)
		g.follow(out)
	}()
	t.Cleanup(func() {
		for _, pid := range g.processes(t) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			_, _ = syscall.Wait4(pid, nil, 0, nil)
		}
		_ = in.Close()
		<-read
		if t.Failed() {
			t.Logf("the gateways wrote:\n%s", &g.text.b)
		}
	})
	g.install(t, program)
	return g
}

// upgradeConfig is a configuration in which nothing but the gateway's end or
// beginning can make a call fail.
func upgradeConfig(backend, admin string) string {
	return fmt.Sprintf(`listeners: {http: {address: "127.0.0.1:0"}, grpc: {address: "127.0.0.1:0"}, admin: {address: %q}}
upstreams:
  - {name: shop, target: "passthrough:///%s", schema: {linked: true}}
expose:
  - select: "shop.catalog.v1.*"
    upstream: shop
    policy: {auth: {public: true}, timeout: 30s, rate_limit: [{unlimited: true}], cache: {disabled: true}, retry: {disabled: true}, idempotency: {disabled: true}, breaker: {disabled: true}}
drain: {timeout: 40s}
log: {format: json, access: false}
`, admin, backend)
}

func (g *upgradable) configure(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(g.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startUpgradable starts a gateway on sockets of its own.
func startUpgradable(t *testing.T, program upgradeProgram, backend string) *upgradable {
	t.Helper()
	g := newUpgradable(t, program, backend)
	g.start(t, exec.Command(g.program, "serve", "--config", g.config))
	return g
}

// startActivated starts a gateway on sockets of the test's, in the way of systemd.
func startActivated(t *testing.T, program upgradeProgram, backend string, sockets []*os.File) *upgradable {
	t.Helper()
	g := newUpgradable(t, program, backend)
	g.restart(t, sockets)
	return g
}

// restart starts a gateway on sockets that were open before. A shell knows the
// number of its process, which becomes the gateway's.
func (g *upgradable) restart(t *testing.T, sockets []*os.File) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=3 LISTEN_FDNAMES=http:grpc:admin exec "$0" serve --config "$1"`, g.program, g.config)
	cmd.ExtraFiles = sockets
	g.start(t, cmd)
}

func (g *upgradable) start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stdout, cmd.Stderr = g.output, g.output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g.pid = cmd.Process.Pid
	_ = cmd.Process.Release() // waited for by number, as its successors are
	line := g.line(t, "serving")
	g.http, g.grpc, g.admin = line.HTTP, line.GRPC, line.Admin
}

// openUpgradeSockets opens three listening sockets for gateways to share.
func openUpgradeSockets(t *testing.T) []*os.File {
	t.Helper()
	var files []*os.File
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		_ = l.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		files = append(files, f)
	}
	return files
}

// follow reads all that the gateways write, to the end.
func (g *upgradable) follow(out io.ReadCloser) {
	defer func() { _ = out.Close() }()
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		g.text.add(scanner.Bytes())
		var line upLine
		if json.Unmarshal(scanner.Bytes(), &line) != nil || line.Msg == "" {
			continue
		}
		select {
		case g.lines <- line:
		default: // nobody reads any more
		}
	}
}

// stays is what a gateway says that was not replaced.
const stays = "no new gateway has taken over: this one stays in service"

// line waits for a message.
func (g *upgradable) line(t *testing.T, msg string) upLine {
	t.Helper()
	late := time.After(upgradePatience)
	for {
		select {
		case line := <-g.lines:
			if line.Msg == msg {
				return line
			}
			if line.Msg == stays {
				t.Fatalf("waiting for %q: %s: %s", msg, line.Msg, line.Error)
			}
		case <-late:
			t.Fatalf("no gateway said %q within %v", msg, upgradePatience)
		}
	}
}

// install puts another program in the place of the file, at once.
func (g *upgradable) install(t *testing.T, program upgradeProgram) {
	t.Helper()
	beside := g.program + ".new"
	upgradeRun(t, ".", "cp", program.path, beside)
	if err := os.Rename(beside, g.program); err != nil {
		t.Fatal(err)
	}
}

// upgrade has the gateway replaced. The old process ends later, see replaced.
func (g *upgradable) upgrade(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(g.pid, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	g.before = append(g.before, g.pid)
	g.pid = g.line(t, "the new gateway has taken over").PID
}

// replaced waits for the processes that were replaced, which must end well.
func (g *upgradable) replaced(t *testing.T) {
	t.Helper()
	for _, pid := range g.before {
		wantEndedWell(t, pid)
	}
	g.before = nil
	g.text.mu.Lock()
	defer g.text.mu.Unlock()
	if bytes.Contains(g.text.b.Bytes(), []byte("the new gateway has ended: this one serves again")) && !g.kills {
		t.Error("a gateway that was replaced serves again")
	}
}

// terminate ends the gateway, once those before it have ended: until then one of them
// is its parent.
func (g *upgradable) terminate(t *testing.T) {
	t.Helper()
	g.replaced(t)
	if err := syscall.Kill(g.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wantEndedWell(t, g.pid)
}

func wantEndedWell(t *testing.T, pid int) {
	t.Helper()
	if status := upgradeEnd(t, pid); !status.Exited() || status.ExitStatus() != 0 {
		t.Fatalf("the old gateway ended with %#x", int(status))
	}
}

// upgradeEnd waits for the end of a process.
func upgradeEnd(t *testing.T, pid int) (status syscall.WaitStatus) {
	t.Helper()
	upgradeEventually(t, "the end of the old gateway", func() bool {
		got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
		if err == syscall.ECHILD && syscall.Kill(pid, 0) == syscall.ESRCH {
			return true // the gateway before it has waited for it, and says if it did not end well
		}
		if err != nil && err != syscall.EINTR && err != syscall.ECHILD {
			t.Fatalf("wait for %d: %v", pid, err)
		}
		return got == pid
	})
	return status
}

// processes are those that were started with the configuration.
func (g *upgradable) processes(t *testing.T) []int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, file := range all {
		args, err := os.ReadFile(file)
		if err == nil && bytes.Contains(args, []byte(g.config)) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// adoptOrphans makes this process the parent of what its children leave behind,
// so that it can wait for them (PR_SET_CHILD_SUBREAPER, prctl(2)).
func adoptOrphans(t *testing.T) {
	t.Helper()
	const subreaper = 36
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, subreaper, 1, 0); errno != 0 {
		t.Fatal(errno)
	}
}

func upgradeRun(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

func upgradeEventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(upgradePatience); !ok(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("never came: %s", what)
		}
	}
}
