// Package tracing makes a span of every call, in the trace that the client
// began or in one that begins here, and sends it to a collector by OTLP.
//
// The edges read and write the W3C trace context of what comes over the network,
// so that it goes on whether spans are made or not; the policy does so for calls
// from inside the process. Where spans are made, those of the attempts towards
// backends are OpenTelemetry's own, of otelgrpc: see [Tracing.DialOptions].
//
// Nothing here is global: OpenTelemetry's providers and propagators are handed
// where they are needed.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/stats"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Options say where spans go, and which.
type Options struct {
	// Endpoint is the collector's host:port, for OTLP over gRPC. Without one no
	// spans are made.
	Endpoint string
	// Credentials are TLS towards the collector; nil is in the clear.
	Credentials credentials.TransportCredentials
	// SampleRatio is the share of the traces begun here that is recorded, from 0
	// to 1. A trace begun elsewhere is recorded if it says so.
	SampleRatio float64
	// ServiceName and ServiceVersion stand in each span's resource.
	ServiceName, ServiceVersion string
	// Log is told, now and then, that spans could not be sent; nil: nobody is.
	Log *slog.Logger
}

// Tracing makes spans. It outlives tables and is safe for concurrent use.
type Tracing struct {
	provider *sdk.TracerProvider // nil: no spans
	tracer   trace.Tracer
}

// scope names what makes the spans.
const scope = "github.com/gatehouse-dev/gatehouse/interceptors/tracing"

// New makes the way to the collector, without waiting for it: spans wait in a
// bounded queue and are lost if it does not come. ctx is for the beginning only.
func New(ctx context.Context, o Options) (*Tracing, error) {
	if o.SampleRatio < 0 || o.SampleRatio > 1 || o.SampleRatio != o.SampleRatio {
		return nil, fmt.Errorf("sample_ratio: %v: want a number from 0 to 1", o.SampleRatio)
	}
	if o.Endpoint == "" {
		return &Tracing{}, nil
	}
	if host, port, err := net.SplitHostPort(o.Endpoint); err != nil || host == "" || port == "" || strings.Contains(o.Endpoint, "/") {
		return nil, fmt.Errorf("otlp_endpoint: %q: want host:port, such as \"collector:4317\"", o.Endpoint)
	}
	creds := otlptracegrpc.WithInsecure()
	if o.Credentials != nil {
		creds = otlptracegrpc.WithTLSCredentials(o.Credentials)
	}
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(o.Endpoint), creds)
	if err != nil {
		return nil, fmt.Errorf("otlp_endpoint: %w", err)
	}
	what, err := describe(ctx, o)
	if err != nil {
		return nil, errors.Join(err, exporter.Shutdown(ctx))
	}
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(&quiet{SpanExporter: exporter, log: o.Log}),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.SampleRatio))),
		sdk.WithIDGenerator(generator{}),
		sdk.WithResource(what),
	)
	return &Tracing{provider: provider, tracer: provider.Tracer(scope, trace.WithInstrumentationVersion(o.ServiceVersion))}, nil
}

// describe is the resource: what OTEL_RESOURCE_ATTRIBUTES adds, as operators'
// tooling sets it, and what we say ourselves.
func describe(ctx context.Context, o Options) (*resource.Resource, error) {
	return resource.New(ctx, resource.WithSchemaURL(semconv.SchemaURL), resource.WithFromEnv(), resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName(o.ServiceName), semconv.ServiceVersion(o.ServiceVersion)))
}

// DialOptions are for the connections to backends: every attempt of a call
// becomes a span below the call's, and the backend's span one below that. Without
// a collector there are none.
func (t *Tracing) DialOptions() []grpc.DialOption {
	if t.provider == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithStatsHandler(otelgrpc.NewClientHandler(
		otelgrpc.WithTracerProvider(t.provider),
		otelgrpc.WithPropagators(propagation.TraceContext{}),
		otelgrpc.WithMeterProvider(metricnoop.NewMeterProvider()),
		otelgrpc.WithFilter(ofCalls),
	)), grpc.WithStatsHandler(numbered{})}
}

// numbered tells the span of an attempt, which the handler before it has begun,
// which attempt it is of.
type numbered struct{}

var _ stats.Handler = numbered{}

// TagRPC begins an attempt.
func (numbered) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	if span := trace.SpanFromContext(ctx); span.IsRecording() && ofCalls(info) {
		a := call.AttemptOf(ctx)
		span.SetAttributes(attribute.Int("gatehouse.attempt.number", a.Number), attribute.String("gatehouse.attempt.kind", a.Kind))
	}
	return ctx
}

// HandleRPC has nothing to add.
func (numbered) HandleRPC(context.Context, stats.RPCStats) {}

// TagConn has nothing to add.
func (numbered) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn has nothing to add.
func (numbered) HandleConn(context.Context, stats.ConnStats) {}

// ofCalls leaves out what the gateway asks a backend on its own account.
func ofCalls(info *stats.RPCTagInfo) bool {
	return !strings.HasPrefix(info.FullMethodName, "/grpc.reflection.") && !strings.HasPrefix(info.FullMethodName, "/grpc.health.")
}

// Shutdown sends what waits, for as long as ctx lets it, and ends the connection
// to the collector.
func (t *Tracing) Shutdown(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}
