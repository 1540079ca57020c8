package docs_test

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
	"time"
)

// bin holds the binaries that the tests run. TestMain makes and removes it.
var bin string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if bin, err = os.MkdirTemp("", "gatehouse-docs-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	return m.Run()
}

// built compiles the binaries, once: the product's from its own module, and
// grpcurl in the version that this module pins.
var built = sync.OnceValue(func() error {
	if err := goBuild(root, "./cmd/gatehouse", bin+"/gatehouse"); err != nil {
		return err
	}
	return goBuild(".", "github.com/fullstorydev/grpcurl/cmd/grpcurl", bin+"/grpcurl")
})

func goBuild(dir, pkg, out string, flags ...string) error {
	c := exec.Command("go", append(append([]string{"build", "-o", out}, flags...), pkg)...)
	c.Dir = dir
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, text)
	}
	return nil
}

// shell runs a command line in dir as a reader of the page would in a terminal,
// and returns what it shows. curl shows its progress only where its output is
// not a terminal; that is turned off.
func shell(t *testing.T, dir, line string) (string, error) {
	t.Helper()
	if err := built(); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte("silent\nshow-error\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "sh", "-c", line)
	c.Dir = dir
	c.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "CURL_HOME="+home)
	out, err := c.CombinedOutput()
	return string(out), err
}

// process is a running gateway.
type process struct {
	http, grpc, admin string // where it listens
	greeting          string // what it printed until it was ready
}

var serving = regexp.MustCompile(`msg=serving http=(\S+) grpc=(\S+) admin=(\S+)`)

// start runs a gateway's binary on free ports, waits until it has printed a
// line with ready in it, and ends it with the test, when it must exit with 0.
func start(t *testing.T, dir, binary, ready string, args ...string) *process {
	t.Helper()
	if err := built(); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(binary, append(args, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0")...)
	c.Dir = dir
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = in, in
	err = c.Start()
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	printed := make(chan string)
	t.Cleanup(func() { stop(t, c, printed) })
	go follow(out, ready, printed)
	return readyProcess(t, printed)
}

// follow sends what is printed up to ready, and what comes after it at the end.
func follow(out io.ReadCloser, ready string, printed chan<- string) {
	defer close(printed)
	defer out.Close()
	var text strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		if ready != "" && strings.Contains(lines.Text(), ready) {
			printed <- text.String()
			text.Reset()
			ready = ""
		}
	}
	printed <- text.String()
}

func readyProcess(t *testing.T, printed <-chan string) *process {
	t.Helper()
	select {
	case text := <-printed:
		m := serving.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("it does not serve:\n%s", text)
		}
		return &process{http: m[1], grpc: m[2], admin: m[3], greeting: text}
	case <-time.After(time.Minute):
		t.Fatal("it does not serve after a minute")
		return nil
	}
}

func stop(t *testing.T, c *exec.Cmd, printed <-chan string) {
	t.Helper()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil && !t.Failed() {
		t.Errorf("it has ended before it was asked to: %v", err)
	}
	var rest string
	for text := range printed {
		rest += text
	}
	if err := c.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if t.Failed() {
		t.Logf("it printed:\n%s", rest)
	}
}
