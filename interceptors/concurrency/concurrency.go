// Package concurrency caps how many calls run at once: of an RPC, to an
// upstream, or of one caller.
//
// A call that finds no room may wait a little, in the order of deadlines:
// whoever must be served first, is. failsafe-go's bulkhead waits in the order of
// arrival, has one limit for all who share it, and allocates for each call;
// hence a policy of our own.
package concurrency

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/collect"
	"github.com/gatehouse-dev/gatehouse/internal/remember"
)

const (
	name   = "concurrency"
	scopes = 3 // a list has at most one cap of each
)

// Caps counts the calls that run. It outlives tables: calls that began under an
// old one still count under a new one. It is safe for concurrent use.
type Caps struct {
	remember.Map[scoped, room] // where calls are counted
}

// scoped names what is counted together.
type scoped struct {
	scope string
	name  string // of the RPC or the upstream
}

// room is where calls are counted: one gate for all, or one for each caller.
type room interface {
	// find returns the call's gate, locked.
	find(ctx context.Context) *gate
	// count tells how many calls run, and how many wait.
	count() (running, waiting int)
}

// New registers with reg:
//
//	gatehouse_concurrency_running{scope,name}
//	gatehouse_concurrency_waiting{scope,name}
//
// They are counted when they are asked for, and cost a call nothing.
func New(reg prometheus.Registerer) (*Caps, error) {
	c := new(Caps)
	c.Busy = func(r room) bool { // calls that run are counted to their end
		running, waiting := r.count()
		return running+waiting > 0
	}
	return c, collect.Register(reg, collector{c})
}

// limit is one cap of one RPC.
type limit struct {
	room    room
	calls   int
	queue   int
	maxWait time.Duration
	refusal error
}

// Build returns the policy with the caps of one RPC that do not depend on which
// upstream is chosen: where there is no choice, all of them. A call takes its place
// under each cap in their order, and gives all back when it ends, a stream when its
// last message or its status was received. Calls of the same scope and name are
// counted together whenever and for whichever table the policy was built; each goes
// by the limit it came with.
//
// Where there is no room the call is refused with RESOURCE_EXHAUSTED and
// RetryInfo of max_wait: by fault of the caller in its own scope, else of the
// gateway. It waits instead if the queue has a place left and its deadline, if
// any, is not sooner than max_wait.
//
// Without authentication a caller is an address, of IPv6 its /64. A caller that
// has no call running takes no memory.
func (c *Caps) Build(m *interceptors.Method) (interceptors.Interceptor, error) {
	return c.some(m, func(one *policyv1.Concurrency) bool { return !m.Routed || !ofUpstream(one) })
}

// BuildTarget returns the policy with the other caps, which stands behind the choice.
func (c *Caps) BuildTarget(m *interceptors.Method) (interceptors.Interceptor, error) {
	return c.some(m, func(one *policyv1.Concurrency) bool { return m.Routed && ofUpstream(one) })
}

func ofUpstream(one *policyv1.Concurrency) bool {
	return one.GetScope() == policyv1.Concurrency_SCOPE_UPSTREAM
}

// some compiles the caps that are wanted.
func (c *Caps) some(m *interceptors.Method, wanted func(*policyv1.Concurrency) bool) (interceptors.Interceptor, error) {
	var p policy
	for _, one := range m.Policy.GetConcurrency() {
		if !one.GetUnlimited() && wanted(one) {
			p.limits = append(p.limits, c.limit(m.Name, m.Upstream, one))
		}
	}
	if len(p.limits) == 0 {
		return interceptors.Interceptor{}, nil
	}
	i := interceptors.Around(name, p.begin)
	i.Unary = p.unary // as Around has it, without an allocation
	return i, nil
}

// limit compiles one cap.
func (c *Caps) limit(method, upstream string, one *policyv1.Concurrency) limit {
	l := limit{calls: int(one.GetLimit()), queue: int(one.GetQueue()), maxWait: one.GetMaxWait().AsDuration()}
	var text string
	key, fault := scoped{"rpc", method}, call.Gateway
	switch one.GetScope() {
	case policyv1.Concurrency_SCOPE_UPSTREAM:
		key = scoped{"upstream", upstream}
		text = fmt.Sprintf("upstream %q takes %d calls at once, and so many are running: try again later", upstream, l.calls)
	case policyv1.Concurrency_SCOPE_CALLER:
		key, fault = scoped{"caller", method}, call.Client
		text = fmt.Sprintf("a caller may have %d calls of %s at once, and so many of yours are running: wait for one to end", l.calls, method)
	default:
		text = fmt.Sprintf("%s takes %d calls at once, and so many are running: try again later", method, l.calls)
	}
	l.room, l.refusal = c.room(key), refusal(fault, text, l.maxWait)
	return l
}

// room is the place where the calls of key are counted, always the same.
func (c *Caps) room(key scoped) room {
	return c.Get(key, func() room {
		if key.scope == "caller" {
			return newCallers()
		}
		return newGate()
	})
}

// refusal is made once: there may be many.
func refusal(fault call.Fault, text string, retry time.Duration) error {
	st := status.New(codes.ResourceExhausted, text)
	if detailed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retry)}); err == nil {
		st = detailed
	}
	return call.RefuseStatus(fault, st).By(name)
}

// policy holds the caps of one RPC.
type policy struct{ limits []limit }

// held are the gates at which a call counts, until it ends or waits for its client
// ([call.Call.LeavePlaces]).
type held struct {
	call  *call.Call
	gates [scopes]*gate
}

func (h *held) release() {
	for _, g := range h.gates {
		if g != nil {
			h.call.LeavePlace(g)
		}
	}
}

// enter takes a place under each cap, or none.
func (p *policy) enter(ctx context.Context) (h held, err error) {
	h.call = call.From(ctx)
	for i := range p.limits {
		g, err := p.limits[i].enter(ctx)
		if err != nil {
			h.release()
			return held{}, err
		}
		h.call.TakePlace(g)
		h.gates[i] = g
	}
	return h, nil
}

func (p *policy) begin(ctx context.Context, _ string) (context.Context, func(error), error) {
	h, err := p.enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	return ctx, func(error) { h.release() }, nil
}

func (p *policy) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	h, err := p.enter(ctx)
	if err != nil {
		return err
	}
	defer h.release() // also when next panics
	return next(ctx, method, req, reply, cc, opts...)
}
