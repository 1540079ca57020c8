package retry

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// attempt is what it takes to make one.
type attempt struct {
	method     string
	req, reply any
	cc         *grpc.ClientConn
	next       grpc.UnaryInvoker
	opts       []grpc.CallOption
	answer     answer
}

func (p *plan) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if p.attemptTimeout > 0 || p.hedges {
		// How long a client takes to send its request is no matter of attempts.
		if c := call.From(ctx); c != nil {
			if err := c.ReadRequest(); err != nil {
				return err
			}
		}
	}
	a := attempt{method: method, req: req, reply: reply, cc: cc, next: next}
	a.answer, a.opts = answerOf(opts)
	t := tries{plan: p, ctx: ctx}
	for {
		err := t.attempt(&a)
		if err == nil {
			p.budget.succeeded()
			return nil
		}
		if err := t.after(err, *a.answer.header, *a.answer.trailer); err != nil {
			return err
		}
		a.clear()
	}
}

// attempt makes one, or two side by side.
func (t *tries) attempt(a *attempt) error {
	if t.made == 0 && t.hedges {
		delay, known := t.hedgeAfter()
		if reply, ok := hedgeable(a); ok && known {
			return t.race(a, reply, delay)
		}
	}
	begun := time.Time{}
	if t.latency != nil {
		begun = time.Now()
	}
	err := t.send(t.begin(t.ctx, again), a)
	t.series.attempt(t.kind(), outcomeOf(err))
	if t.latency != nil && err == nil && t.made == 1 && !call.From(t.ctx).Waited() {
		t.latency.observe(time.Since(begun))
	}
	return err
}

// send makes an attempt under ctx within attempt_timeout.
func (t *tries) send(ctx context.Context, a *attempt) error {
	if t.attemptTimeout == 0 {
		return a.next(ctx, a.method, a.req, a.reply, a.cc, a.opts...)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, t.attemptTimeout, t.timedOut)
	defer cancel()
	return t.explain(ctx, a.next(ctx, a.method, a.req, a.reply, a.cc, a.opts...))
}

// clear takes away what a failed attempt left, so that the caller sees one
// answer: the last.
func (a *attempt) clear() {
	*a.answer.header, *a.answer.trailer = nil, nil
	if msg, ok := a.reply.(*call.Message); ok && msg != nil {
		msg.Free()
	}
}

// answer is where a caller wants the metadata of the answer.
type answer struct{ header, trailer *metadata.MD }

// answerOf finds it in opts. Where a caller does not ask for some, opts are
// returned with options that do: headers tell that an answer has begun, and
// trailers may hold a pushback.
func answerOf(opts []grpc.CallOption) (answer, []grpc.CallOption) {
	var a answer
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			a.header = o.HeaderAddr
		case grpc.TrailerCallOption:
			a.trailer = o.TrailerAddr
		}
	}
	if a.header != nil && a.trailer != nil {
		return a, opts
	}
	opts = slices.Clip(opts)
	if a.header == nil {
		a.header = new(metadata.MD)
		opts = append(opts, grpc.HeaderCallOption{HeaderAddr: a.header})
	}
	if a.trailer == nil {
		a.trailer = new(metadata.MD)
		opts = append(opts, grpc.TrailerCallOption{TrailerAddr: a.trailer})
	}
	return a, opts
}

func outcomeOf(err error) outcome {
	if err != nil {
		return failed
	}
	return ok
}
