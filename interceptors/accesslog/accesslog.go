// Package accesslog writes one line for every call, refused ones too, when its
// answer has been sent.
//
// go-grpc-middleware's logging ends with the chain, before the answer is
// written, and knows neither HTTP nor what the gateway refused at the door;
// hence a policy of our own.
package accesslog

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Lines is a slog.Handler that takes a line's attributes as they are, which costs
// less than a record. They are the caller's again when Line returns.
type Lines interface {
	Line(t time.Time, level slog.Level, message string, attrs []slog.Attr)
}

// Policy writes to Log at level Info, or Warn where the upstream or the gateway is at
// fault.
type Policy struct {
	Log *slog.Logger // nil: no lines
	// Admit tells whether the line of one more call from that peer is written that
	// failed by the client's own fault, or that a policy refused: such calls cost a
	// client little. Nil admits all.
	Admit func(peer string) bool
}

// Build returns the policy, which is the same for all RPCs.
func (o Policy) Build(*interceptors.Method) (interceptors.Interceptor, error) {
	if o.Log == nil {
		return interceptors.Interceptor{}, nil
	}
	log := o.Log
	p := &policy{log: log, admit: o.Admit}
	p.lines, _ = log.Handler().(Lines)
	return interceptors.Observe("accesslog", func(ctx context.Context, _ string) (context.Context, func(error), error) {
		c := call.From(ctx)
		if c == nil || !log.Enabled(ctx, slog.LevelInfo) {
			return ctx, nil, nil
		}
		return ctx, func(err error) { p.write(ctx, c, err) }, nil
	}), nil
}

type policy struct {
	log   *slog.Logger
	lines Lines // of log; nil if it takes records only
	admit func(peer string) bool
}

// rooms have room for all attributes that there may be, so that nothing is
// allocated for one call.
var rooms = sync.Pool{New: func() any { return new([23]slog.Attr) }}

func (p *policy) write(ctx context.Context, c *call.Call, err error) {
	if err != nil && p.admit != nil && (call.FaultOf(err) == call.Client || call.PolicyOf(err) != "") && !p.admit(c.Peer) {
		return
	}
	room := rooms.Get().(*[23]slog.Attr) //nolint:forcetypeassert // the pool holds nothing else
	now := time.Now()
	attrs := room[:0]
	attrs = append(attrs,
		slog.String("method", c.Method),
		slog.String("protocol", c.Protocol.String()),
		slog.String("status", call.CodeName(call.CodeOf(err))),
		slog.Duration("duration", now.Sub(c.Start)),
		slog.Int64("bytes_in", c.In.Bytes()),
		slog.Int64("bytes_out", c.Out.Bytes()),
		slog.String("peer", c.Peer),
		slog.String("request_id", c.RequestID),
	)
	attrs = appendKnown(attrs, c)
	level := slog.LevelInfo
	if err != nil {
		fault := call.FaultOf(err)
		attrs = append(attrs, slog.String("fault", fault.String()), slog.String("error", short(call.StatusOf(err).Message(), longestText)))
		if by := call.PolicyOf(err); by != "" {
			attrs = append(attrs, slog.String("policy", by))
		}
		if cause := causeOf(err); cause != "" && cause != err.Error() {
			attrs = append(attrs, slog.String("cause", short(cause, longestText)))
		}
		if fault != call.Client {
			level = slog.LevelWarn
		}
	}
	if p.lines != nil {
		p.lines.Line(now, level, "call", attrs)
	} else { // LogAttrs would look up where it was called from, for nothing.
		record := slog.NewRecord(now, level, "call", 0)
		record.AddAttrs(attrs...)
		_ = p.log.Handler().Handle(ctx, record) // there is nobody to tell
	}
	clear(attrs) // they would keep what the call has
	rooms.Put(room)
}

// appendKnown adds what not every call has.
func appendKnown(attrs []slog.Attr, c *call.Call) []slog.Attr {
	for _, a := range [...]struct{ key, value string }{
		{"binding", c.Binding}, {"upstream", c.ServedBy()}, {"trace_id", c.TraceID}, {"user_agent", short(c.UserAgent, longestAgent)},
	} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.key, a.value))
		}
	}
	if who := c.Caller(); who != nil {
		attrs = append(attrs, slog.String("caller", short(who.ID, longestText)), slog.String("authenticator", who.Authenticator))
	}
	if c.HTTPStatus() != 0 {
		attrs = append(attrs, slog.Int("http_status", c.HTTPStatus()))
	}
	if c.Attempts() > 1 {
		attrs = append(attrs, slog.Int("attempts", c.Attempts()))
	}
	if c.In.Messages() > 1 || c.Out.Messages() > 1 {
		attrs = append(attrs, slog.Int64("messages_in", c.In.Messages()), slog.Int64("messages_out", c.Out.Messages()))
	}
	return attrs
}

// How many bytes of a text stand in a line at most. Clients have a say in all of
// them: errors name what they sent.
const (
	longestAgent = 256
	longestText  = 1 << 10
)

func short(text string, longest int) string {
	if len(text) > longest {
		return text[:longest] + "..."
	}
	return text
}

// causeOf is the part of an error that is logged and never sent.
func causeOf(err error) string {
	u, ok := err.(interface{ Unwrap() error })
	if !ok || u.Unwrap() == nil {
		return ""
	}
	return u.Unwrap().Error()
}
