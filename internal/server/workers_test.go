package server_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/internal/server"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestMoreCallsThanWorkers: no call of a connection waits for a goroutine that another
// has.
func TestMoreCallsThanWorkers(t *testing.T) {
	t.Parallel()
	const many = 90 // a connection may have 100
	h := &holding{entered: make(chan string, many), ended: make(chan error, 3*many), release: make(chan struct{})}
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, h.script())))
	overREST := gatewaytest.Client(t, gatewaytest.H2C)
	path := g.Request(t, "GET", "/v1/products/boots", "")
	for name, call := range map[string]func() string{
		"REST": func() string { return fetch(overREST, path.Clone(t.Context()), "products/boots") },
		"gRPC": getOver(t, g.GRPC),
		"HTTP": getOver(t, g.HTTP),
	} {
		failures := make(chan string, many)
		for range many {
			go func() { failures <- call() }()
		}
		for range many {
			gatewaytest.Receive(t, h.entered, name+": a call at the backend while all others wait there")
		}
		for range many {
			h.release <- struct{}{}
		}
		for range many {
			if failure := gatewaytest.Receive(t, failures, name+": an answer"); failure != "" {
				t.Errorf("%s: %s", name, failure)
			}
		}
	}
}

func getOver(t *testing.T, address string) func() string {
	client := catalogv1.NewCatalogServiceClient(gatewaytest.Dial(t, address, nil))
	return func() string {
		got, err := client.GetProduct(t.Context(), new(catalogv1.GetProductRequest))
		return failure(err, got.GetName() == "products/boots")
	}
}

// TestPanicOnAWorker: a handler that aborts its request ends that one only, and as often
// as it likes.
func TestPanicOnAWorker(t *testing.T) {
	t.Parallel()
	handle := server.OnWorkers(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(handle.Stop)
	srv := httptest.NewUnstartedServer(handle)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	for range 100 {
		if resp, err := srv.Client().Get(srv.URL + "/abort"); err == nil {
			_ = resp.Body.Close()
			t.Fatalf("an aborted request was answered: %s", resp.Status)
		}
		resp, err := srv.Client().Get(srv.URL + "/")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.ProtoMajor != 2 {
			t.Fatal("want HTTP/2")
		}
	}
}
