// Package gatewaytest runs whole gateways for tests, on loopback listeners and
// in front of backends that do as they are told.
package gatewaytest

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"

	// The contracts that `schema: {linked: true}` finds.
	_ "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	_ "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	_ "github.com/gatehouse-dev/gatehouse/gen/shop/orders/v1"
	_ "github.com/gatehouse-dev/gatehouse/gen/shop/pricing/v1"
	_ "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
	_ "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v2"
)

// Patience is how long a test waits for what must come. It is never waited out
// by a test that passes.
const Patience = 20 * time.Second

// Gateway is one that serves.
type Gateway struct {
	HTTP, GRPC, Admin string // addresses
	Log               *Log
	Gateway           *live.Gateway

	stop context.CancelFunc
	done chan error
}

// Change changes the configuration of a gateway before it starts.
type Change func(*configv1.Config)

// Config is the configuration of a gateway whose only upstream, "shop", is at
// backend and serves all of the shop's contract.
func Config(backend string, changes ...Change) *configv1.Config {
	c := &configv1.Config{
		Listeners: &configv1.Listeners{
			Http: &configv1.HttpListener{Address: "127.0.0.1:0"}, Grpc: &configv1.Listener{Address: "127.0.0.1:0"},
			Admin: &configv1.AdminListener{Address: "127.0.0.1:0"},
		},
		Upstreams: []*configv1.Upstream{{
			Name: "shop", Target: "passthrough:///" + backend,
			Schema: &configv1.Schema{Source: &configv1.Schema_Linked{Linked: true}},
		}},
		Expose: []*configv1.Exposure{{Select: "shop.*", Upstream: "shop", Policy: &policyv1.Policy{
			// None of what the contract says of policies: a test asks for what it wants.
			Auth: &policyv1.Auth{Public: new(true)}, RateLimit: []*policyv1.RateLimit{{Unlimited: new(true)}},
			Timeout: durationpb.New(0), Retry: &policyv1.Retry{Disabled: new(true)}, Breaker: &policyv1.Breaker{Disabled: new(true)},
			Fallback: &policyv1.Fallback{Disabled: new(true)}, Cache: &policyv1.Cache{Disabled: new(true)},
			Idempotency: &policyv1.Idempotency{Disabled: new(true)},
		}}},
		Drain: &configv1.Drain{Timeout: durationpb.New(Patience)},
	}
	for _, change := range changes {
		change(c)
	}
	return c
}

// Start serves a configuration until the test ends or Stop is called.
func Start(t testing.TB, c *configv1.Config) *Gateway {
	t.Helper()
	file, err := config.New(c)
	if err != nil {
		t.Fatalf("configuration: %v", err)
	}
	return StartOptions(t, live.Options{Config: file})
}

// StartOptions is Start with more to choose.
func StartOptions(t testing.TB, o live.Options) *Gateway {
	t.Helper()
	log := new(Log)
	o.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	g, err := live.New(t.Context(), o)
	if err != nil {
		t.Fatalf("gateway: %v", err)
	}
	srv, err := g.Listen()
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	up := &Gateway{
		HTTP: srv.Address("http"), GRPC: srv.Address("grpc"), Admin: srv.Address("admin"),
		Log: log, Gateway: g, stop: stop, done: make(chan error, 1),
	}
	go func() {
		err := srv.Serve(ctx)
		if closing := g.Close(); err == nil {
			err = closing
		}
		up.done <- err
		close(up.done)
	}()
	t.Cleanup(func() {
		stop()
		if err := up.Wait(t); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return up
}

// Stop asks the gateway to drain and does not wait for it.
func (g *Gateway) Stop() { g.stop() }

// Done gives the outcome of serving, once.
func (g *Gateway) Done() <-chan error { return g.done }

// Wait waits for the end of serving.
func (g *Gateway) Wait(t testing.TB) error {
	t.Helper()
	select {
	case err := <-g.done:
		return err
	case <-time.After(2 * Patience):
		t.Error("the gateway did not stop")
		return nil
	}
}

// Dial connects a gRPC client to address, in the clear if conf is nil.
func Dial(t testing.TB, address string, conf *tls.Config, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	creds := insecure.NewCredentials()
	if conf != nil {
		creds = credentials.NewTLS(conf)
	}
	cc, err := grpc.NewClient("passthrough:///"+address, append([]grpc.DialOption{grpc.WithTransportCredentials(creds)}, opts...)...)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return cc
}

// Client is an HTTP client of its own, so that no connection outlives the test.
func Client(t testing.TB, change ...func(*http.Transport)) *http.Client {
	t.Helper()
	tr := &http.Transport{DisableCompression: true}
	for _, c := range change {
		c(tr)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 2 * Patience}
}

// H2C makes a client speak HTTP/2 in the clear.
func H2C(tr *http.Transport) {
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetUnencryptedHTTP2(true)
}

// Answer is an HTTP answer that was read to its end.
type Answer struct {
	*http.Response
	Text string
}

// Do sends a request and reads the answer.
func Do(t testing.TB, client *http.Client, r *http.Request) Answer {
	t.Helper()
	resp, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the answer: %v", r.Method, r.URL, err)
	}
	return Answer{Response: resp, Text: string(body)}
}

// Request makes a request to a gateway's HTTP listener. Headers are "Name: value".
func (g *Gateway) Request(t testing.TB, method, target, body string, headers ...string) *http.Request {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+g.HTTP+target, reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// Raw writes text to the HTTP listener as it is, closes the sending half unless
// keep is set, and returns all that comes back.
func Raw(t testing.TB, address, text string, keep bool) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(Patience))
	go func() {
		_, _ = io.WriteString(c, text)
		if !keep {
			_ = c.(*net.TCPConn).CloseWrite()
		}
	}()
	got, _ := io.ReadAll(c)
	return string(got)
}

// Eventually waits until ok says so.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(Patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never came: %s", what)
		}
	}
}

// Receive takes the next value of a channel.
func Receive[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(Patience):
		t.Fatalf("never came: %s", what)
		panic("not reached")
	}
}

// Log keeps what is logged.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write keeps p.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String is all so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
