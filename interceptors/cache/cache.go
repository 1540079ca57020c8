// Package cache answers calls without side effects with what was answered
// before.
//
// No library at hand caches on a gRPC client; those of HTTP see neither the
// caller nor gRPC. Hence a policy of our own.
package cache

import (
	"context"
	"strconv"
	"strings"
	"sync"
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

const name = "cache"

// Caches has the answers of all RPCs in one store, and the calls on their way to
// more of them. It outlives tables and is safe for concurrent use.
type Caches struct {
	store *answers.Store
	calls *prometheus.CounterVec

	mu      sync.Mutex
	flights map[answers.Key]*flight
}

// New registers with reg:
//
//	gatehouse_cache_calls_total{method,result}
//
// result is hit, miss, shared (it waited for the answer to another call), or
// bypass (nobody's answer would do, or the client wanted none).
func New(store *answers.Store, reg prometheus.Registerer) (*Caches, error) {
	c := &Caches{store: store, flights: map[answers.Key]*flight{}, calls: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_cache_calls_total", Help: "Calls of RPCs with a cache, by method and what the cache did.",
	}, []string{"method", "result"})}
	return c, collect.Register(reg, c.calls)
}

// Build returns the policy of one RPC at its upstream. It belongs inside of
// authentication and limits, which decide for each call, and outside of retries and
// breakers.
//
// An answer is kept for the ttl under the method, the source (upstreams that an RPC
// chooses among have answers of their own), the bytes of the request, the host and
// scheme that the client used, the facts, and what vary says. If vary is empty
// (`""`), all share. If the policy has none, the caller is what tells: authenticator
// and id; those of whom nothing is known share. A call that carries a credential of
// another than the caller ([answers.Credentials]) then bypasses the cache, and so
// does one for which vary fails.
//
// Only OK is kept, and only if the backend's cache-control does not say no-store,
// no-cache or private; its max-age or expires, if it is sooner, counts. Answers
// that differ by a request header, as the backend's vary says, are kept apart; not
// kept is one that varies by everything, sets a cookie, or came of a fallback.
// Trailers are not part of what is kept.
//
// Calls that come while one of the same key is on its way wait for its answer,
// each for as long as it may itself. If that one ends for reasons of its own (it
// was cancelled, or its deadline passed), one of the others asks for the rest. If
// its answer may not be shared, or it was its caller's mistake, each asks for
// itself.
//
// Answers carry cache-control, and those out of the cache age: what the gateway
// does with them, so private unless all share. It takes the place of what the
// backend said, which could let a cache on the way give one caller's answer to
// others. For the same reason an answer that is not kept loses public and s-maxage.
//
// Of a request's cache-control (RFC 9111, section 5.2.1), no-cache and max-age=0
// have the upstream asked, and its answer kept; with no-store that is not kept
// either. max-age and min-fresh bound which answers will do. only-if-cached without
// such an answer is DEADLINE_EXCEEDED, for HTTP 504.
func (c *Caches) Build(m *interceptors.Method) (interceptors.Interceptor, error) {
	p := m.Policy.GetCache()
	switch {
	case p == nil || p.GetDisabled():
		return interceptors.Interceptor{}, nil
	case !m.Unary():
		return interceptors.Interceptor{}, interceptors.Wrong("cache", "the RPC is a stream: only answers of unary RPCs can be kept")
	case m.SideEffects:
		return interceptors.Interceptor{}, interceptors.Wrong("cache", "the RPC may have side effects: only RPCs with idempotency_level NO_SIDE_EFFECTS can be answered from a cache, or those that are bound to GET")
	}
	r := &rpc{caches: c, method: m.Name, source: m.Source, ttl: p.GetTtl().AsDuration(), facts: m.OwnFacts}
	if p.Vary != nil {
		r.facts, r.all = m.Facts, IsEverybody(p.GetVary())
	}
	if p.GetVary() != "" {
		program, err := m.Key(p.GetVary())
		if err != nil {
			return interceptors.Interceptor{}, interceptors.Wrong("cache.vary", "%w", err)
		}
		r.vary = program.CallerKey
	}
	r.public = r.all && len(r.facts) == 0
	for i := range r.results {
		r.results[i] = c.calls.WithLabelValues(m.Name, resultNames[i])
	}
	return interceptors.Interceptor{Name: name, Unary: r.unary}, nil
}

// IsEverybody tells a vary that is "" for everybody.
func IsEverybody(expression string) bool {
	e := strings.TrimSpace(expression)
	return e == "" || e == `""` || e == `''`
}

// What the cache did with a call.
const (
	hit = iota
	miss
	shared
	bypass
	results
)

var resultNames = [results]string{"hit", "miss", "shared", "bypass"}

// rpc is the policy of one RPC.
type rpc struct {
	caches *Caches
	method string
	source string
	ttl    time.Duration
	// vary tells who may be given the same answer: those for whom it is the same. Nil
	// means that each caller has answers of its own, or that all share.
	vary    func(context.Context) (string, error)
	facts   answers.Facts
	all     bool // all share, but for the facts
	public  bool // all share, caches on the way included
	results [results]prometheus.Counter
}

func (r *rpc) unary(ctx context.Context, method string, req, reply any, _ *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	c := &one{ctx: ctx, rpc: r, call: call.From(ctx), reply: reply, opts: opts}
	c.next = func(opts []grpc.CallOption) error { return next(ctx, method, req, reply, nil, opts...) }
	asked := answers.ParseControl(metadata.ValueFromOutgoingContext(ctx, "cache-control"))
	known, err := c.identify()
	if err != nil {
		return err
	}
	usable := known && !asked.NoStore
	if usable {
		a, at := r.caches.store.Get(ctx, c.key)
		if a != nil && asked.Takes(a) {
			r.results[hit].Inc()
			return c.serve(a)
		}
		c.variant = at
	}
	switch {
	case asked.OnlyIfCached:
		r.results[bypass].Inc()
		return call.Refuse(call.Client, codes.DeadlineExceeded, "no answer is kept that will do, and cache-control says only-if-cached").By(name)
	case !usable:
		r.results[bypass].Inc()
		return c.pass()
	case asked.NoCache || asked.MaxAge == 0:
		r.results[bypass].Inc()
		_, err := c.ask()
		return err
	default:
		return c.together()
	}
}

// one is a call of an RPC with a cache.
type one struct {
	ctx     context.Context
	rpc     *rpc
	call    *call.Call
	key     answers.Key
	variant answers.Key // of key, for this request's headers, as far as they are known to matter
	reply   any
	opts    []grpc.CallOption
	next    func(opts []grpc.CallOption) error
}

// identify finds the key; known is false if there is none. An error is one of
// the request, which is read now.
func (c *one) identify() (known bool, _ error) {
	if c.call == nil {
		return false, nil
	}
	who, known := c.who()
	if !known {
		return false, nil
	}
	request, err := c.call.Request()
	if err != nil {
		return false, err
	}
	facts, known := c.rpc.facts.Parts(c.ctx, c.call)
	if !known {
		return false, nil
	}
	c.key = answers.KeyOf(request.Data, append(facts, name, c.rpc.method, c.rpc.source, who.Kind, who.Authenticator, who.ID)...)
	return true, nil
}

func (c *one) who() (_ answers.Who, known bool) {
	switch {
	case c.rpc.all:
		return answers.Who{Kind: "all"}, true
	case c.rpc.vary == nil:
		return answers.CallerOf(c.ctx)
	}
	value, err := c.rpc.vary(c.ctx)
	return answers.Who{Kind: "value", ID: value}, err == nil
}

// pass has the upstream answer this call alone.
func (c *one) pass() error {
	var heard answers.Heard
	err := c.next(heard.Options(c.opts))
	if err == nil {
		c.keepFromOthers(heard.Header)
	}
	return err
}

// ask has the upstream answer, and keeps the answer. It returns the answer if
// others may have it, too.
func (c *one) ask() (*answers.Answer, error) {
	var heard answers.Heard
	if err := c.next(heard.Options(c.opts)); err != nil {
		return nil, err
	}
	reply, ok := c.reply.(*call.Message)
	ttl := c.mayKeep(heard.Header)
	if !ok || ttl <= 0 {
		c.keepFromOthers(heard.Header)
		return nil, nil // an answer that is this call's alone
	}
	a := answers.New(reply, heard.Header, ttl)
	c.rpc.caches.store.Put(c.ctx, c.key, a)
	c.say(c.control(a), "cache-control", "expires", "age")
	return a, nil
}

// mayKeep is how long an answer with such a header may be kept; 0 is not at all.
func (c *one) mayKeep(header metadata.MD) time.Duration {
	said := answers.ControlOf(header)
	_, varies := answers.VaryOf(header)
	if varies || said.NoStore || said.NoCache || said.Private || len(header["set-cookie"]) > 0 || len(c.call.Header()[answers.Degraded]) > 0 {
		return 0
	}
	if fresh, said := answers.Freshness(header, time.Now()); said {
		return min(c.rpc.ttl, fresh)
	}
	return c.rpc.ttl
}

// keepFromOthers has caches on the way not share an answer that the gateway itself
// does not share.
func (c *one) keepFromOthers(header metadata.MD) {
	said := answers.ControlOf(header)
	silent := len(header["cache-control"])+len(header["expires"]) == 0
	if c.call != nil && !c.rpc.public && !silent && !said.NoStore && !said.Private {
		c.say(answers.PrivateControl(header["cache-control"]), "cache-control")
	}
}

// say tells the client about caching, in the place of the backend's headers.
func (c *one) say(control string, instead ...string) {
	for _, o := range c.opts {
		if o, ok := o.(grpc.HeaderCallOption); ok {
			header := o.HeaderAddr.Copy() // others read it too
			for _, key := range instead {
				delete(header, key)
			}
			*o.HeaderAddr = header
		}
	}
	c.call.AddHeader("cache-control", control)
}

// serve answers the call with a.
func (c *one) serve(a *answers.Answer) error {
	if err := a.Into(c.reply, c.opts); err != nil {
		return err
	}
	c.call.AddHeader("cache-control", c.control(a), "age", strconv.Itoa(int(a.Age().Seconds())))
	return nil
}

// control is what clients and caches on the way are told of a.
func (c *one) control(a *answers.Answer) string {
	who := "private"
	if c.rpc.public {
		who = "public"
	}
	return who + ", max-age=" + strconv.Itoa(int(a.TTL().Seconds()))
}
