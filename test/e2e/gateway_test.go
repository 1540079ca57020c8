package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehouse-dev/gatehouse/test/e2e"
)

var (
	program = flag.String("gatehouse", "", "program of the gateway to test, such as one built with -race; none builds it")
	direct  = flag.Bool("direct", false, "test etcd itself, with no gateway in front: tells a fault of the tests from one of the gateway")
)

// stopLimit bounds how long a gateway without calls takes to end.
const stopLimit = 10 * time.Second

// target is where the tests send their requests.
type target struct {
	http  string // base URL of the REST facade
	grpc  string // host and port
	admin string // base URL of the admin listener
}

// newTarget starts etcd and Gatehouse in front of it, with the configuration
// of examples/etcd.
func newTarget(t *testing.T) target {
	t.Helper()
	etcd := startEtcd(t)
	if *direct {
		return target{http: "http://" + etcd, grpc: etcd}
	}
	return startGateway(t, writeExample(t, etcd)).target
}

// writeExample writes the example's configuration and image, for an etcd at
// the given address, and returns the configuration's path.
func writeExample(t *testing.T, etcd string) string {
	t.Helper()
	const there = "127.0.0.1:2379"
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", "etcd", "gatehouse.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(there)) {
		t.Fatalf("the example does not say where etcd is: want %s", there)
	}
	dir := t.TempDir()
	if err := e2e.WriteImage(filepath.Join(dir, "etcd.binpb")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "gatehouse.yaml")
	text = bytes.ReplaceAll(text, []byte(there), []byte(etcd))
	text = append(text, "\nlog: {format: json}\n"...) // in which the addresses are read
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// gateway is a process of its own.
type gateway struct {
	target
	cmd    *exec.Cmd
	output chan string   // what it wrote, once it has ended
	ended  chan struct{} // closed when it has been waited for
	asked  bool          // to end
	killed bool
}

// startGateway starts `gatehouse serve` on free ports, and ends it with the
// test, which fails unless the gateway ends in good order.
func startGateway(t *testing.T, config string) *gateway {
	t.Helper()
	const free = "127.0.0.1:0"
	cmd := exec.Command(*program, "serve", "--config", config, "--http", free, "--grpc", free, "--admin", free)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = in, in
	err = cmd.Start()
	_ = in.Close()
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{cmd: cmd, output: make(chan string, 1), ended: make(chan struct{})}
	found := make(chan target, 1)
	go func() { g.output <- follow(out, found) }()
	t.Cleanup(func() { g.stop(t) })
	select {
	case g.target = <-found:
	case text := <-g.output:
		g.output <- text // for stop
		t.Fatal("the gateway did not start")
	case <-time.After(startLimit):
		t.Fatalf("the gateway did not say within %v where it serves", startLimit)
	}
	return g
}

// follow reads the gateway's output to its end, and returns it. It looks for
// the line that tells the addresses, since only the gateway knows which ports
// it got.
func follow(out io.ReadCloser, found chan<- target) string {
	defer func() { _ = out.Close() }()
	var all strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
		var entry struct{ Msg, HTTP, GRPC, Admin string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "serving" {
			found <- target{http: "http://" + entry.HTTP, grpc: entry.GRPC, admin: "http://" + entry.Admin}
		}
	}
	return all.String()
}

// terminate asks the gateway to end, as an orchestrator does: once, since a
// second time means at once.
func (g *gateway) terminate() {
	if !g.asked {
		_ = g.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	}
	g.asked = true
}

// kill ends the gateway as a crash would.
func (g *gateway) kill(t *testing.T) {
	t.Helper()
	g.killed = true
	_ = g.cmd.Process.Kill()
	g.stop(t)
}

// stop ends the gateway if it has not been, and wants it to end in good order
// unless it was killed.
func (g *gateway) stop(t *testing.T) {
	t.Helper()
	select {
	case <-g.ended:
		return
	default:
		defer close(g.ended)
	}
	kill := time.AfterFunc(stopLimit, func() { _ = g.cmd.Process.Kill() })
	defer kill.Stop()
	g.terminate()
	text := <-g.output
	if err := g.cmd.Wait(); err != nil && !g.killed {
		t.Errorf("the gateway ended with %v", err)
	}
	if t.Failed() {
		t.Logf("the gateway wrote:\n%s", text)
	}
}

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(withProgram{m})
}

// withProgram builds the gateway's program, once for all tests.
type withProgram struct{ tests *testing.M }

func (w withProgram) Run() int {
	if *direct || *program != "" {
		return w.tests.Run()
	}
	dir, err := os.MkdirTemp("", "gatehouse-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	*program = filepath.Join(dir, "gatehouse")
	build := exec.Command("go", "build", "-o", *program, "./cmd/gatehouse")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the gateway: %v\n%s", err, out)
		return 1
	}
	return w.tests.Run()
}
