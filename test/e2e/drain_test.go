package e2e_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestTerminatedGatewayLosesNoCall rolls a gateway out from under its load, as
// an orchestrator does: SIGTERM, while a balancer sends calls to whichever
// gateway says that it is ready. No call may fail, and none may reach the backend
// whose answer its client did not get.
func TestTerminatedGatewayLosesNoCall(t *testing.T) {
	b := startBackend(t, nil)
	replicas := startReplicas(t, 2, b, unlimited, "drain: {delay: 500ms, timeout: 10s}")
	leaving, staying := replicas[0], replicas[1]
	var gone atomic.Bool // what the balancer knows of the gateway that leaves
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	var all sync.WaitGroup
	served := map[*gateway]*atomic.Int64{leaving: {}, staying: {}}
	for range 2 * workers {
		client := newHTTPClient(t)
		all.Go(func() {
			for ctx.Err() == nil {
				at := leaving
				if gone.Load() {
					at = staying
				}
				status, err := post(client, at)
				if err != nil || status != http.StatusOK {
					t.Errorf("a call came to status %d, %v", status, err)
					return
				}
				served[at].Add(1)
			}
		})
	}
	enough := func(at *gateway) func() bool { return func() bool { return served[at].Load() > 200 || t.Failed() } }
	await(t, "calls at the gateway that will leave", enough(leaving))
	leaving.terminate()
	health := newHTTPClient(t)
	await(t, "the gateway says that it is not ready", func() bool {
		status, err := get(health, leaving.admin+"/readyz")
		return err == nil && status == http.StatusServiceUnavailable
	})
	gone.Store(true)
	leaving.stop(t)
	await(t, "calls at the gateway that stays", enough(staying))
	cancel()
	all.Wait()
	want := served[leaving].Load() + served[staying].Load()
	if got := b.calls.Load(); got != want {
		t.Errorf("the backend had %d calls, and %d were answered", got, want)
	}
}

// unlimited is a policy that refuses nothing and keeps nothing.
const unlimited = "rate_limit: [{unlimited: true}], cache: {disabled: true}, retry: {disabled: true}, idempotency: {disabled: true}"

// TestTerminatedGatewayFinishesItsCalls holds calls in the backend while the
// gateway is asked to end, without any delay. It takes no new ones, answers those
// that it has, and ends.
func TestTerminatedGatewayFinishesItsCalls(t *testing.T) {
	const calls = 4 // of each protocol
	arrived, release := make(chan struct{}, 2*calls), make(chan struct{})
	b := startBackend(t, func(ctx context.Context) {
		arrived <- struct{}{}
		select {
		case <-release:
		case <-ctx.Done():
		}
	})
	leaving := startReplicas(t, 1, b, unlimited)[0]
	cc, err := grpc.NewClient(leaving.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	answers := make(chan error, 2*calls)
	for range calls {
		client := newHTTPClient(t)
		go func() {
			status, err := post(client, leaving)
			if err == nil && status != http.StatusOK {
				err = errors.New(http.StatusText(status))
			}
			answers <- err
		}()
		go func() {
			answers <- cc.Invoke(t.Context(), "/shop.catalog.v1.CatalogService/CreateProduct", new(emptypb.Empty), new(wrapperspb.StringValue))
		}()
	}
	for range 2 * calls {
		<-arrived
	}
	leaving.terminate()
	late := newHTTPClient(t)
	await(t, "the gateway takes no new connection", func() bool {
		_, err := get(late, leaving.http+"/v1/nothing")
		return err != nil
	})
	select {
	case err := <-answers:
		t.Errorf("a call was not waited for: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	for range 2 * calls {
		if err := <-answers; err != nil {
			t.Errorf("a call that was under way: %v", err)
		}
	}
	leaving.stop(t)
}

// post creates a product, which no client repeats by itself.
func post(client *http.Client, at *gateway) (int, error) {
	resp, err := client.Post(at.http+"/v1/products", "application/json", http.NoBody)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
