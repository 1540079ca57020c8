// Package gateway is the assembly: it makes the one immutable table of what is
// served out of the configuration and the contracts, and owns what outlives a
// table. The ordered list of policies stands in chain.go.
package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promcollectors "github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/breaker"
	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/certs"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/logging"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
	"github.com/gatehouse-dev/gatehouse/internal/server"
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

	link compile.Linker // nil: interceptors.Chain
}

// Gateway owns what outlives a table: connections, collectors, the log. It is
// safe for concurrent use.
type Gateway struct {
	version    string
	log        *slog.Logger
	state      *state // nil: nothing was begun
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

// Table is the table in force; nil before the first.
func (g *Gateway) Table() *compile.Table { return compile.Of(g.current.Load()) }

// New connects to the upstreams, reads their contracts and builds the table. A
// mistake anywhere is an error and no gateway. ctx bounds the reading of
// contracts by reflection.
func New(ctx context.Context, o Options) (*Gateway, error) {
	g := &Gateway{version: o.Version, registry: prometheus.NewRegistry(), openAPI: o.OpenAPI, sockets: o.Sockets, retired: map[*lease]bool{}}
	g.collectors = &collectors{Registerer: g.registry}
	g.dropped, g.unreadable, g.refused = newDroppedHeaders(), newUnreadableRequests(), newRefusedConnections()
	g.memory = newMemory(o.Config.Config.GetLimits())
	g.registry.MustRegister(g.dropped.total, g.unreadable.total, g.refused, memoryMetrics{g.memory}, promcollectors.NewGoCollector(), promcollectors.NewProcessCollector(promcollectors.ProcessCollectorOpts{}), admin.UpstreamMetrics{Table: g.Table})
	policies, lines, err := newPolicies(o, g.registry)
	if err != nil {
		return nil, err
	}
	g.log, g.lines = policies.Log, lines
	if err = g.begin(ctx, o, policies); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// begin makes what outlives a table, and the first table. After an error Close ends
// what there is.
func (g *Gateway) begin(ctx context.Context, o Options, policies compile.Policies) (err error) {
	if g.certs, err = certs.New(certs.Options{Log: g.log, Registerer: g.registry}); err != nil {
		return err
	}
	if err = g.reload.begin(g, o); err != nil {
		return err
	}
	if g.state, err = newState(ctx, policies, stateOptions{o.Config, g.certs, g.collectors, g.memory, o.Version}); err != nil {
		return err
	}
	if g.listeners, err = readListeners(g.certs, o.Config.Config.GetListeners()); err != nil {
		return err
	}
	_, err = g.attempt(ctx, compile.AtStart, func() (*config.File, error) { return o.Config, nil })
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
	if g.state == nil {
		return nil
	}
	err = errors.Join(g.state.Mirrors.Close(), g.closeLeases()) // copies end before their connections
	g.behind.Wait()
	return errors.Join(err, g.state.close())
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
func (g *Gateway) Breakers() []breaker.State { return g.state.Breakers.States() }

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

// Log is the gateway's own.
func (g *Gateway) Log() *slog.Logger { return g.log }

// AwaitUpstreams waits until every upstream that the gateway needs is there. The
// error names those that are not when ctx ends.
func (g *Gateway) AwaitUpstreams(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var missing []string
		for _, h := range admin.HealthOf(g.Table()) {
			if h.Needed && !h.Ready {
				missing = append(missing, fmt.Sprintf("%s (%s)", h.Upstream, h.State))
			}
		}
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("upstreams that are needed are not there: %s", strings.Join(missing, ", "))
		case <-tick.C:
		}
	}
}
