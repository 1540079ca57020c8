package xds_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

const configuration = `
upstreams:
  - {name: shop, target: "xds:///shop.example", schema: {linked: true}}
expose:
  - select: shop.catalog.v1.CatalogService.GetShelf
    upstream: shop
    policy:
      auth: {public: true}
      rate_limit: [{unlimited: true}]
      retry: {disabled: true}
      breaker: {disabled: true}
      cache: {disabled: true}
      fallback: {disabled: true}
listeners:
  http: {address: "127.0.0.1:0"}
  grpc: {address: "127.0.0.1:0"}
  admin: {address: "127.0.0.1:0"}
log: {format: json}
`

// write writes a file and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// command is `gatehouse serve`.
func command(ctx context.Context, t *testing.T, bootstrap string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, program, "serve", "--config", write(t, "gatehouse.yaml", configuration))
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GRPC_XDS_") })
	cmd.Env = append(cmd.Env, "GRPC_XDS_BOOTSTRAP="+bootstrap)
	return cmd
}

// process is a gateway that serves.
type process struct {
	http, admin string // base URLs
	client      *http.Client
}

// serve starts a gateway that ends, in good order, with the test.
func serve(t *testing.T, bootstrap string) *process {
	t.Helper()
	cmd := command(context.Background(), t, bootstrap)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = cmd.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found, output := make(chan *process, 1), make(chan string, 1)
	go func() {
		var all strings.Builder
		for lines := bufio.NewScanner(out); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
			var entry struct{ Msg, HTTP, Admin string }
			if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "serving" {
				found <- &process{http: "http://" + entry.HTTP, admin: "http://" + entry.Admin}
			}
		}
		close(found)
		output <- all.String()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		text := gatewaytest.Receive(t, output, "the end of the gateway")
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("the gateway ended with %v and had written:\n%.4000s", err, text)
		}
	})
	g := gatewaytest.Receive(t, found, "the gateway")
	if g == nil {
		t.Fatal("the gateway did not start")
	}
	g.client = gatewaytest.Client(t)
	return g
}

func (g *process) get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := gatewaytest.Do(t, g.client, r)
	return a.StatusCode, a.Text
}
