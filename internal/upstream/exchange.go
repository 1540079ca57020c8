package upstream

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/stats"
)

// exchange is the context of one call below the last link, and what happened to
// the last attempt that grpc-go made of it. Whose fault an end is follows from
// these facts, never from the text of an error.
type exchange struct {
	context.Context

	conn   *Conn
	method string
	stream bool                    // its deadline is its client's alone
	done   func(balancer.DoneInfo) // of the policy that chose the replica, without the count of outliers

	facts atomic.Uint32
	// sentUnreadable tells that a request was found to be one that no backend can read.
	sentUnreadable atomic.Bool

	asking  bool // the client awaits an answer that has not come
	crowded bool // and many others: this one must wait for room

	began atomic.Int64 // when the request's headers went out, else when the attempt began; nanoseconds of the Unix epoch
}

// The facts.
const (
	begun        uint32 = 1 << iota // grpc-go made an attempt: the metadata can be sent
	chosen                          // there was a connection to send it on
	sent                            // the transport took the request's headers
	headersCame                     // the answer began with headers of gRPC's
	trailersCame                    // the answer ended with trailers of gRPC's
	foreign                         // its messages are not in protobuf
)

type exchangeKey struct{}

// Value serves exchangeOf.
func (x *exchange) Value(key any) any {
	if _, ok := key.(exchangeKey); ok {
		return x
	}
	return x.Context.Value(key)
}

// exchangeOf is the exchange that ctx belongs to, nil for what the gateway asks a
// backend on its own account.
func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

func (x *exchange) has(fact uint32) bool { return x.facts.Load()&fact != 0 }

func (x *exchange) note(fact uint32) { x.facts.Or(fact) }

func (x *exchange) forget(fact uint32) { x.facts.And(^fact) }

// elapsed is how long the backend has had the call, or how long the call has
// waited to be sent: up to its deadline, however late that is noticed.
func (x *exchange) elapsed() time.Duration {
	now := time.Now()
	if deadline, ok := x.Deadline(); ok && deadline.Before(now) {
		now = deadline
	}
	return time.Duration(now.UnixNano() - x.began.Load())
}

// over reports whether the call's own deadline has passed or its client is gone.
func (x *exchange) over() bool { return x.Err() != nil }

// observer notes the facts, as grpc-go's client reports them. grpc-go reports
// OutHeader once the transport has taken the headers, which is after everything
// that may keep a call from being sent. It reports InHeader and InTrailer only for
// header blocks that are gRPC's: not for a page of a web server, a reset or a lost
// connection.
type observer struct{}

var _ stats.Handler = observer{}

// HandleRPC notes a fact.
func (observer) HandleRPC(ctx context.Context, s stats.RPCStats) {
	x := exchangeOf(ctx)
	if x == nil {
		return
	}
	switch s := s.(type) {
	case *stats.Begin: // also of an attempt in the place of one that no backend processed
		x.began.Store(s.BeginTime.UnixNano())
		x.facts.Store(begun)
	case *stats.OutHeader:
		x.began.Store(time.Now().UnixNano())
		x.note(sent)
	case *stats.InHeader:
		x.conn.quiet.heard()
		x.note(headersCame)
		if !isProto(s.Header["content-type"]) {
			x.note(foreign)
		}
	case *stats.InPayload: // of a stream that began before the silence
		x.conn.quiet.heard()
	case *stats.InTrailer:
		x.conn.quiet.heard()
		x.note(trailersCame)
	}
}

// TagRPC adds nothing: the exchange is in ctx.
func (observer) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn adds nothing.
func (observer) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn does nothing.
func (observer) HandleConn(context.Context, stats.ConnStats) {}
