package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/conformance"
)

var gatehouse = flag.String("gatehouse", "", "program of the gateway to test, such as one built with -race; none builds it")

// How many cases the suite has for servers that speak gRPC in clear text, with
// those over TLS, and for clients.
const (
	cases       = "374"
	casesTLS    = "570"
	casesClient = "409"
	// casesDefault are those of its default configuration: three protocols, protobuf and
	// JSON.
	casesDefault = "3620"
)

// TestSuite runs the suite: with the gateway as the server of the suite's client,
// and as the client of its servers, which misbehave.
func TestSuite(t *testing.T) {
	s := newSuite(t)
	t.Run("bare server", s.bareServer)
	t.Run("bare client", s.bareClient)
	s.buildGateway(t)
	t.Run("gateway", s.behindGateway)
	t.Run("gateway, bad servers", s.beforeServers)
}

// bareServer proves that the suite finds what it is here to find: without the
// gateway, grpc-go's server fails the cases that count messages.
func (s *suite) bareServer(t *testing.T) {
	got := s.run(t, serverMode("grpc.yaml"), "-backend", s.program("grpcserver"))
	got.want(t, cases, []string{
		"gRPC Unexpected Requests/HTTPVersion:2/TLS:false/server-stream/multiple-requests",
		"gRPC Unexpected Requests/HTTPVersion:2/TLS:false/server-stream/no-request",
		"gRPC Unexpected Requests/HTTPVersion:2/TLS:false/unary/multiple-requests",
		"gRPC Unexpected Requests/HTTPVersion:2/TLS:false/unary/no-request",
	})
}

// behindGateway runs it against both doors of the gateway that speak gRPC, in
// front of both servers of the suite that do, and against all doors of the HTTP port.
func (s *suite) behindGateway(t *testing.T) {
	for _, tt := range []struct{ name, config, backend, door, cases string }{
		{"grpc listener, reference server", "grpc.yaml", "referenceserver", conformance.DoorGRPC, cases},
		{"grpc listener, grpc-go server", "grpc.yaml", "grpcserver", conformance.DoorGRPC, cases},
		{"grpc listener over TLS too", "grpc-tls.yaml", "referenceserver", conformance.DoorGRPC, casesTLS},
		{"http listener, reference server", "grpc.yaml", "referenceserver", conformance.DoorHTTP, cases},
		{"http listener, grpc-go server", "grpc.yaml", "grpcserver", conformance.DoorHTTP, cases},
		{"http listener over TLS too", "grpc-tls.yaml", "referenceserver", conformance.DoorHTTP, casesTLS},
		{"http listener, all protocols", "default.yaml", "referenceserver", conformance.DoorHTTP, casesDefault},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.run(t, serverMode(tt.config), "-backend", s.program(tt.backend),
				"-gatehouse", s.gatehouse, "-image", s.image, "-door", tt.door)
			got.want(t, tt.cases, nil)
		})
	}
}

// bareClient proves the same of the client that stands before the gateway: it
// takes no answer for granted that a server did not give in full. What it misses
// without the gateway is in bare-client.txt.
func (s *suite) bareClient(t *testing.T) {
	s.run(t, clientMode("bare-client.txt"), "-client").want(t, casesClient, nil)
}

// beforeServers runs it against both doors of the gateway in front of the suite's
// servers.
func (s *suite) beforeServers(t *testing.T) {
	for _, door := range []string{conformance.DoorGRPC, conformance.DoorHTTP} {
		t.Run(door, func(t *testing.T) {
			got := s.run(t, clientMode("disagreements.txt"), "-client", "-gatehouse", s.gatehouse, "-image", s.image, "-door", door)
			got.want(t, casesClient, nil)
		})
	}
}

// suite holds the programs that take part in a run.
type suite struct {
	dir, image, gatehouse string
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	s := &suite{dir: t.TempDir()}
	const programs = "connectrpc.com/conformance/cmd/"
	build(t, ".", s.dir, programs+"connectconformance", programs+"referenceserver", programs+"grpcserver", "./adapter")
	s.image = filepath.Join(s.dir, "conformance.binpb")
	if err := conformance.WriteImage(t.Context(), s.image); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *suite) buildGateway(t *testing.T) {
	t.Helper()
	if s.gatehouse = *gatehouse; s.gatehouse == "" {
		s.gatehouse = s.program("gatehouse")
		build(t, filepath.Join("..", ".."), s.dir, "./cmd/gatehouse")
	}
}

// build builds programs of the module in the directory module.
func build(t *testing.T, module, into string, packages ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"build", "-o", into + "/"}, packages...)...)
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %v: %v\n%s", packages, err, out)
	}
}

func (s *suite) program(name string) string { return filepath.Join(s.dir, name) }

// result is what the runner found.
type result struct {
	total  string
	failed []string
	stdout string
	stderr string
}

// serverMode are the runner's arguments for testing a server.
func serverMode(config string) []string {
	return []string{"--mode", "server", "--conf", filepath.Join("testdata", config)}
}

// clientMode are the runner's arguments for testing a client. The cases that a file
// lists must fail, every one.
func clientMode(failing string) []string {
	return []string{"--mode", "client", "--conf", filepath.Join("testdata", "grpc.yaml"), "--known-failing", "@" + filepath.Join("testdata", failing)}
}

// clocked are cases that the runner judges by a clock: the timeout that its server
// is told of must be at most half a second short of what its client said. On a busy
// machine that is no matter of what the gateway does.
const clocked = "Deadline Propagation/"

// run runs the suite against the adapter with the given arguments, up to three
// times where nothing failed but clocked cases.
func (s *suite) run(t *testing.T, runner []string, adapter ...string) result {
	t.Helper()
	for left := 2; ; left-- {
		got := s.runOnce(t, runner, adapter...)
		late := len(got.failed) > 0 && !slices.ContainsFunc(got.failed, func(name string) bool {
			return !strings.HasPrefix(name, clocked)
		})
		if !late || left == 0 {
			return got
		}
		t.Logf("once more, since the machine may have been late: %q failed", got.failed)
	}
}

func (s *suite) runOnce(t *testing.T, runner []string, adapter ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	args := append(append(runner, "--", s.program("adapter")), adapter...)
	cmd := exec.CommandContext(ctx, s.program("connectconformance"), args...)
	// A group of its own: should the runner hang, what it started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("the runner: %v\n%s%s", err, &stdout, &stderr)
	}
	return parse(stdout.String(), stderr.String())
}

var (
	totalLine  = regexp.MustCompile(`(?m)^Total cases: (\d+)$`)
	failedLine = regexp.MustCompile(`(?m)^FAILED: (.*?):?$`)
)

func parse(stdout, stderr string) result {
	r := result{stdout: stdout, stderr: stderr}
	if m := totalLine.FindStringSubmatch(stdout); m != nil {
		r.total = m[1]
	}
	for _, m := range failedLine.FindAllStringSubmatch(stdout, -1) {
		r.failed = append(r.failed, m[1])
	}
	slices.Sort(r.failed)
	return r
}

// want fails the test unless the runner saw so many cases, of which just those
// failed, and nothing on the way complained.
func (r result) want(t *testing.T, total string, failed []string) {
	t.Helper()
	passed := strings.Contains(r.stdout, " 0 failed")
	if r.total != total || !slices.Equal(r.failed, failed) || passed != (len(failed) == 0) {
		t.Errorf("%s cases, want %s; failed %q, want %q\n%s", r.total, total, r.failed, failed, r.stdout)
	}
	if r.stderr != "" {
		t.Errorf("complaints on the way:\n%s", r.stderr)
	}
}
