package tracing

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// quiet tells the log of failures, where the SDK would tell a global handler of
// every one.
type quiet struct {
	sdk.SpanExporter
	log  *slog.Logger
	told atomic.Int64 // when, in seconds
}

// tellEvery is how often a collector that is down is worth a line, in seconds.
const tellEvery = 60

// ExportSpans sends spans, or loses them.
func (q *quiet) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := q.SpanExporter.ExportSpans(ctx, spans)
	if err == nil || q.log == nil {
		return nil
	}
	now, last := time.Now().Unix(), q.told.Load()
	if now-last >= tellEvery && q.told.CompareAndSwap(last, now) {
		q.log.Warn("spans were lost: the collector did not take them", "spans", len(spans), "error", err)
	}
	return nil
}

// generator makes the identifiers of spans. A trace that begins here has the
// identifier under which the call is logged already.
type generator struct{}

var _ sdk.IDGenerator = generator{}

// NewIDs makes those of a span that begins a trace.
func (g generator) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	id := traceOf(call.From(ctx))
	return id, g.NewSpanID(ctx, id)
}

// NewSpanID makes that of a span in a trace.
func (generator) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// traceOf is the trace of a call, or a new one.
func traceOf(c *call.Call) (id trace.TraceID) {
	if c != nil && len(c.TraceID) == hex.EncodedLen(len(id)) {
		if _, err := hex.Decode(id[:], []byte(c.TraceID)); err == nil && id.IsValid() {
			return id
		}
	}
	_, _ = rand.Read(id[:]) // never fails
	return id
}
