package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// backend is a scripted gRPC server behind the replicas. It serves every RPC of
// the shop: a resource's first field is its name, so that a StringValue is one on
// the wire.
type backend struct {
	address string
	calls   atomic.Int64
	script  func(ctx context.Context) // runs in each call, before its answer; nil for nothing
}

func startBackend(t *testing.T, script func(ctx context.Context)) *backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{address: l.Addr().String(), script: script}
	server := grpc.NewServer(grpc.UnknownServiceHandler(b.handle), grpc.WaitForHandlers(true))
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

func (b *backend) handle(_ any, stream grpc.ServerStream) error {
	if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
		return err
	}
	n := b.calls.Add(1)
	if b.script != nil {
		b.script(stream.Context())
	}
	return stream.SendMsg(wrapperspb.String(fmt.Sprintf("products/call-%d", n)))
}

// startReplicas starts n gateways with one configuration: the shop's contract,
// the backend behind it, a policy that overrides the contract's, and what else is
// said.
func startReplicas(t *testing.T, n int, b *backend, policy string, more ...string) []*gateway {
	t.Helper()
	if *direct {
		t.Skip("it is about the gateway alone")
	}
	config := fmt.Sprintf(`upstreams:
  - {name: shop, target: "passthrough:///%s", schema: {linked: true}}
expose:
  - select: "shop.catalog.v1.*"
    upstream: shop
    policy: {auth: {public: true}, timeout: 10s, %s}
log: {format: json, access: false}
%s
`, b.address, policy, strings.Join(more, "\n"))
	path := filepath.Join(t.TempDir(), "gatehouse.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	replicas := make([]*gateway, n)
	for i := range replicas {
		replicas[i] = startGateway(t, path)
	}
	return replicas
}

// answered is one call of a load.
type answered struct {
	replica    int
	status     int
	begin, end time.Time
}

// load is what came of a load, in no order.
type load []answered

// workers call each replica at once.
const workers = 4

// startLoad reads a shelf at every replica, over and over, until end is called.
// A call without an answer is an error of the test.
func startLoad(t *testing.T, replicas []*gateway) (end func() load) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	var all sync.WaitGroup
	perWorker := make([]load, workers*len(replicas))
	errs := make([]error, len(perWorker))
	for i := range perWorker {
		replica, client := i%len(replicas), newHTTPClient(t)
		url := replicas[replica].http + "/v1/shelves/tents"
		all.Go(func() {
			for ctx.Err() == nil && errs[i] == nil {
				a := answered{replica: replica, begin: time.Now()}
				a.status, errs[i] = get(client, url)
				a.end = time.Now()
				perWorker[i] = append(perWorker[i], a)
			}
		})
	}
	return func() (sum load) {
		cancel()
		all.Wait()
		for i, one := range perWorker {
			sum = append(sum, one...)
			if errs[i] != nil {
				t.Errorf("a call was not answered: %v", errs[i])
			}
		}
		return sum
	}
}

// get returns the status of an answer. The request has no context: a call that
// was begun is waited for.
func get(client *http.Client, url string) (int, error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// where returns the calls that fit.
func (l load) where(fits func(answered) bool) (some load) {
	for _, a := range l {
		if fits(a) {
			some = append(some, a)
		}
	}
	return some
}

// within are the calls that were certainly decided in a span of time; touching
// are those that may have been.
func (l load) within(from, to time.Time) load {
	return l.where(func(a answered) bool { return !a.begin.Before(from) && !a.end.After(to) })
}

func (l load) touching(from, to time.Time) load {
	return l.where(func(a answered) bool { return !a.end.Before(from) && !a.begin.After(to) })
}

func (l load) at(replica int) load {
	return l.where(func(a answered) bool { return a.replica == replica })
}

func (l load) count(status int) int {
	return len(l.where(func(a answered) bool { return a.status == status }))
}

// statuses counts the calls by status.
func (l load) statuses() map[int]int {
	counts := map[int]int{}
	for _, a := range l {
		counts[a.status]++
	}
	return counts
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	late := time.After(startLimit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: not within %v", what, startLimit)
		}
	}
}

// awaitRedis waits until every replica knows that Redis is up, or down.
func awaitRedis(t *testing.T, up bool, replicas []*gateway) {
	t.Helper()
	want := map[bool]string{true: "gatehouse_redis_up 1\n", false: "gatehouse_redis_up 0\n"}[up]
	client := newHTTPClient(t)
	for _, r := range replicas {
		await(t, "want "+want, func() bool {
			got, err := read(client, r.admin+"/metrics")
			return err == nil && strings.Contains(got, want)
		})
	}
}

func read(client *http.Client, url string) (string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}
