package browser_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// binary is the product, which TestMain makes room for and the first test builds.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gatehouse-browser-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "gatehouse")
	return m.Run()
}

var build = sync.OnceValue(func() error {
	c := exec.Command("go", "build", "-o", binary, "./cmd/gatehouse")
	c.Dir = "../.."
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, text)
	}
	return nil
})

// gateway is a gateway that runs.
type gateway struct {
	http, admin string // URLs
	config      string // a file; only of a demo
}

var (
	serving    = regexp.MustCompile(`msg=serving http=(\S+) grpc=\S+ admin=(\S+)`)
	configured = regexp.MustCompile(`explain --config (\S+)`)
)

// start runs the product on free ports until the end of the test.
func start(t *testing.T, command ...string) *gateway {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(binary, append(command, "--http=127.0.0.1:0", "--grpc=127.0.0.1:0", "--admin=127.0.0.1:0")...)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = in, in
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	lines, read := bufio.NewScanner(out), make(chan struct{})
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		<-read
		_ = c.Wait()
	})
	g := new(gateway)
	for log := ""; g.http == "" || command[0] == "demo" && g.config == ""; {
		if !lines.Scan() {
			close(read)
			t.Fatalf("gatehouse %s ended:\n%s", strings.Join(command, " "), log)
		}
		log += lines.Text() + "\n"
		if m := serving.FindStringSubmatch(lines.Text()); m != nil {
			g.http, g.admin = "http://"+m[1], "http://"+m[2]
		}
		if m := configured.FindStringSubmatch(lines.Text()); m != nil {
			g.config = m[1]
		}
	}
	go func() { // what it logs is read to the end, so that it can go on
		defer close(read)
		_, _ = io.Copy(io.Discard, out)
		out.Close()
	}()
	return g
}
