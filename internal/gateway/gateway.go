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
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promcollectors "github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/breaker"
	"github.com/gatehouse-dev/gatehouse/internal/certs"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/logging"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
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
	// Load reads the configuration anew, with what flags say of it, and tells which
	// files it looked at, after an error too. Nil: it cannot change, but contracts
	// and certificates can.
	Load func() (*config.File, []string, error)
	// Sockets are listeners that are open already; nil has none.
	Sockets server.Sockets

	link linker // nil: interceptors.Chain
}

// Gateway owns what outlives a table: connections, collectors, the log. It is
// safe for concurrent use.
type Gateway struct {
	version    string
	parts      parts
	registry   *prometheus.Registry
	collectors *collectors
	dropped    droppedHeaders
	unreadable unreadableRequests
	refused    *prometheus.CounterVec // connections, by listener
	certs      *certs.Store
	current    edge.Current
	listeners  [3]server.Listener // HTTP, gRPC, admin
	sockets    server.Sockets     // nil: none
	memory     *memory.Process    // what clients hold
	openAPI    []byte             // where the configuration names no file
	lines      *logging.Log       // nil: written by Options.Log
	reload     reload

	building sync.Mutex // one table at a time
	mu       sync.Mutex // of what follows; taken after building
	lease    *lease     // of the table in force
	retired  map[*lease]bool
	behind   sync.WaitGroup // gives up leases
}

// served is what is known of a table beyond what the edges need: its
// Description. It is immutable.
type served struct {
	file      *config.File
	contract  *descriptors
	exposed   []*exposed
	warnings  []string
	schemas   map[string]*source
	httpFiles map[string]*config.HTTPFile // by path
	upstreams map[string]*upstream.Upstream
	openAPI   []byte
	since     time.Time
	trigger   Trigger
}

// inForce returns the table in force with its description, which always belong
// together; nil before the first table.
func (g *Gateway) inForce() (*edge.Table, *served) {
	table := g.current.Load()
	if table == nil {
		return nil, nil
	}
	return table, table.Description.(*served) //nolint:forcetypeassert // build sets nothing else
}

// served is what is known of the table in force, nil before the first.
func (g *Gateway) served() *served {
	_, s := g.inForce()
	return s
}

// New connects to the upstreams, reads their contracts and builds the table. A
// mistake anywhere is an error and no gateway. ctx bounds the reading of
// contracts by reflection.
func New(ctx context.Context, o Options) (*Gateway, error) {
	g := &Gateway{version: o.Version, registry: prometheus.NewRegistry(), openAPI: o.OpenAPI, sockets: o.Sockets, retired: map[*lease]bool{}}
	g.collectors = &collectors{Registerer: g.registry}
	g.dropped, g.unreadable, g.refused = newDroppedHeaders(), newUnreadableRequests(), newRefusedConnections()
	g.memory = newMemory(o.Config.Config.GetLimits())
	g.registry.MustRegister(g.dropped.total, g.unreadable.total, g.refused, memoryMetrics{g.memory}, promcollectors.NewGoCollector(), promcollectors.NewProcessCollector(promcollectors.ProcessCollectorOpts{}), upstreamMetrics{g})
	var err error
	if g.parts, g.lines, err = newParts(o, g.registry); err != nil {
		return nil, err
	}
	if err = g.begin(ctx, o); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// begin makes what outlives a table, and the first table. After an error Close ends
// what there is.
func (g *Gateway) begin(ctx context.Context, o Options) (err error) {
	if g.certs, err = certs.New(certs.Options{Log: g.parts.log, Registerer: g.registry}); err != nil {
		return err
	}
	if err = g.reload.begin(g, o); err != nil {
		return err
	}
	if g.parts.state, err = newState(ctx, o.Config, g.certs, g.collectors, g.parts.log, g.memory, o.Version); err != nil {
		return err
	}
	if g.listeners, err = readListeners(g.certs, o.Config.Config.GetListeners()); err != nil {
		return err
	}
	_, err = g.attempt(ctx, AtStart, func() (*config.File, error) { return o.Config, nil })
	debug.FreeOSMemory() // building leaves much garbage, by which the collector would measure
	return err
}

// flushTime bounds the wait for whoever reads the log.
const flushTime = time.Second

// Close ends the connections to the upstreams and writes what waits to be logged,
// unless the reader of the log does not take it within a second.
func (g *Gateway) Close() (err error) {
	if g.lines != nil {
		defer g.lines.Close(flushTime)
	}
	if g.parts.state == nil {
		return nil // nothing was begun
	}
	err = errors.Join(g.parts.mirrors.Close(), g.closeLeases()) // copies end before their connections
	g.behind.Wait()
	return errors.Join(err, g.parts.close())
}

// FlushLog returns when what was logged so far is written, or after a second.
func (g *Gateway) FlushLog() {
	if g.lines != nil {
		g.lines.Flush(flushTime)
	}
}

// stopWaiting is called when the gateway is asked to stop: no call waits for the
// reader of the log much longer.
func (g *Gateway) stopWaiting() {
	if g.lines != nil {
		g.lines.StopWaiting(flushTime)
	}
}

// Breakers lists the state of all circuit breakers.
func (g *Gateway) Breakers() []breaker.State { return g.parts.breakers.States() }

// Conn is the gateway from inside the process: calls on it pass the same chains
// as those of clients, each by the table in force when it begins. Generated
// clients may be built on it.
func (g *Gateway) Conn() grpc.ClientConnInterface { return conn{g} }

type conn struct{ *Gateway }

func (c conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	table := edge.Enter(&c.current)
	defer table.Leave()
	return table.Invoke(ctx, method, args, reply, opts...)
}

func (c conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	table := edge.Enter(&c.current)
	defer table.Leave() // the stream holds it for itself
	return table.NewStream(ctx, desc, method, opts...)
}

// Methods are all RPCs that are served, as their contracts declare them.
func (g *Gateway) Methods() []*contract.Method { return methodsOf(g.served().exposed) }

// MethodPolicy is the policy in force for one RPC.
type MethodPolicy struct {
	Method    string
	Effective *config.Effective
	// Keys are those of the policies that keep answers.
	Keys []PolicyKey
}

// Policies lists the policy of every RPC that is served.
func (g *Gateway) Policies() []MethodPolicy {
	var list []MethodPolicy
	for _, e := range g.served().exposed {
		list = append(list, MethodPolicy{Method: e.Name, Effective: e.effective, Keys: e.keys})
	}
	return list
}

// Warnings tell what of the configuration is right and may yet not be meant.
func (g *Gateway) Warnings() []string { return g.served().warnings }

// Config is the configuration in force.
func (g *Gateway) Config() *config.File { return g.served().file }

// Log is the gateway's own.
func (g *Gateway) Log() *slog.Logger { return g.parts.log }

// health is the state of the upstreams, for /readyz.
func (g *Gateway) health() []server.Health {
	now := g.served()
	if now == nil {
		return nil // before the first table
	}
	states := make([]server.Health, 0, len(now.upstreams))
	for _, u := range now.file.Config.GetUpstreams() {
		up := now.upstreams[u.GetName()]
		if up == nil {
			continue // there is no server
		}
		status := up.Status()
		health := server.Health{
			Upstream: u.GetName(), State: status.State.String(), Needed: !u.GetOptional(), Ready: status.State == connectivity.Ready,
			Found: status.Found, Replicas: status.Replicas, Connections: status.Connections, Problem: status.Problem,
		}
		if !status.SilentSince.IsZero() {
			health.SilentSince = &status.SilentSince
		}
		states = append(states, health)
	}
	slices.SortFunc(states, func(a, b server.Health) int { return strings.Compare(a.Upstream, b.Upstream) })
	return states
}

// requestIDBytes make an identifier as long as a trace's.
const requestIDBytes = 16

func newRequestID() string {
	var b [requestIDBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
