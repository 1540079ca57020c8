// Package xds_test shows a gateway a control plane, and asserts that it goes
// where that says. It is a module of its own so that the product does not depend
// on one. The gateway is a process of its own: grpc-go reads where the control
// plane is when a process starts.
package xds_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

var program string // of the gateway

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gatehouse-xds")
	if err == nil {
		program = filepath.Join(dir, "gatehouse")
		build := exec.CommandContext(context.Background(), "go", "build", "-o", program, "./cmd/gatehouse")
		build.Dir, build.Stderr = filepath.Join("..", ".."), os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "building the gateway:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// replica is one backend, and how many calls it had.
type replica struct {
	address string
	calls   atomic.Int64
}

func newReplica(t *testing.T) *replica {
	t.Helper()
	r := new(replica)
	r.address = gatewaytest.Backend(t, gatewaytest.Script{
		"/shop.catalog.v1.CatalogService/GetShelf": gatewaytest.Unary(
			func(_ context.Context, in *catalogv1.GetShelfRequest) (*catalogv1.Shelf, error) {
				r.calls.Add(1)
				return &catalogv1.Shelf{Name: in.GetName()}, nil
			}),
	})
	return r
}

// TestEndpointsChangeUnderCalls: the gateway joins the control plane by its
// target alone, and follows it from replica to replica without losing a call.
func TestEndpointsChangeUnderCalls(t *testing.T) {
	plane := newControlPlane(t)
	all := []*replica{newReplica(t), newReplica(t), newReplica(t)}
	plane.tell(t, all[0])
	g := serve(t, plane.bootstrap(t))
	gatewaytest.Eventually(t, "readiness", func() bool { code, _ := g.get(t, g.admin+"/readyz"); return code == http.StatusOK })
	if _, text := g.get(t, g.admin+"/readyz"); !strings.Contains(text, `"found": "xds"`) || !strings.Contains(text, `"needed": true`) {
		t.Errorf("readyz: %s", text)
	}
	stop := g.load(t)
	for _, named := range [][]int{{0}, {1}, {0, 1, 2}, {2}} {
		var now []*replica
		for _, i := range named {
			now = append(now, all[i])
		}
		plane.tell(t, now...)
		gatewaytest.Eventually(t, fmt.Sprintf("calls of %v and no others", named), func() bool { return called(t, g, all, named) })
	}
	if calls := stop(); calls == 0 {
		t.Error("no calls were made meanwhile")
	}
}

// called tells whether just these replicas get calls.
func called(t *testing.T, g *process, all []*replica, named []int) bool {
	t.Helper()
	for _, r := range all {
		r.calls.Store(0)
	}
	for range 30 {
		if code, text := g.get(t, g.http+"/v1/shelves/a"); code != http.StatusOK {
			t.Errorf("%d %s", code, text)
		}
	}
	for i, r := range all {
		if (r.calls.Load() > 0) != slices.Contains(named, i) {
			return false
		}
	}
	return true
}

// load makes calls until stop, which tells how many; each must succeed.
func (g *process) load(t *testing.T) (stop func() int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var calls atomic.Int64
	client := gatewaytest.Client(t)
	for range 4 {
		group.Go(func() {
			for ctx.Err() == nil {
				r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, g.http+"/v1/shelves/a", nil)
				resp, err := client.Do(r)
				if err != nil {
					t.Errorf("a call was lost: %v", err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("a call was lost: HTTP %d", resp.StatusCode)
				}
				calls.Add(1)
			}
		})
	}
	return func() int64 {
		cancel()
		group.Wait()
		return calls.Load()
	}
}

// TestNoBootstrap: a gateway that cannot find its control plane does not start.
func TestNoBootstrap(t *testing.T) {
	for name, tc := range map[string]struct{ bootstrap, want string }{
		"none":     {"", "set GRPC_XDS_BOOTSTRAP"},
		"no file":  {filepath.Join(t.TempDir(), "none.json"), "cannot be read"},
		"nonsense": {write(t, "bootstrap.json", "nonsense"), "bootstrap"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
			defer cancel()
			cmd := command(ctx, t, tc.bootstrap)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), tc.want) || !strings.Contains(string(out), `upstream "shop"`) {
				t.Errorf("err = %v, want it to say %q: %s", err, tc.want, out)
			}
		})
	}
}
