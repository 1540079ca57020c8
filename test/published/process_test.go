package published_test

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

const (
	root       = "../.."
	shopImage  = root + "/examples/shop/demo/shop.binpb.gz"
	nastyImage = root + "/internal/openapi/testdata/nasty.binpb.gz"
)

// bin holds the binary that the tests run. TestMain makes and removes it.
var bin string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if bin, err = os.MkdirTemp("", "gatehouse-published-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	return m.Run()
}

// built compiles the binary, once.
var built = sync.OnceValue(func() error {
	c := exec.Command("go", "build", "-o", bin+"/gatehouse", "./cmd/gatehouse")
	c.Dir = root
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, text)
	}
	return nil
})

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// process is a running gateway.
type process struct {
	http, admin string // where it listens
	greeting    string // what it printed until it was ready
}

var serving = regexp.MustCompile(`msg=serving http=(\S+) grpc=(\S+) admin=(\S+)`)

// start runs the binary on free ports, waits until it has printed a line with ready in
// it, and ends it with the test, when it must exit with 0.
func start(t *testing.T, ready string, args ...string) *process {
	t.Helper()
	if err := built(); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(filepath.Join(bin, "gatehouse"), append(args, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0")...)
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
	select {
	case text := <-printed:
		m := serving.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("it does not serve:\n%s", text)
		}
		return &process{http: m[1], admin: m[3], greeting: text}
	case <-time.After(time.Minute):
		t.Fatal("it does not serve after a minute")
		return nil
	}
}

// follow sends what is printed up to ready, and the last lines of what comes after it at
// the end.
func follow(out io.ReadCloser, ready string, printed chan<- string) {
	defer close(printed)
	defer out.Close()
	var text strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if ready == "" && text.Len() > 1<<16 {
			text.Reset()
		}
		text.WriteString(lines.Text() + "\n")
		if ready != "" && strings.Contains(lines.Text(), ready) {
			printed <- text.String()
			text.Reset()
			ready = ""
		}
	}
	printed <- text.String()
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
		t.Errorf("it ended with %v\n%s", err, rest)
	}
}

// serve runs a gateway with a configuration.
func serve(t *testing.T, config string) *process {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gatehouse.yaml")
	write(t, path, config)
	return start(t, "msg=serving", "serve", "--config", path)
}

// demo is the demo, and the credentials that it tells its visitors.
type demo struct {
	*process
	file        string // its configuration
	warehouse   string // a key without most scopes
	credentials credentials
}

// credentials are what a caller sends to be known by each authenticator.
type credentials map[string]string

func startDemo(t *testing.T) *demo {
	t.Helper()
	p := start(t, "Stop with Ctrl-C", "demo")
	found := func(pattern string) string {
		m := regexp.MustCompile(pattern).FindStringSubmatch(p.greeting)
		if m == nil {
			t.Fatalf("the greeting has no %s:\n%s", pattern, p.greeting)
		}
		return m[1]
	}
	return &demo{process: p, file: found(`explain --config (\S+)`), warehouse: found(`x-api-key: (\w+-warehouse)`), credentials: credentials{
		"staff": found(`x-api-key: (\w+-staff)`), "customers": found(`authorization: Bearer ([^\s']+)`),
	}}
}
