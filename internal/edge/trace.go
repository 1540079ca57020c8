package edge

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// lineage is the W3C Trace Context that a request came with: its traceparent
// and tracestate, "" where it had none that is valid. A state without a parent
// is nothing.
type lineage struct{ parent, state string }

// Where the parts of a traceparent stand: version, trace, parent and flags in
// hexadecimal, with dashes between.
const (
	traceBegin, traceEnd   = 3, 35
	parentBegin, parentEnd = 36, 52
	flagsBegin, flagsEnd   = 53, 55
)

// traceFlags are those that mean something (Trace Context, level 2).
const traceFlags = trace.FlagsSampled | trace.FlagsRandom

// lineageOf reads the headers of a request. A traceparent that is not valid is
// as good as none (Trace Context, section 3.2.2), and so is one of two.
func lineageOf(parents, states []string) lineage {
	if len(parents) != 1 || !validParent(parents[0]) {
		return lineage{}
	}
	l := lineage{parent: parents[0]}
	if len(states) == 0 {
		return l
	}
	state := joined(states)
	if _, err := trace.ParseTraceState(state); err == nil {
		l.state = state
	}
	return l
}

// validParent checks a traceparent. One of a later version may be longer.
func validParent(p string) bool {
	if len(p) < flagsEnd || p[2] != '-' || p[traceEnd] != '-' || p[parentEnd] != '-' {
		return false
	}
	version := p[:2]
	if version == "ff" || len(p) > flagsEnd && (version == "00" || p[flagsEnd] != '-') {
		return false
	}
	id, parent := p[traceBegin:traceEnd], p[parentBegin:parentEnd]
	return isHex(version) && isHex(id) && isHex(parent) && isHex(p[flagsBegin:flagsEnd]) && !isZero(id) && !isZero(parent)
}

// traceID is the trace's, or that of a trace which begins here.
func (l lineage) traceID() string {
	if l.parent != "" {
		return l.parent[traceBegin:traceEnd]
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// remote returns ctx with the client's span, as OpenTelemetry has it: what
// makes spans goes on from there.
func (l lineage) remote(ctx context.Context) context.Context {
	if l.parent == "" {
		return ctx
	}
	c := trace.SpanContextConfig{TraceFlags: l.flags(), Remote: true}
	_, _ = hex.Decode(c.TraceID[:], []byte(l.parent[traceBegin:traceEnd]))  // checked
	_, _ = hex.Decode(c.SpanID[:], []byte(l.parent[parentBegin:parentEnd])) // checked
	c.TraceState, _ = trace.ParseTraceState(l.state)                        // checked
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(c))
}

// flags keep what the client said of sampling; a trace that begins here is
// recorded nowhere, unless a policy that makes spans says otherwise.
func (l lineage) flags() trace.TraceFlags {
	if l.parent == "" {
		return 0
	}
	var b [1]byte
	_, _ = hex.Decode(b[:], []byte(l.parent[flagsBegin:flagsEnd])) // checked
	return trace.TraceFlags(b[0]) & traceFlags
}

// child is the traceparent for the backend: the gateway's own span in the
// client's trace.
func (l lineage) child(c *call.Call) string {
	var span [8]byte
	_, _ = rand.Read(span[:]) // never fails, and is not all zeros in this world's time
	var b [flagsEnd]byte
	p := append(b[:0], "00-"...)
	p = append(p, c.TraceID...)
	p = append(p, '-')
	p = hex.AppendEncode(p, span[:])
	p = append(p, '-')
	p = hex.AppendEncode(p, []byte{byte(l.flags())})
	return string(p)
}

// pass puts the state beside the parent.
func (l lineage) pass(md metadata.MD) {
	if l.state != "" {
		md["tracestate"] = []string{l.state}
	}
}

func isHex(s string) bool  { return strings.Trim(s, "0123456789abcdef") == "" }
func isZero(s string) bool { return strings.Trim(s, "0") == "" }
