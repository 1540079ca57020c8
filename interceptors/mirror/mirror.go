// Package mirror sends copies of calls to a second upstream, so that a new
// version meets real calls before any client depends on it. Answers to copies
// are dropped.
//
// No library at hand copies gRPC calls; hence a policy of our own.
package mirror

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/collect"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

const name = "mirror"

// Mirrors are the copies that are under way. They outlive tables. Safe for
// concurrent use.
type Mirrors struct {
	log     *slog.Logger
	random  func() float64
	memory  *memory.Background // what copies hold
	calls   *prometheus.CounterVec
	dropped *prometheus.CounterVec

	ctx  context.Context // of all copies
	stop context.CancelFunc

	mu      sync.Mutex
	closed  bool
	running map[string]int // by upstream
	ended   sync.WaitGroup
}

// New registers with reg:
//
//	gatehouse_mirror_calls_total{method,upstream,status}
//	gatehouse_mirror_dropped_total{method,upstream}
//
// A copy is counted when it was answered, and as dropped if it was not made, or its
// answer not received, for want of room: too many copies are under way, or memory
// has no room for it. log is told of a panic in a copy. random gives numbers in
// [0, 1) and is safe for concurrent use; nil is the usual one.
func New(reg prometheus.Registerer, log *slog.Logger, room *memory.Background, random func() float64) (*Mirrors, error) {
	if random == nil {
		random = rand.Float64
	}
	m := &Mirrors{
		log: log, random: random, memory: room, running: map[string]int{},
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_mirror_calls_total", Help: "Copies of calls that were answered, by method, upstream and gRPC status.",
		}, []string{"method", "upstream", "status"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_mirror_dropped_total", Help: "Copies of calls that were not made or given up, since too many were under way or memory was short.",
		}, []string{"method", "upstream"}),
	}
	m.ctx, m.stop = context.WithCancel(context.Background())
	return m, collect.Register(reg, m.calls, m.dropped)
}

// Build returns the policy of one RPC, whose copies go to m.Mirror. It does nothing for
// a stream, nor for an RPC with side effects unless the mirror's configuration says
// `unsafe`. It belongs where a call is about to be sent to its own
// upstream, outside of what repeats it.
//
// A copy has the bytes of the request, and the metadata that the call has at this
// place, credentials included, with "gatehouse-mirrored: true" beside them. It
// begins when the call does, which does not wait for it, and runs until it is
// answered or the timeout of copies has passed, whatever becomes of the call; until then it
// counts as a call of its table. Where so many copies are under way to upstream
// already as the configuration allows, or memory has no room for another, none is made.
func (m *Mirrors) Build(of *interceptors.Method) (interceptors.Interceptor, error) {
	to := of.Mirror
	if to == nil || !of.Unary() || of.SideEffects && !to.Conf.GetUnsafe() || to.Conf.GetPercent() <= 0 {
		return interceptors.Interceptor{}, nil
	}
	p := &policy{
		mirrors: m, method: of.Name, upstream: to.Upstream, conn: to.Conn, conf: to.Conf, maxAnswer: to.MaxAnswer,
		dropped: m.dropped.WithLabelValues(of.Name, to.Upstream),
	}
	p.answer.Store(min(firstAnswer, p.mostAnswer()))
	return interceptors.Interceptor{Name: name, Unary: p.unary}, nil
}

// Close ends the copies that are under way, and waits for their ends. None are
// made afterwards.
func (m *Mirrors) Close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.stop()
	m.ended.Wait()
	return nil
}

// begin takes a place and memory for a copy. Without room it says false.
func (m *Mirrors) begin(upstream string, most int, bytes int64) (room, open bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.running[upstream] >= most || !m.memory.Take(bytes) {
		return false, !m.closed
	}
	m.running[upstream]++
	m.ended.Add(1)
	return true, true
}

func (m *Mirrors) end(upstream string, bytes int64) {
	m.memory.Give(bytes)
	m.mu.Lock()
	m.running[upstream]--
	m.mu.Unlock()
	m.ended.Done()
}

// policy is that of one RPC.
type policy struct {
	mirrors   *Mirrors
	method    string
	upstream  string
	conn      grpc.ClientConnInterface
	conf      *configv1.Mirror
	maxAnswer int64
	dropped   prometheus.Counter
	// answer is how many bytes a copy has room for in its answer. Nobody tells a
	// length before the answer is there, so it grows when one was larger.
	answer atomic.Int64
}

// firstAnswer is how large answers to copies are until one was larger.
const firstAnswer = 64 << 10

// mostAnswer is how many bytes of an answer a copy may have room for.
func (p *policy) mostAnswer() int64 {
	if limit := p.mirrors.memory.Limit(); limit > 0 {
		return min(p.maxAnswer, limit/2)
	}
	return p.maxAnswer
}

func (p *policy) unary(ctx context.Context, method string, req, reply any, _ *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if p.conf.GetPercent() >= 100 || p.mirrors.random()*100 < p.conf.GetPercent() {
		p.copy(ctx)
	}
	return next(ctx, method, req, reply, nil, opts...)
}

// copy begins a copy of the call that ctx belongs to. A request that cannot be
// read is not copied; the call itself will tell why.
func (p *policy) copy(ctx context.Context) {
	known := call.From(ctx)
	if known == nil {
		return
	}
	request, err := known.Request()
	if err != nil {
		return
	}
	// The context of the call would keep all that is known of it, such as a decoded
	// request, for as long as the copy takes.
	md, _ := metadata.FromOutgoingContext(ctx) // a copy
	if md == nil {
		md = metadata.MD{}
	}
	md.Set(call.Mirrored, "true")
	c := &copied{md: md, answer: p.answer.Load()}
	c.bytes = int64(request.Len()) + sizeOf(md) + c.answer
	room, open := p.mirrors.begin(p.upstream, int(p.conf.GetMaxConcurrent()), c.bytes)
	if !room {
		if open {
			p.dropped.Inc()
		}
		return
	}
	request.Data.Ref() // the call gives up its own when it ends
	c.request = call.Message{Data: request.Data}
	leave := known.Hold()
	go func() {
		defer leave()
		p.send(c)
	}()
}

// sizeOf is about what metadata takes.
func sizeOf(md metadata.MD) int64 {
	n := 0
	for key, values := range md {
		for _, v := range values {
			n += len(key) + len(v)
		}
	}
	return int64(n)
}

// copied is a copy of a call.
type copied struct {
	request call.Message
	md      metadata.MD
	answer  int64 // bytes for which there is room
	bytes   int64 // held for the copy
}

// send makes the copy. It is no call of the gateway's: nothing that happens to it is
// the call's.
func (p *policy) send(c *copied) {
	defer p.mirrors.end(p.upstream, c.bytes)
	defer c.request.Free()
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(p.mirrors.ctx, c.md), p.conf.GetTimeout().AsDuration())
	defer cancel()
	err := p.ask(ctx, c)
	if errors.Is(err, call.ErrTooLarge) && c.answer < p.maxAnswer {
		p.answer.CompareAndSwap(c.answer, min(2*c.answer, p.mostAnswer()))
		p.dropped.Inc()
		return
	}
	p.mirrors.calls.WithLabelValues(p.method, p.upstream, call.CodeName(call.CodeOf(err))).Inc()
}

// ask sends the copy and drops the answer. It runs beside the chain, whose
// recovery does not guard it.
func (p *policy) ask(ctx context.Context, c *copied) (err error) {
	var answer call.Message
	defer func() {
		answer.Free()
		if v := recover(); v != nil {
			p.mirrors.log.ErrorContext(ctx, "panic in a copy of a call", "method", p.method, "upstream", p.upstream, "panic", v, "stack", string(debug.Stack()))
			err = call.Refuse(call.Gateway, codes.Internal, "internal error")
		}
	}()
	return p.conn.Invoke(ctx, p.method, &c.request, &answer, grpc.MaxCallRecvMsgSize(int(c.answer)))
}
