package load_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/load"
)

const body = `{"name":"products/trail-tent"}`

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func dial(t *testing.T, addr string, req load.Request, want load.Answer) *load.Client {
	t.Helper()
	c, err := load.Dial(t.Context(), addr, 3, req, want)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestClosedReadsEveryFraming(t *testing.T) {
	long := strings.Repeat(body, 5000)
	for _, tc := range []struct {
		name    string
		handler http.HandlerFunc
		length  int
	}{
		{"content-length", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }, len(body)},
		{"empty", func(http.ResponseWriter, *http.Request) {}, 0},
		{"chunked", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, long) }, len(long)},
		{"chunked with a trailer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "Grpc-Status")
			_, _ = io.WriteString(w, body)
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, body)
			w.Header().Set("Grpc-Status", "0")
		}, 2 * len(body)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := dial(t, serve(t, tc.handler), load.Request{Method: "GET", Path: "/"}, load.Answer{Status: 200, Length: tc.length})
			got, err := c.Closed(t.Context(), 20*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			if got.Requests < 3 || got.PerSecond() <= 0 || got.Quantile(0.99) < got.Quantile(0.5) {
				t.Errorf("got %d requests, %v a second", got.Requests, got.PerSecond())
			}
		})
	}
}

func TestRequestArrivesWhole(t *testing.T) {
	var bad atomic.Value
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || string(b) != body || r.Method != "POST" || r.RequestURI != "/v1/x?y=1" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "Bearer abc.def" {
			bad.Store(r.Method + " " + r.RequestURI + " " + string(b))
		}
	})
	c := dial(t, addr, load.Request{Method: "POST", Path: "/v1/x?y=1", Body: []byte(body), Token: "abc.def"}, load.Answer{Status: 200})
	if _, err := c.Closed(t.Context(), 10*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if b := bad.Load(); b != nil {
		t.Errorf("arrived as %s", b)
	}
}

func TestWrongAnswersAreErrors(t *testing.T) {
	want := load.Answer{Status: 200, Length: len(body)}
	for _, tc := range []struct {
		name, want string
		handler    http.HandlerFunc
	}{
		{"status", "status 503", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, body)
		}},
		{"length", "31 bytes", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body+" ") }},
		{"close", "kept open", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }},
		{"abort", "EOF", func(w http.ResponseWriter, _ *http.Request) {
			if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
				_ = conn.Close()
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := dial(t, serve(t, tc.handler), load.Request{Method: "GET", Path: "/"}, want)
			_, err := c.Closed(t.Context(), 10*time.Millisecond)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestOpenSendsAtItsRate(t *testing.T) {
	addr := serve(t, func(http.ResponseWriter, *http.Request) {})
	c := dial(t, addr, load.Request{Method: "GET", Path: "/"}, load.Answer{Status: 200})
	got, err := c.Open(t.Context(), 1000, 50*time.Millisecond)
	if err != nil || got.Requests != 50 {
		t.Errorf("got %d requests, %v, want 50", got.Requests, err)
	}
	if _, err := c.Open(t.Context(), 0, time.Second); err == nil {
		t.Error("a rate of 0 is no error")
	}
}

func TestCancelEnds(t *testing.T) {
	c := dial(t, serve(t, func(http.ResponseWriter, *http.Request) {}), load.Request{Method: "GET", Path: "/"}, load.Answer{Status: 200})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Open(ctx, 0.001, time.Hour); err == nil {
		t.Error("a cancelled measurement is no error")
	}
}
