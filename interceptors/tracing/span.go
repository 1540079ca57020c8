package tracing

import (
	"context"
	"net"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// noMethod stands for an RPC that is not known, as the conventions have it.
const noMethod = "_OTHER"

// Build returns the policy for one method, whose name is "" for what is refused at
// the door. It stands outermost: all others run within its span, and find the
// call's TraceID set.
func (t *Tracing) Build(m *interceptors.Method) (interceptors.Interceptor, error) {
	name := strings.TrimPrefix(m.Name, "/")
	if name == "" {
		name = noMethod
	}
	s := &spans{tracing: t, name: name}
	for kind := range s.start {
		s.start[kind] = []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKind(kind)),
			trace.WithAttributes(semconv.RPCSystemNameGRPC, semconv.RPCMethod(name)),
		}
	}
	return interceptors.Observe("tracing", s.begin), nil
}

// spans are those of one method.
type spans struct {
	tracing *Tracing
	name    string
	start   [trace.SpanKindServer + 1][]trace.SpanStartOption // by kind
}

func (s *spans) begin(ctx context.Context, _ string) (context.Context, func(error), error) {
	c := call.From(ctx)
	inside := c == nil || c.Protocol == call.InProcess
	if s.tracing.provider == nil {
		if inside {
			ctx = carryOn(ctx, c)
		}
		return ctx, nil, nil
	}
	kind := trace.SpanKindServer
	if inside {
		kind = trace.SpanKindInternal
		ctx = extract(ctx)
	}
	ctx, span := s.tracing.tracer.Start(ctx, s.name, s.start[kind]...)
	note(c, span.SpanContext())
	if !span.IsRecording() {
		return ctx, nil, nil
	}
	if c == nil {
		return ctx, func(err error) { end(span, err) }, nil
	}
	describeCall(ctx, span, c)
	return ctx, func(err error) {
		if chosen := c.ServedBy(); chosen != c.Upstream { // since the call began
			span.SetAttributes(attribute.String("gatehouse.upstream", chosen))
		}
		if status := c.HTTPStatus(); status != 0 {
			span.SetAttributes(semconv.HTTPResponseStatusCode(status))
		}
		end(span, err)
	}, nil
}

// note has the call know its trace. The edges have done so; a call from inside
// the process may begin one.
func note(c *call.Call, sc trace.SpanContext) {
	if c != nil && c.TraceID == "" {
		c.TraceID = sc.TraceID().String()
	}
}

// describeCall says what is known of a call before it goes on.
func describeCall(ctx context.Context, span trace.Span, c *call.Call) {
	attrs := make([]attribute.KeyValue, 0, 8)
	attrs = append(attrs, attribute.String("gatehouse.protocol", c.Protocol.String()))
	if c.RequestID != "" {
		attrs = append(attrs, attribute.String("gatehouse.request_id", c.RequestID))
	}
	if c.Upstream != "" {
		attrs = append(attrs, attribute.String("gatehouse.upstream", c.Upstream))
	}
	if verb, route, ok := strings.Cut(c.Binding, " "); ok {
		attrs = append(attrs, semconv.HTTPRequestMethodKey.String(verb), semconv.HTTPRoute(route))
	}
	if ip := c.PeerIP(); ip.IsValid() {
		attrs = append(attrs, semconv.ClientAddress(ip.String()))
	}
	if md, ok := metadata.FromOutgoingContext(ctx); ok {
		if host := md.Get("x-forwarded-host"); len(host) > 0 { // as the client called us
			attrs = appendServer(attrs, host[0])
		}
	}
	span.SetAttributes(attrs...)
}

func appendServer(attrs []attribute.KeyValue, authority string) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		return append(attrs, semconv.ServerAddress(authority))
	}
	attrs = append(attrs, semconv.ServerAddress(host))
	if n, err := strconv.Atoi(port); err == nil {
		attrs = append(attrs, semconv.ServerPort(n))
	}
	return attrs
}

// end tells how the call ended. A client's mistake is no error of this service.
func end(span trace.Span, err error) {
	defer span.End()
	code := call.CodeName(call.CodeOf(err))
	span.SetAttributes(semconv.RPCResponseStatusCode(code))
	if err == nil {
		return
	}
	fault := call.FaultOf(err)
	span.SetAttributes(attribute.String("gatehouse.fault", fault.String()))
	if by := call.PolicyOf(err); by != "" {
		span.SetAttributes(attribute.String("gatehouse.policy", by))
	}
	if fault != call.Client {
		span.SetAttributes(semconv.ErrorTypeKey.String(code))
		span.SetStatus(otelcodes.Error, call.StatusOf(err).Message())
	}
}

// carrier reads and writes the trace context of outgoing metadata.
type carrier metadata.MD

var _ propagation.TextMapCarrier = carrier(nil)

func (c carrier) Get(key string) string { return strings.Join(c[key], ",") }
func (c carrier) Set(key, value string) { c[key] = []string{value} }
func (c carrier) Keys() []string        { return nil }
func (c carrier) outgoing() metadata.MD { return metadata.MD(c) }
func outgoingCopy(ctx context.Context) carrier { // of its own, even where there was none
	md, ok := metadata.FromOutgoingContext(ctx)
	if !ok {
		md = metadata.MD{}
	}
	return carrier(md)
}

// extract finds the span to go on from where the caller has none of its own in
// ctx: in the metadata that it sends.
func extract(ctx context.Context) context.Context {
	if trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, outgoingCopy(ctx))
}

// carryOn does for a call from inside the process what the edges do for others:
// the backend gets a span of the gateway's as its parent.
func carryOn(ctx context.Context, c *call.Call) context.Context {
	md := outgoingCopy(ctx)
	ctx = extract(ctx)
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		sc = sc.WithTraceID(traceOf(c))
	}
	sc = sc.WithSpanID(generator{}.NewSpanID(ctx, sc.TraceID()))
	note(c, sc)
	ctx = trace.ContextWithSpanContext(ctx, sc)
	propagation.TraceContext{}.Inject(ctx, md)
	return metadata.NewOutgoingContext(ctx, md.outgoing())
}
