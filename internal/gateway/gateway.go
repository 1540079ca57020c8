// Package gateway is the assembly: it makes the one immutable table of what is
// served out of the configuration and the contracts, and owns what outlives a
// table. The ordered list of policies stands in chain.go.
package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/metrics"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/server"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// Options are the collaborators of a gateway.
type Options struct {
	Config *config.File
	Log    *slog.Logger // the gateway's own; nil: made from the configuration
	LogTo  io.Writer    // where a log made from the configuration goes
	// Version stands in the User-Agent that backends see.
	Version string
	// Custom policies run inside of all others, in this order.
	Custom []interceptors.Interceptor
	// OpenAPI is served at /openapi.json where the configuration names no file.
	OpenAPI []byte
}

// Gateway owns what outlives a table: connections, collectors, the log. It is
// safe for concurrent use.
type Gateway struct {
	file      *config.File
	parts     parts
	registry  *prometheus.Registry
	upstreams map[string]*upstream.Upstream
	current   edge.Current
	routes    []RouteInfo
	policies  []MethodPolicy
	contract  *contract
	listeners [3]server.Listener // HTTP, gRPC, admin
	openAPI   []byte
	flush     func() // of the lines of calls
}

// New connects to the upstreams, reads their contracts and builds the table. A
// mistake anywhere is an error and no gateway. ctx bounds the reading of
// contracts by reflection.
func New(ctx context.Context, o Options) (*Gateway, error) {
	g := &Gateway{file: o.Config, registry: prometheus.NewRegistry(), upstreams: map[string]*upstream.Upstream{}}
	g.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m, err := metrics.New(g.registry)
	if err != nil {
		return nil, err
	}
	g.parts, g.flush = newParts(o, m)
	if g.openAPI, err = openAPI(o); err != nil {
		return nil, err
	}
	if g.listeners, err = readListeners(g.file.Config.GetListeners()); err != nil {
		return nil, err
	}
	if err := g.build(ctx, o.Version); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

func (g *Gateway) build(ctx context.Context, version string) error {
	for _, u := range g.file.Config.GetUpstreams() {
		up, err := dial(u, version)
		if err != nil {
			return err
		}
		g.upstreams[u.GetName()] = up
	}
	b := &builder{file: g.file, parts: &g.parts, upstreams: g.upstreams}
	table, err := b.build(ctx)
	if err != nil {
		return err
	}
	g.current.Store(table)
	g.routes, g.policies, g.contract = b.routes, b.policies, b.contract
	return nil
}

// Close ends the connections to the upstreams and writes what waits to be logged.
func (g *Gateway) Close() error {
	g.flush()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(g.upstreams)) {
		errs = append(errs, g.upstreams[name].Close())
	}
	return errors.Join(errs...)
}

// Conn is the gateway from inside the process: calls on it pass the same chains
// as those of clients. Generated clients may be built on it.
func (g *Gateway) Conn() grpc.ClientConnInterface { return g.current.Load().Table }

// Routes lists all that is served.
func (g *Gateway) Routes() []RouteInfo { return g.routes }

// MethodPolicy is the policy in force for one RPC.
type MethodPolicy struct {
	Method    string
	Effective *config.Effective
}

// Policies lists the policy of every RPC that is served.
func (g *Gateway) Policies() []MethodPolicy { return g.policies }

// Config is the configuration.
func (g *Gateway) Config() *config.File { return g.file }

// Log is the gateway's own.
func (g *Gateway) Log() *slog.Logger { return g.parts.log }

// health is the state of the upstreams, for /readyz.
func (g *Gateway) health() []server.Health {
	states := make([]server.Health, 0, len(g.upstreams))
	for _, name := range slices.Sorted(maps.Keys(g.upstreams)) {
		up := g.upstreams[name]
		state := up.State()
		states = append(states, server.Health{
			Upstream: name, State: state.String(), Required: up.Options.Required, Ready: state == connectivity.Ready,
		})
	}
	return states
}

// requestIDBytes make an identifier as long as a trace's.
const requestIDBytes = 16

func newRequestID() string {
	var b [requestIDBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
