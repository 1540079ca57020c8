// Package fallback serves something else while an upstream cannot answer: the
// last good answer, or a fixed one.
//
// failsafe-go's fallback makes a result of an error and leaves the rest to its
// user: which errors, what to keep for whom, and streams, which is all there is
// to it here. Hence a policy of our own.
package fallback

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/answers"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/collect"
)

const name = "fallback"

// Fallbacks has the last good answers of all RPCs in one store. It outlives
// tables and is safe for concurrent use.
type Fallbacks struct {
	store  *answers.Store
	served *prometheus.CounterVec
}

// New registers with reg:
//
//	gatehouse_fallback_served_total{method,status}
//
// by the status that the call would have had.
func New(store *answers.Store, reg prometheus.Registerer) (*Fallbacks, error) {
	f := &Fallbacks{store: store, served: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_fallback_served_total", Help: "Calls answered by a fallback, by method and the gRPC status they would have had.",
	}, []string{"method", "status"})}
	return f, collect.Register(reg, f.served)
}

// Build returns the policy of one RPC at its upstream. It belongs inside of the
// timeout, whose passing is a reason to serve it, and outside of retries and breakers:
// it is what remains when they are through.
//
// It serves where the upstream could not answer: on UNAVAILABLE unless by the
// client's fault, so also when a breaker is open; and on DEADLINE_EXCEEDED,
// INTERNAL and UNKNOWN by the upstream's. A client that has gone is served
// nothing. The answer comes with gatehouse-degraded, as in
// "fallback; code=UNAVAILABLE".
//
// With last_good each good answer of the source (the upstream, where an RPC chooses
// among several) to a caller is kept, and served to the same request of the same
// caller for the same host, scheme and facts while it is no older; it comes with age.
// Callers of whom nothing is known are one, but a credential that no policy has
// looked at ([answers.Credentials]) keeps a call out of this, and so does the
// backend's cache-control no-store, or, for callers that
// nobody knows, private or a cookie. Answers that differ by a request header, as the
// backend's vary says, are kept apart. The store has a
// bounded memory: it drops answers that nobody has asked for lately, and then the
// caller gets the error.
//
// With response, that is served. A stream is answered with that one message and ends
// well, if nothing had come of the upstream's answer yet, neither header nor message
// (as with retries, gRFC A6).
func (f *Fallbacks) Build(m *interceptors.Method) (interceptors.Interceptor, error) {
	p := m.Policy.GetFallback()
	off := interceptors.Interceptor{}
	if p == nil || p.GetDisabled() {
		return off, nil
	}
	r := &rpc{fallbacks: f, method: m.Name, source: m.Source, facts: m.OwnFacts}
	if p.GetLastGood() == nil {
		wire, err := m.Response(p.GetResponse())
		if err != nil {
			return off, interceptors.Wrong("fallback.response", "%w", err)
		}
		r.fixed = answers.Fixed(wire)
		return interceptors.Interceptor{Name: name, Unary: r.unary, Stream: r.stream}, nil
	}
	switch {
	case !m.Unary():
		return off, interceptors.Wrong("fallback.last_good", "the RPC is a stream: only answers of unary RPCs can be kept; a stream can have a fixed response")
	case m.SideEffects:
		return off, interceptors.Wrong("fallback.last_good", "the RPC may have side effects: an old answer would say that they happened; it can have a fixed response")
	}
	r.maxAge = p.GetLastGood().AsDuration()
	return interceptors.Interceptor{Name: name, Unary: r.lastGood}, nil
}

// rpc is the policy of one RPC.
type rpc struct {
	fallbacks *Fallbacks
	method    string
	source    string
	fixed     *answers.Answer // nil with last_good
	maxAge    time.Duration
	facts     answers.Facts
}

// unary serves the fixed answer.
func (r *rpc) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := next(ctx, method, req, reply, cc, opts...)
	if err == nil || !unanswered(ctx, err) || r.fixed.Into(reply, opts) != nil {
		return err
	}
	r.degraded(ctx, err)
	return nil
}

// mayKeep reports whether the backend lets an answer with such a header be kept,
// and another request can have it. What is private, or sets a cookie such as that of
// a new session, belongs to one client: it is no answer for all of whom nothing is
// known.
func mayKeep(ctx context.Context, header metadata.MD) bool {
	_, all := answers.VaryOf(header)
	said := answers.ControlOf(header)
	if all || said.NoStore {
		return false
	}
	c := call.From(ctx)
	return c != nil && c.Caller() != nil || !said.Private && len(header["set-cookie"]) == 0
}

// partial reports whether the answer is one of which something is missing: it
// must not take the place of a whole one.
func partial(ctx context.Context) bool {
	c := call.From(ctx)
	return c != nil && len(c.Header()[answers.Degraded]) > 0
}

// lastGood keeps good answers, and serves them.
func (r *rpc) lastGood(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	var heard answers.Heard
	err := next(ctx, method, req, reply, cc, heard.Options(opts)...)
	if err == nil {
		if msg, ok := reply.(*call.Message); ok && mayKeep(ctx, heard.Header) && !partial(ctx) {
			if key, ok := r.key(ctx); ok {
				r.fallbacks.store.Put(ctx, key, answers.New(msg, heard.Header, r.maxAge))
			}
		}
		return nil
	}
	if !unanswered(ctx, err) {
		return err
	}
	key, ok := r.key(ctx)
	if !ok {
		return err
	}
	a, _ := r.fallbacks.store.Get(ctx, key)
	if a == nil || a.Into(reply, opts) != nil {
		return err
	}
	r.degraded(ctx, err, "age", strconv.Itoa(int(a.Age().Seconds())))
	return nil
}

// key is under what the answer to this call is kept, if it may be.
func (r *rpc) key(ctx context.Context) (answers.Key, bool) {
	c := call.From(ctx)
	if c == nil {
		return answers.Key{}, false
	}
	who, known := answers.CallerOf(ctx)
	if !known {
		return answers.Key{}, false
	}
	facts, known := r.facts.Parts(ctx, c)
	if !known {
		return answers.Key{}, false
	}
	request, err := c.Request()
	if err != nil {
		return answers.Key{}, false
	}
	return answers.KeyOf(request.Data, append(facts, name, r.method, r.source, who.Kind, who.Authenticator, who.ID)...), true
}

// degraded marks and counts an answer that is not the upstream's.
func (r *rpc) degraded(ctx context.Context, err error, pairs ...string) {
	code := call.CodeName(call.CodeOf(err))
	r.fallbacks.served.WithLabelValues(r.method, code).Inc()
	if c := call.From(ctx); c != nil {
		c.AddHeader(append(pairs, answers.Degraded, name+"; code="+code)...)
	}
}

// unanswered tells an error that means that the upstream could not answer, to a
// client that still waits.
func unanswered(ctx context.Context, err error) bool {
	if errors.Is(ctx.Err(), context.Canceled) {
		return false
	}
	fault := call.FaultOf(err)
	switch call.CodeOf(err) {
	case codes.Unavailable:
		return fault != call.Client
	case codes.DeadlineExceeded:
		return fault != call.Gateway
	case codes.Internal, codes.Unknown:
		return fault == call.Upstream
	default:
		return false
	}
}
