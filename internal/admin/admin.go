// Package admin is the admin listener: health, metrics, and what the table in force
// serves and how. It reads a table; what only package live knows is handed to it.
package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc/connectivity"

	"github.com/gatehouse-dev/gatehouse/interceptors/breaker"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/console"
	"github.com/gatehouse-dev/gatehouse/internal/openapi"
)

// Health is the state of one upstream, for /readyz.
type Health struct {
	Upstream string `json:"upstream"`
	State    string `json:"state"`
	Needed   bool   `json:"needed"` // without it, the gateway is not ready
	Ready    bool   `json:"ready"`
	// Found tells how its replicas are found: "addresses", "dns", "xds" and such.
	Found string `json:"found,omitempty"`
	// Replicas is how many were found, 0 where only a control plane knows.
	Replicas int `json:"replicas,omitempty"`
	// Connections counts the open connections, to healthy replicas and others.
	Connections int `json:"connections"`
	// Problem is why the last search for replicas failed.
	Problem string `json:"problem,omitempty"`
	// SilentSince is set while calls reach the upstream and it answers none of them: it
	// is when the first of them ended.
	SilentSince *time.Time `json:"silent_since,omitempty"`
}

// HealthOf is the state of a table's upstreams; none before the first table.
func HealthOf(t *compile.Table) []Health {
	if t == nil {
		return nil
	}
	states := make([]Health, 0, len(t.Upstreams))
	for _, u := range t.File.Config.GetUpstreams() {
		up := t.Upstreams[u.GetName()]
		if up == nil {
			continue // there is no server
		}
		status := up.Status()
		health := Health{
			Upstream: u.GetName(), State: status.State.String(), Needed: !u.GetOptional(), Ready: status.State == connectivity.Ready,
			Found: status.Found, Replicas: status.Replicas, Connections: status.Connections, Problem: status.Problem,
		}
		if !status.SilentSince.IsZero() {
			health.SilentSince = &status.SilentSince
		}
		states = append(states, health)
	}
	slices.SortFunc(states, func(a, b Health) int { return strings.Compare(a.Upstream, b.Upstream) })
	return states
}

// Admin is what the admin listener shows. Its functions are called for each
// request and must be safe for concurrent use.
type Admin struct {
	Table    func() *compile.Table // the one in force
	Health   func() []Health
	Reloads  func() Reloads
	Breakers func() []breaker.State
	Full     func() bool // new calls are refused for want of memory; nil: never
	Metrics  prometheus.Gatherer
	// Hosts are names that requests may have besides those of this machine.
	Hosts call.Hosts
	// HTTP is the address of the HTTP listener, "" if there is none.
	HTTP func() string
}

// ofThisMachine are names that no page from elsewhere can have.
var ofThisMachine = call.ParseHosts([]string{"localhost", "*.localhost"})

// guarded refuses requests for host names that are not the listener's. Otherwise a web page
// whose own name points here (DNS rebinding) could read the answers. Addresses are accepted,
// because no name is resolved for them: probes and Prometheus use them. HTTP/1.0 names no
// host, and no browser speaks it.
func (a *Admin) guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "" || call.Address(r.Host).IsValid() || ofThisMachine.Have(r.Host) || a.Hosts.Have(r.Host) {
			h.ServeHTTP(w, r)
			return
		}
		w.Header()["X-Content-Type-Options"] = []string{"nosniff"}
		w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
		w.WriteHeader(http.StatusMisdirectedRequest)
		_, _ = fmt.Fprintf(w, "%q is no name of the admin listener: use its address or localhost, or add the name to listeners.admin.hosts\n", r.Host) //nolint:gosec // quoted, and plain text that no browser takes for a page
	})
}

// Handler serves /livez, /readyz, /metrics, /routes, /breakers, /config, /contract,
// /openapi.json, /openapi.yaml and /docs. It must never be reachable from outside.
func (a *Admin) Handler(ready func() bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { a.readyz(w, ready()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /routes", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, Routes(a.Table())) })
	mux.HandleFunc("GET /breakers", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, a.Breakers()) })
	mux.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, StatusOf(a.Table(), a.Reloads()))
	})
	mux.HandleFunc("GET /contract", a.contract)
	mux.HandleFunc("GET /openapi.json", a.openAPI(openapi.JSON))
	mux.HandleFunc("GET /openapi.yaml", a.openAPI(openapi.YAML))
	for path := range new(console.Console{Path: consolePath}).Pages() {
		mux.HandleFunc("GET "+path, a.console)
	}
	return a.guarded(mux)
}

// readyz answers 200 if the gateway accepts new calls, has memory for them, and is connected
// to every upstream that it needs, and otherwise 503. The body lists the upstreams that are
// not there: those that are missing make the gateway unready, those that are optional do
// not. Silent ones do not either: other gateways would call the same replicas, and only a
// call can find out that one answers again.
func (a *Admin) readyz(w http.ResponseWriter, welcome bool) {
	answer := struct {
		Ready     bool     `json:"ready"`
		Draining  bool     `json:"draining,omitempty"`
		Full      bool     `json:"short_of_memory,omitempty"`
		Missing   []string `json:"missing,omitempty"`
		Without   []string `json:"without,omitempty"`
		Silent    []string `json:"silent,omitempty"`
		Upstreams []Health `json:"upstreams"`
	}{Draining: !welcome, Full: a.Full != nil && a.Full(), Upstreams: a.Health()}
	for _, h := range answer.Upstreams {
		if h.SilentSince != nil {
			answer.Silent = append(answer.Silent, h.Upstream)
		}
		switch {
		case h.Ready:
		case h.Needed:
			answer.Missing = append(answer.Missing, h.Upstream)
		default:
			answer.Without = append(answer.Without, h.Upstream)
		}
	}
	answer.Ready = welcome && !answer.Full && len(answer.Missing) == 0
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, answer)
}

func (a *Admin) contract(w http.ResponseWriter, _ *http.Request) {
	set, err := Contract(a.Table())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(set)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // fails only if the client is gone
}
