//go:build unix

package cmd_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// cutting is a listener whose connections can be ended.
type cutting struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
	all   int
}

func (l *cutting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, c)
	l.all++
	return c, nil
}

func (l *cutting) accepted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

func (l *cutting) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

// TestClientsHoldAllDescriptors: with more connections of clients than the process
// may have descriptors, the admin listener answers, the gateway takes a change, and it
// connects to its backend anew.
func TestClientsHoldAllDescriptors(t *testing.T) {
	backend := &cutting{Listener: gatewaytest.Listen(t)}
	srv := grpc.NewServer(grpc.UnknownServiceHandler(gatewaytest.Unary(func(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
		return new(emptypb.Empty), nil
	})))
	go func() { _ = srv.Serve(backend) }()
	t.Cleanup(srv.Stop)
	config := strings.Replace(good, "127.0.0.1:1\"", backend.Addr().String()+"\"", 1)
	config = "reload: {disabled: true}\nlimits: {header_timeout: 1h}\n" + strings.Replace(config, "ReviewsService.ModerateReviews", "ReviewsService.DeleteReview", 1)
	const limit = 128
	p := startLimited(t, config, limit)
	client, admin := gatewaytest.Client(t), gatewaytest.Client(t, func(tr *http.Transport) { tr.DisableKeepAlives = true })
	call := func() int {
		r, err := http.NewRequestWithContext(t.Context(), "DELETE", "http://"+p.http+"/v1/products/boots/reviews/r", nil)
		if err != nil {
			t.Fatal(err)
		}
		return gatewaytest.Do(t, client, r).StatusCode
	}
	if got := call(); got != http.StatusOK { // on a connection that is kept
		t.Fatalf("a call: %d", got)
	}
	for n := range 2 * limit {
		c, err := net.Dial("tcp", []string{p.http, p.grpc}[n%2])
		if err != nil {
			continue // refused by then, as it may be
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	metrics := func() string {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+p.admin+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		return gatewaytest.Do(t, admin, r).Text
	}
	gatewaytest.Eventually(t, "refused connections on both listeners", func() bool {
		text := metrics()
		return value(t, text, `gatehouse_refused_connections_total{listener="http"}`) > 0 &&
			value(t, text, `gatehouse_refused_connections_total{listener="grpc"}`) > 0
	})
	before := backend.accepted()
	backend.cut()
	gatewaytest.Eventually(t, "a new connection to the backend", func() bool { return backend.accepted() > before })
	gatewaytest.Eventually(t, "a call after that", func() bool { return call() == http.StatusOK })
	if err := os.WriteFile(p.config, []byte(strings.Replace(config, "timeout: 2s", "timeout: 3s", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	gatewaytest.Eventually(t, "the change", func() bool { return value(t, metrics(), `gatehouse_reloads_total{result="ok"}`) > 0 })
}

// value is that of a series, 0 if there is none.
func value(t *testing.T, metrics, series string) float64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(metrics)
	if m == nil {
		return 0
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// startLimited is startProcess with so many descriptors.
func startLimited(t *testing.T, config string, limit int) *process {
	t.Helper()
	file := write(t, config)
	return startCommand(t, file, exec.Command("/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" serve --config "$1"`, limit), os.Args[0], file))
}
