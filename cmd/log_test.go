//go:build unix

package cmd_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// process is a gateway in a process of its own whose log goes into a pipe.
type process struct {
	*exec.Cmd
	http, grpc, admin string
	config            string   // the file
	log               *os.File // the other end
	ended             chan error
}

var serving = regexp.MustCompile(`msg=serving http=(\S+) grpc=(\S+) admin=(\S+)`)

// startProcess starts a gateway and reads its log until it serves.
func startProcess(t *testing.T, config string) *process {
	t.Helper()
	file := write(t, config)
	return startCommand(t, file, exec.Command(os.Args[0], "serve", "--config", file))
}

// startCommand is startProcess with a command of its own.
func startCommand(t *testing.T, file string, c *exec.Cmd) *process {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: c, config: file, log: out, ended: make(chan error, 1)}
	p.Env = append(os.Environ(), programEnv+"=1")
	p.Stdout, p.Stderr = in, in
	err = p.Start()
	_ = in.Close()
	if err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	t.Cleanup(func() {
		_ = p.Process.Kill() // it may have ended
		_ = out.Close()
	})
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("it does not serve: %v", err)
		}
		if m := serving.FindStringSubmatch(line); m != nil {
			p.http, p.grpc, p.admin = m[1], m[2], m[3]
			return p
		}
	}
}

// shop is a configuration with a backend that answers one RPC.
func shop(t *testing.T) (config string) {
	backend := gatewaytest.Backend(t, gatewaytest.Script{
		"/shop.reviews.v1.ReviewsService/DeleteReview": gatewaytest.Unary(func(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
			return new(emptypb.Empty), nil
		}),
	})
	config = strings.Replace(good, "127.0.0.1:1\"", backend+"\"", 1)
	return strings.Replace(config, "shop.reviews.v1.ReviewsService.ModerateReviews", "shop.reviews.v1.ReviewsService.DeleteReview", 1)
}

// callOften makes calls that succeed, and asks for readiness at the end.
func (p *process) callOften(t *testing.T, times int) {
	t.Helper()
	client := gatewaytest.Client(t)
	do := func(verb, url string, want int) {
		r, err := http.NewRequestWithContext(t.Context(), verb, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := gatewaytest.Do(t, client, r); got.StatusCode != want {
			t.Fatalf("%s: got %d %s, want %d", url, got.StatusCode, got.Text, want)
		}
	}
	for range times {
		do("DELETE", "http://"+p.http+"/v1/products/boots/reviews/"+strings.Repeat("r", 200), http.StatusOK)
	}
	do("GET", "http://"+p.admin+"/readyz", http.StatusOK)
}

func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("it has ended by itself: %v", err)
	}
	if err := gatewaytest.Receive(t, p.ended, "the end of the process"); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// TestNobodyReadsTheLog: a pipe that is full stops no call, and not the end of the
// process, which closes the pipe with fewer lines than there were.
func TestNobodyReadsTheLog(t *testing.T) {
	p := startProcess(t, shop(t))
	p.callOften(t, 1000)
	p.terminate(t)
}

// TestNobodyReadsTheLogAndCallsWait: with `when_full: wait` calls wait for the
// reader, but the process ends.
func TestNobodyReadsTheLogAndCallsWait(t *testing.T) {
	p := startProcess(t, "log: {when_full: wait, peer_lines: 0}\ndrain: {timeout: 1s}\n"+shop(t))
	cc := gatewaytest.Dial(t, p.grpc, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	unknown := "/" + strings.Repeat("x", 1_000) + "/M" // the line has it all
	for range 8 {
		go func() { // calls until a line has no place, and then waits until ctx ends
			for ctx.Err() == nil {
				_ = cc.Invoke(ctx, unknown, new(emptypb.Empty), new(emptypb.Empty))
			}
		}()
	}
	client := gatewaytest.Client(t)
	waiting := regexp.MustCompile(`\ngatehouse_log_waiting_bytes 4\.1\d+e\+06\n`)
	gatewaytest.Eventually(t, "a full queue", func() bool {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+p.admin+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		return waiting.MatchString(gatewaytest.Do(t, client, r).Text)
	})
	p.terminate(t)
}

// TestReaderOfTheLogEnds: a pipe that nobody will read again kills nobody.
func TestReaderOfTheLogEnds(t *testing.T) {
	p := startProcess(t, shop(t))
	_ = p.log.Close()
	p.callOften(t, 300)
	p.terminate(t)
}

// TestLastLinesAreWritten: those before a drain, those of the drain, and the error
// of a start that fails.
func TestLastLinesAreWritten(t *testing.T) {
	p := startProcess(t, shop(t))
	p.callOften(t, 1)
	p.terminate(t)
	text, err := io.ReadAll(p.log)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text); !strings.Contains(got, "msg=call method=/shop.reviews.v1.ReviewsService/DeleteReview") || !strings.HasSuffix(got, " msg=drained\n") {
		t.Errorf("got %s", got)
	}
	c := exec.Command(os.Args[0], "serve", "--config", write(t, strings.Replace(good, "linked: true", "image: /nowhere", 1)))
	c.Env = append(os.Environ(), programEnv+"=1")
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "/nowhere") {
		t.Errorf("%v: %s", err, out)
	}
}
