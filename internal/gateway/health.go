package gateway

import (
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// grpcHealth is the gateway's own answer to gRPC health checks (gRFC A17). It is
// safe for concurrent use.
type grpcHealth struct {
	*health.Server
	draining atomic.Bool
}

func newGRPCHealth() *grpcHealth { return &grpcHealth{Server: health.NewServer()} }

// drain tells everybody who watches that the gateway is not serving any more,
// and ends the watching: it would hold up the drain until its timeout.
func (h *grpcHealth) drain() {
	h.draining.Store(true)
	h.Shutdown()
}

// Watch serves the health service.
func (h *grpcHealth) Watch(in *healthv1.HealthCheckRequest, stream grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	return h.Server.Watch(in, &watcher{stream, h})
}

type watcher struct {
	grpc.ServerStreamingServer[healthv1.HealthCheckResponse]
	health *grpcHealth
}

// Send ends the stream behind its last message.
func (w *watcher) Send(m *healthv1.HealthCheckResponse) error {
	if err := w.ServerStreamingServer.Send(m); err != nil {
		return err
	}
	if w.health.draining.Load() {
		return status.Error(codes.Unavailable, "the gateway is draining")
	}
	return nil
}
