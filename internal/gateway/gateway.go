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
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/breaker"
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
	version   string
	parts     parts
	registry  *prometheus.Registry
	upstreams map[string]*upstream.Upstream
	current   edge.Current
	served    atomic.Pointer[served] // beside the table, for those who ask
	listeners [3]server.Listener     // HTTP, gRPC, admin
	cors      *edge.CORS
	openAPI   []byte
	flush     func() // of the lines of calls
}

// served is what is known of a table. It is immutable.
type served struct {
	file     *config.File
	routes   []RouteInfo
	policies []MethodPolicy
	contract *contract
	warnings []string
}

// New connects to the upstreams, reads their contracts and builds the table. A
// mistake anywhere is an error and no gateway. ctx bounds the reading of
// contracts by reflection.
func New(ctx context.Context, o Options) (*Gateway, error) {
	g := &Gateway{version: o.Version, registry: prometheus.NewRegistry(), upstreams: map[string]*upstream.Upstream{}}
	g.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), upstreamMetrics{g})
	g.parts, g.flush = newParts(o)
	var err error
	if g.openAPI, err = openAPI(o); err != nil {
		return nil, err
	}
	if g.cors, err = edge.NewCORS(o.Config.Config.GetCors()); err != nil {
		return nil, o.Config.Errorf("cors", "%v", err)
	}
	if g.parts.state, err = newState(ctx, o.Config, g.registry, g.parts.log, o.Version); err != nil {
		return nil, err
	}
	if g.listeners, err = readListeners(o.Config.Config.GetListeners()); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	if err := g.start(ctx, o.Config); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// start connects and builds the first table.
func (g *Gateway) start(ctx context.Context, file *config.File) error {
	for _, u := range file.Config.GetUpstreams() {
		up, err := dial(u, g.version, g.parts.tracing.DialOptions())
		if err != nil {
			return err
		}
		g.upstreams[u.GetName()] = up
	}
	return g.build(ctx, file)
}

// build makes a table beside the one in force and puts it in its place. If it
// fails, the old one stays.
func (g *Gateway) build(ctx context.Context, file *config.File) error {
	b := &builder{file: file, parts: &g.parts, upstreams: g.upstreams}
	table, err := b.build(ctx)
	if err != nil {
		return err
	}
	g.served.Store(&served{file: file, routes: b.routes, policies: b.policies, contract: b.contract, warnings: b.warnings()})
	g.current.Store(table)
	return nil
}

// Rebuild reads the contracts anew and serves by another configuration from now
// on: what it exposes, under which policies, and how it looks in JSON. Calls that
// run are served to their end as they began. What policies remember stays: limits
// do not refill, breakers do not close. If it fails, nothing has changed.
//
// Listeners, limits, log, tracing and what stands outside of tables (upstreams,
// authenticators, Redis) are as they were when the gateway was made: a
// configuration that changes upstreams or authenticators is refused.
func (g *Gateway) Rebuild(ctx context.Context, file *config.File) error {
	old, next := g.Config().Config, file.Config
	for field, same := range map[string]bool{
		"upstreams":      slices.EqualFunc(old.GetUpstreams(), next.GetUpstreams(), sameMessage),
		"authenticators": slices.EqualFunc(old.GetAuthenticators(), next.GetAuthenticators(), sameMessage),
		"redis":          proto.Equal(old.GetRedis(), next.GetRedis()),
	} {
		if !same {
			return file.Errorf(field, "a change here takes a new gateway")
		}
	}
	return g.build(ctx, file)
}

func sameMessage[M proto.Message](a, b M) bool { return proto.Equal(a, b) }

// Close ends the connections to the upstreams and writes what waits to be logged.
func (g *Gateway) Close() error {
	g.flush()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(g.upstreams)) {
		errs = append(errs, g.upstreams[name].Close())
	}
	return errors.Join(append(errs, g.parts.close())...)
}

// Breakers lists the state of all circuit breakers.
func (g *Gateway) Breakers() []breaker.State { return g.parts.breakers.States() }

// Conn is the gateway from inside the process: calls on it pass the same chains
// as those of clients, each by the table in force when it begins. Generated
// clients may be built on it.
func (g *Gateway) Conn() grpc.ClientConnInterface { return conn{g} }

type conn struct{ *Gateway }

func (c conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return c.current.Load().Invoke(ctx, method, args, reply, opts...)
}

func (c conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.current.Load().NewStream(ctx, desc, method, opts...)
}

// Routes lists all that is served.
func (g *Gateway) Routes() []RouteInfo { return g.served.Load().routes }

// MethodPolicy is the policy in force for one RPC.
type MethodPolicy struct {
	Method    string
	Effective *config.Effective
}

// Policies lists the policy of every RPC that is served.
func (g *Gateway) Policies() []MethodPolicy { return g.served.Load().policies }

// Warnings tell what of the configuration is right and may yet not be meant.
func (g *Gateway) Warnings() []string { return g.served.Load().warnings }

// Config is the configuration in force.
func (g *Gateway) Config() *config.File { return g.served.Load().file }

// Log is the gateway's own.
func (g *Gateway) Log() *slog.Logger { return g.parts.log }

// health is the state of the upstreams, for /readyz.
func (g *Gateway) health() []server.Health {
	states := make([]server.Health, 0, len(g.upstreams))
	for _, name := range slices.Sorted(maps.Keys(g.upstreams)) {
		up := g.upstreams[name]
		status := up.Status()
		states = append(states, server.Health{
			Upstream: name, State: status.State.String(), Needed: up.Options.Required, Ready: status.State == connectivity.Ready,
			Found: status.Found, Replicas: status.Replicas, Connections: status.Connections, Problem: status.Problem,
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
