package gateway

import (
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/server"
)

// Listen opens the listeners in front of the gateway. Serving begins with
// Serve of what it returns.
func (g *Gateway) Listen() (*server.Server, error) {
	settings, err := g.settings()
	if err != nil {
		return nil, err
	}
	health := newGRPCHealth()
	o := server.Options{
		Limits: limitsOf(g.file.Config.GetLimits()),
		Drain: server.Drain{
			Delay:   g.file.Config.GetDrain().GetDelay().AsDuration(),
			Timeout: g.file.Config.GetDrain().GetTimeout().AsDuration(),
		},
		Log:     g.parts.log,
		NewGRPC: func(opts ...grpc.ServerOption) *grpc.Server { return g.newGRPC(settings, health, opts) },
		OnDrain: health.drain,
		NewHTTP: edge.Handler(settings),
		Admin: &server.Admin{
			Metrics: g.registry, Health: g.health,
			Routes:  func() any { return g.Routes() },
			OpenAPI: func() []byte { return g.openAPI },
		},
	}
	l := g.file.Config.GetListeners()
	for _, set := range []struct {
		to   *server.Listener
		name string
		from interface {
			GetAddress() string
			GetDisabled() bool
			GetTls() *configv1.ServerTls
		}
	}{{&o.HTTP, "http", l.GetHttp()}, {&o.GRPC, "grpc", l.GetGrpc()}, {&o.AdminOn, "admin", l.GetAdmin()}} {
		set.to.Name = set.name
		if set.from.GetDisabled() {
			continue
		}
		set.to.Address = set.from.GetAddress()
		if set.to.TLS, err = serverTLS(set.from.GetTls()); err != nil {
			return nil, err
		}
	}
	return server.Listen(o)
}

func limitsOf(l *configv1.Limits) server.Limits {
	return server.Limits{
		HeaderTimeout: l.GetHeaderTimeout().AsDuration(),
		IdleTimeout:   l.GetIdleTimeout().AsDuration(),
		HeaderBytes:   int(l.GetMaxHeaderBytes()),
		Streams:       l.GetMaxConcurrentStreams(),
		MessageBytes:  int(l.GetMaxMessageBytes()),
	}
}

// newGRPC makes a server whose every method is the gateway's, but for its own
// health and the contract of what it serves.
func (g *Gateway) newGRPC(s *edge.Settings, health *grpcHealth, opts []grpc.ServerOption) *grpc.Server {
	srv := grpc.NewServer(append(opts, grpc.ForceServerCodecV2(call.Codec{}), grpc.UnknownServiceHandler(edge.GRPC(s)))...)
	healthv1.RegisterHealthServer(srv, health)
	g.contract.register(srv)
	return srv
}
