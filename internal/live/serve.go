package live

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"

	"google.golang.org/grpc"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/certs"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/edge/doors"
	edgegrpc "github.com/gatehouse-dev/gatehouse/internal/edge/grpc"
	"github.com/gatehouse-dev/gatehouse/internal/server"
)

// Listen opens the listeners in front of the gateway. Serving begins with
// Serve of what it returns.
func (g *Gateway) Listen() (*server.Server, error) { return g.ListenOn(g.sockets) }

// ListenOn is Listen with sockets that are open already; nil has none. It may be called
// again while an earlier server drains.
func (g *Gateway) ListenOn(sockets server.Sockets) (*server.Server, error) {
	settings, err := compile.Settings(&g.current, g.Table().File.Config)
	if err != nil {
		return nil, err
	}
	settings.Dropped, settings.Memory = g.counters.countDropped, g.memory
	health := newGRPCHealth()
	own := health.rpcs()
	if !g.Table().File.Config.GetReflection().GetDisabled() {
		own = append(own, g.reflection()...)
	}
	o := server.Options{
		Limits: limitsOf(g.Table().File.Config.GetLimits()),
		Drain: server.Drain{
			Delay:   g.Table().File.Config.GetDrain().GetDelay().AsDuration(),
			Timeout: g.Table().File.Config.GetDrain().GetTimeout().AsDuration(),
		},
		Log: g.log, Unreadable: g.counters.countUnreadable, Refused: g.counters.countRefused,
		Memory:  g.memory,
		NewGRPC: func(opts ...grpc.ServerOption) *grpc.Server { return g.newGRPC(settings, own, opts) },
		OnStop:  g.stopWaiting, OnDrain: health.drain, OnDrained: g.FlushLog, Sockets: sockets,
		NewHTTP: doors.Handler(settings),
	}
	var s *server.Server
	o.NewAdmin = g.newAdmin(func() string { return s.Address("http") }).Handler
	o.HTTP, o.GRPC, o.AdminOn = g.listeners[0], g.listeners[1], g.listeners[2]
	s, err = server.Listen(o)
	return s, err
}

// newAdmin returns what the admin listener shows. http is the address of the HTTP
// listener, which is known when requests come.
func (g *Gateway) newAdmin(http func() string) *admin.Admin {
	return &admin.Admin{
		Table: g.Table, Health: func() []admin.Health { return admin.HealthOf(g.Table()) }, Reloads: g.reloads, Breakers: g.Breakers,
		Full: g.memory.Full, Metrics: g.registry, Hosts: adminHosts(g.Table().File.Config.GetListeners().GetAdmin()),
		HTTP: http,
	}
}

// listeners are those of HTTP, gRPC and admin, in this order.
type listeners [3]server.Listener

var listenerNames = [...]string{"http", "grpc", "admin"}

// readListeners reads the settings of the listeners and their certificates. It opens no
// socket.
func readListeners(store *certs.Store, c *configv1.Listeners) (all listeners, err error) {
	web := []string{"h2", "http/1.1"}
	for i, l := range []struct {
		protocols []string // of TLS
		from      interface {
			GetAddress() string
			GetDisabled() bool
			GetTls() *configv1.ServerTls
		}
	}{{web, c.GetHttp()}, {[]string{"h2"}, c.GetGrpc()}, {web, c.GetAdmin()}} {
		all[i].Name = listenerNames[i]
		if l.from.GetDisabled() {
			continue
		}
		all[i].Address = l.from.GetAddress()
		if all[i].TLS, err = serverTLS(store, l.from.GetTls(), l.protocols); err != nil {
			return all, fmt.Errorf("listeners.%s.tls: %w", listenerNames[i], err)
		}
	}
	return all, nil
}

func serverTLS(store *certs.Store, t *configv1.ServerTls, protocols []string) (*tls.Config, error) {
	if t == nil {
		return nil, nil // no TLS
	}
	minVersion := uint16(tls.VersionTLS12)
	if t.GetMinVersion() == configv1.ServerTls_VERSION_1_3 {
		minVersion = tls.VersionTLS13
	}
	return store.Server(certs.ServerFiles{
		Cert: t.GetCertFile(), Key: t.GetKeyFile(), ClientCA: t.GetClientCaFile(), MinVersion: minVersion, Protocols: protocols,
	})
}

func limitsOf(l *configv1.Limits) server.Limits {
	return server.Limits{
		HeaderTimeout: l.GetHeaderTimeout().AsDuration(),
		IdleTimeout:   l.GetIdleTimeout().AsDuration(),
		WriteTimeout:  l.GetWriteTimeout().AsDuration(),
		HeaderBytes:   int(l.GetMaxHeaderBytes()),
		Streams:       l.GetMaxConcurrentStreams(),
		MessageBytes:  int(l.GetMaxMessageBytes()),
	}
}

// newGRPC returns a gRPC server. It registers the gateway's own RPCs; the door gets all
// others as unknown methods.
func (g *Gateway) newGRPC(s *edge.Settings, own []ownRPC, opts []grpc.ServerOption) *grpc.Server {
	srv := grpc.NewServer(append(opts, grpc.ForceServerCodecV2(call.Codec{}),
		grpc.InTapHandle(edgegrpc.RefuseEarly), grpc.UnknownServiceHandler(edgegrpc.Handler(s)))...)
	for _, desc := range describe(own, s) {
		srv.RegisterService(desc, nil)
	}
	return srv
}

// adminHosts are the names of the admin listener: those that are configured, and
// that in its address, if it has one.
func adminHosts(l *configv1.AdminListener) call.Hosts {
	names := slices.Clone(l.GetHosts())
	if host, _, err := net.SplitHostPort(l.GetAddress()); err == nil && host != "" {
		names = append(names, host)
	}
	return call.ParseHosts(names)
}
