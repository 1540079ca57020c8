package live

import (
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Bounds of health's Watch. A client needs one stream a connection.
const (
	healthStreams       = 20_000
	healthStreamsOfEach = 8
	// maxHealthService bounds the name of a service in bytes: a stream keeps it.
	maxHealthService = 1 << 10
)

// grpcHealth is the gateway's own answer to gRPC health checks (gRFC A17). It is
// safe for concurrent use.
type grpcHealth struct {
	*health.Server
	watching *streamLimit
	draining atomic.Bool
}

func newGRPCHealth() *grpcHealth {
	return &grpcHealth{Server: health.NewServer(), watching: newStreamLimit("health", healthStreams, healthStreamsOfEach)}
}

// rpcs are the methods of the health service.
func (h *grpcHealth) rpcs() []ownRPC {
	const service = "grpc.health.v1.Health"
	return []ownRPC{
		{service, "Check", func(ss grpc.ServerStream) error {
			return answerOne(ss, func(in *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
				return h.Check(ss.Context(), in)
			})
		}},
		{service, "List", func(ss grpc.ServerStream) error {
			return answerOne(ss, func(in *healthv1.HealthListRequest) (*healthv1.HealthListResponse, error) {
				return h.List(ss.Context(), in)
			})
		}},
		{service, "Watch", h.watch},
	}
}

// answerOne serves a unary RPC.
func answerOne[Q, A any](ss grpc.ServerStream, answer func(*Q) (*A, error)) error {
	in := new(Q)
	if err := ss.RecvMsg(in); err != nil {
		return err
	}
	out, err := answer(in)
	if err != nil {
		return call.RefuseStatus(call.Client, status.Convert(err)) // the service is unknown
	}
	return ss.SendMsg(out)
}

// drain tells all watchers that the gateway stops serving, and ends their streams, which
// would hold up the drain until its timeout.
func (h *grpcHealth) drain() {
	h.draining.Store(true)
	h.Shutdown()
}

// watch serves Watch. The limit counts by connection, because many clients behind a balancer
// have one address.
func (h *grpcHealth) watch(ss grpc.ServerStream) error {
	in := new(healthv1.HealthCheckRequest)
	if err := ss.RecvMsg(in); err != nil {
		return err
	}
	if len(in.GetService()) > maxHealthService {
		return call.Refuse(call.Client, codes.InvalidArgument, "the name of a service has at most %d bytes here", maxHealthService)
	}
	release, err := h.watching.acquire(connectionOf(ss.Context()))
	if err != nil {
		return err
	}
	defer release()
	return h.Watch(in, &watcher{&grpc.GenericServerStream[healthv1.HealthCheckRequest, healthv1.HealthCheckResponse]{ServerStream: ss}, h})
}

type watcher struct {
	grpc.ServerStreamingServer[healthv1.HealthCheckResponse]
	health *grpcHealth
}

// Send ends the stream after its last message.
func (w *watcher) Send(m *healthv1.HealthCheckResponse) error {
	if err := w.ServerStreamingServer.Send(m); err != nil {
		return err
	}
	if w.health.draining.Load() {
		return status.Error(codes.Unavailable, "the gateway is draining")
	}
	return nil
}
