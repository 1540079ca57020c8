package admin_test

import (
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-dev/gatehouse/internal/admin"
)

// TestReadyWhileSilent: /readyz names an upstream that answers nothing, and the gateway
// stays ready: only a call can find out that the upstream answers again.
func TestReadyWhileSilent(t *testing.T) {
	t.Parallel()
	since := time.Unix(1700000000, 0).UTC()
	a := &admin.Admin{Metrics: prometheus.NewRegistry(), Health: func() []admin.Health {
		return []admin.Health{
			{Upstream: "orders", State: "READY", Needed: true, Ready: true, SilentSince: &since},
			{Upstream: "shop", State: "READY", Needed: true, Ready: true},
		}
	}}
	w := httptest.NewRecorder()
	a.Handler(func() bool { return true }).ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/readyz", nil))
	var got struct {
		Ready     bool
		Silent    []string
		Upstreams []struct {
			Upstream string
			Since    *time.Time `json:"silent_since"`
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if w.Code != 200 || !got.Ready || !slices.Equal(got.Silent, []string{"orders"}) {
		t.Errorf("got %d %+v", w.Code, got)
	}
	if len(got.Upstreams) != 2 || got.Upstreams[0].Since == nil || !got.Upstreams[0].Since.Equal(since) || got.Upstreams[1].Since != nil {
		t.Errorf("got %s", w.Body)
	}
}

// TestNotReadyWhenFull: a gateway that refuses new calls for want of memory says so.
func TestNotReadyWhenFull(t *testing.T) {
	t.Parallel()
	a := &admin.Admin{Metrics: prometheus.NewRegistry(), Health: func() []admin.Health { return nil }, Full: func() bool { return true }}
	w := httptest.NewRecorder()
	a.Handler(func() bool { return true }).ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/readyz", nil))
	if w.Code != 503 || !strings.Contains(w.Body.String(), `"short_of_memory": true`) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
