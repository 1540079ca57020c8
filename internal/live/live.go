// Package live runs a gateway. It owns what outlives a table: the state of policies,
// connections, certificates, metrics and the log. A [Gateway] compiles a table from its
// configuration, puts it in force, and replaces it when the configuration, a contract or
// a certificate changes.
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
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/interceptors/breaker"
	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/certs"
	"github.com/gatehouse-dev/gatehouse/internal/collect"
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
	// Custom policies are the innermost ones, in this order.
	Custom []interceptors.Interceptor
	// Load reads the configuration again, with the changes that flags make, and returns
	// the files that it looked at, also after an error. Nil: the configuration stays, but
	// contracts and certificates are followed.
	Load func() (*config.File, []string, error)
	// Sockets are listeners that are open already; nil has none.
	Sockets server.Sockets

	link compile.Linker // nil: interceptors.Chain
}

// Gateway owns what outlives a table. It is safe for concurrent use.
type Gateway struct {
	version string

	log        *slog.Logger
	lines      *logging.Log // nil: written by Options.Log
	registry   *prometheus.Registry
	collectors *collectors
	counters   counters
	reports    *reports

	certs     *certs.Store
	memory    *memory.Process // what clients hold
	state     *state          // nil: it could not be made
	listeners listeners
	sockets   server.Sockets // nil: none

	current edge.Current // the table in force

	building sync.Mutex // one table at a time
	files    watchedFiles

	mu             sync.Mutex // guards what follows; taken after building
	upstreams      pool[*connection]
	authenticators pool[*auth.Authenticators]
	inForce        *connections          // of the table in force
	draining       map[*connections]bool // of tables that were replaced and still have calls
	releasing      sync.WaitGroup
}

// Table is the table in force; nil before the first.
func (g *Gateway) Table() *compile.Table { return compile.Of(g.current.Load()) }

// New connects to the upstreams, reads their contracts and compiles the table. A
// mistake anywhere is an error and no gateway. ctx bounds the reading of contracts by
// reflection.
func New(ctx context.Context, o Options) (*Gateway, error) {
	g := &Gateway{
		version: o.Version, sockets: o.Sockets,
		registry: prometheus.NewRegistry(), memory: newMemory(o.Config.Config.GetLimits()),
		upstreams: pool[*connection]{}, authenticators: pool[*auth.Authenticators]{}, draining: map[*connections]bool{},
	}
	g.collectors, g.counters = &collectors{Registerer: g.registry}, newCounters(g.registry)
	g.registry.MustRegister(
		memoryMetrics{g.memory}, promcollectors.NewGoCollector(), promcollectors.NewProcessCollector(promcollectors.ProcessCollectorOpts{}),
		admin.UpstreamMetrics{Table: g.Table},
		collect.Gauge("gatehouse_reload_tables_draining", "Tables that were replaced and have calls that still run.",
			func() float64 { return float64(g.countDraining()) }),
	)
	policies, lines, err := newPolicies(o, g.registry)
	if err != nil {
		return nil, err
	}
	g.log, g.lines = policies.Log, lines
	if err = g.start(ctx, o, policies); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// start makes what outlives a table, and then the first table. After an error, Close ends
// what was made.
func (g *Gateway) start(ctx context.Context, o Options, policies compile.Policies) (err error) {
	if g.certs, err = certs.New(certs.Options{Log: g.log, Registerer: g.registry}); err != nil {
		return err
	}
	if g.reports, err = newReports(g.registry); err != nil {
		return err
	}
	if g.files.load = o.Load; o.Load == nil {
		g.files.load = func() (*config.File, []string, error) { return g.Table().File, nil, nil }
	}
	g.files.watch(o.Config, nil, time.Now())
	if g.state, err = g.newState(ctx, policies, o.Config); err != nil {
		return err
	}
	if g.listeners, err = readListeners(g.certs, o.Config.Config.GetListeners()); err != nil {
		return err
	}
	_, err = g.attempt(ctx, compile.AtStart, func() (*config.File, error) { return o.Config, nil })
	debug.FreeOSMemory() // compiling leaves much garbage, by which the collector would size its next cycle
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
	err = errors.Join(g.state.Mirrors.Close(), g.closeConnections()) // copies end before their connections
	g.releasing.Wait()
	return errors.Join(err, g.state.close())
}

// FlushLog returns when what was logged so far is written, or after a second.
func (g *Gateway) FlushLog() {
	if g.lines != nil {
		g.lines.Flush(flushTime)
	}
}

// stopWaiting is called when the gateway is asked to stop. Calls stop waiting for a slow
// reader of the log a second later.
func (g *Gateway) stopWaiting() {
	if g.lines != nil {
		g.lines.StopWaiting(flushTime)
	}
}

// Breakers lists the state of all circuit breakers.
func (g *Gateway) Breakers() []breaker.State { return g.state.Breakers.States() }

// Conn returns a connection to the gateway from inside the process. Its calls pass the same
// chains as those of clients, each of the table in force when it begins. Generated clients
// can use it.
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

// Log is the gateway's own log.
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
