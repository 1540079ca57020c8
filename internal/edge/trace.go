package edge

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// traceContext is the W3C Trace Context that a request came with. It is a part of the
// call's [Half] and the carrier that OpenTelemetry reads, so that reading allocates
// nothing but what goes into the context.
type traceContext struct {
	parent, state string           // valid values of traceparent and tracestate, "" for none
	flags         trace.TraceFlags // as the client sent them; 0 for a trace that begins here
}

var _ propagation.TextMapCarrier = (*traceContext)(nil)

// Where the parts of a traceparent stand: version, trace, parent and flags in
// hexadecimal, with dashes between.
const traceBegin, traceEnd, flagsBegin, flagsEnd = 3, 35, 53, 55

// read returns ctx with the client's span, from which policies continue the trace. An
// invalid traceparent is ignored (Trace Context, section 3.2.2), and so are two of them,
// and a tracestate without a traceparent.
func (t *traceContext) read(ctx context.Context, parents, states []string) context.Context {
	if len(parents) != 1 {
		return ctx
	}
	parent := parents[0]
	if strings.HasPrefix(parent, "00-") {
		if len(parent) != flagsEnd {
			return ctx // OpenTelemetry would accept a dash at the end
		}
		if parent[flagsBegin:] > "03" {
			// Flags without a meaning are to be ignored. OpenTelemetry ignores
			// them in later versions, but refuses them in version 00.
			parent = "01" + parent[2:]
		}
	}
	*t = traceContext{parent: parent, state: joined(states)}
	ctx = propagation.TraceContext{}.Extract(ctx, t)
	span := trace.SpanContextFromContext(ctx)
	if !span.IsRemote() { // it is not the client's
		*t = traceContext{}
		return ctx
	}
	if span.TraceState().Len() == 0 {
		t.state = ""
	}
	t.flags = span.TraceFlags()
	return ctx
}

// Get returns the header that OpenTelemetry asks for.
func (t *traceContext) Get(key string) string {
	if key == "tracestate" {
		return t.state
	}
	return t.parent
}

// Keys and Set complete the carrier. They are not called: OpenTelemetry does not
// list the headers, and those for the backend are written by child and pass.
func (*traceContext) Keys() []string     { return nil }
func (*traceContext) Set(string, string) {}

// traceID returns the client's trace id, or makes one for a trace that begins here.
func (t *traceContext) traceID() string {
	if t.parent != "" {
		return t.parent[traceBegin:traceEnd]
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// child returns the traceparent for the backend: a span of the gateway's own in the
// client's trace.
func (t *traceContext) child(c *call.Call) string {
	var span [8]byte
	_, _ = rand.Read(span[:]) // never fails, and is not all zeros in this world's time
	var b [flagsEnd]byte
	p := append(b[:0], "00-"...)
	p = append(p, c.TraceID...)
	p = append(p, '-')
	p = hex.AppendEncode(p, span[:])
	p = append(p, '-')
	p = hex.AppendEncode(p, []byte{byte(t.flags)})
	return string(p)
}

// pass adds the tracestate to md.
func (t *traceContext) pass(md metadata.MD) {
	if t.state != "" {
		md["tracestate"] = []string{t.state}
	}
}
