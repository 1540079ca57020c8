package retry

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// race is two attempts of one call side by side. The first good answer wins, and
// so does the first error that a second attempt could not mend (gRFC A6, fatal
// status codes). The loser is cancelled, and waited for: it uses the request,
// whose buffers end with the call.
type race struct {
	tries   // a copy: those of a call without a race stay on the stack
	runners [2]runner
	reply   call.Message  // of the second one
	done    chan struct{} // closed when the second one will not run any more

	mu     sync.Mutex
	winner *runner
	last   *runner // that ended
}

// runner is one of the two. A second one that was not made has no cancel.
type runner struct {
	attempt
	cancel context.CancelFunc
	err    error
}

// hedgeAfter is how long the first attempt may run alone.
func (t *tries) hedgeAfter() (time.Duration, bool) {
	if t.latency == nil {
		return t.hedgeDelay, true
	}
	return t.latency.tail()
}

// hedgeable reports whether the answer is one that can be had twice.
func hedgeable(a *attempt) (*call.Message, bool) {
	msg, ok := a.reply.(*call.Message)
	return msg, ok && msg != nil
}

// race makes a's attempt, and after delay another. When it returns both have
// ended, and a and reply, which is a's, hold what came of the one that counts.
func (t *tries) race(a *attempt, reply *call.Message, delay time.Duration) error {
	r := &race{tries: *t, done: make(chan struct{})}
	begun := time.Now()
	ctx, cancel := context.WithCancel(r.begin(r.ctx, first))
	defer cancel()
	one := &r.runners[0]
	one.attempt, one.cancel = *a, cancel
	timer := time.AfterFunc(delay, r.hedge)
	defer r.stop(timer) // should the first one panic
	r.end(one, r.send(ctx, &one.attempt))
	r.wait(timer)
	t.made = r.made
	if t.latency != nil && (one.err == nil || r.winner == &r.runners[1]) && !call.From(r.ctx).Waited() {
		t.latency.observe(time.Since(begun)) // one that was given up took at least that
	}
	r.count()
	return r.result(a, reply)
}

// stop ends what runs beside the first attempt.
func (r *race) stop(timer *time.Timer) {
	r.mu.Lock()
	r.last = &r.runners[0] // nothing may join any more
	if cancel := r.runners[1].cancel; cancel != nil {
		cancel()
	}
	r.mu.Unlock()
	r.wait(timer)
}

// wait returns when there is no second attempt, now or later.
func (r *race) wait(timer *time.Timer) {
	if timer.Stop() {
		close(r.done)
	}
	<-r.done
}

// hedge makes the second attempt. It runs in a goroutine of its own, which the
// recovery of the chain does not guard.
func (r *race) hedge() {
	defer close(r.done)
	second := &r.runners[1]
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	if !r.join(second, cancel) {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			r.end(second, call.Refuse(call.Gateway, codes.Internal, "internal error").Because(fmt.Errorf("panic: %v\n%s", p, debug.Stack())))
		}
	}()
	r.end(second, r.send(r.begin(ctx, hedge), &second.attempt))
}

// join prepares the second attempt, unless the first has ended or the budget is
// spent.
func (r *race) join(second *runner, cancel context.CancelFunc) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last != nil || call.From(r.ctx).Waited() { // the answer is there, and its client in the way
		return false
	}
	if !r.budget.hedge() {
		r.series.withhold(noBudget)
		return false
	}
	second.cancel = cancel
	second.attempt = r.runners[0].attempt
	second.reply = &r.reply
	second.answer = answer{new(metadata.MD), new(metadata.MD)}
	second.opts = []grpc.CallOption{
		grpc.HeaderCallOption{HeaderAddr: second.answer.header}, grpc.TrailerCallOption{TrailerAddr: second.answer.trailer},
	}
	for _, o := range r.runners[0].opts {
		switch o.(type) {
		case grpc.HeaderCallOption, grpc.TrailerCallOption: // the first one's
		default:
			second.opts = append(second.opts, o)
		}
	}
	return true
}

// end tells how an attempt ended. The other one is cancelled if that decides. It
// does not if it may be repeated, nor if a policy further in refused it: what
// keeps a hedge away must not take the first attempt with it.
func (r *race) end(one *runner, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one.err = err
	r.last = one
	if r.winner != nil || err != nil && (r.repeatable(err, *one.answer.header) || call.PolicyOf(err) != "") {
		return
	}
	r.winner = one
	for i := range r.runners {
		if other := &r.runners[i]; other != one && other.cancel != nil {
			other.cancel()
		}
	}
}

// count counts the attempts when both have ended.
func (r *race) count() {
	for i, k := range [...]kind{first, hedge} {
		one := &r.runners[i]
		switch {
		case one.cancel == nil: // it was not made
		case one != r.winner && r.winner != nil:
			r.series.attempt(k, lost)
		default:
			r.series.attempt(k, outcomeOf(one.err))
		}
	}
}

// result puts the answer that counts where the caller wants it: the winner's, or
// if both failed what was heard last.
func (r *race) result(a *attempt, reply *call.Message) error {
	second := &r.runners[1]
	counts := r.winner
	if counts == nil {
		counts = r.last
	}
	if counts != second {
		r.reply.Free()
		return counts.err
	}
	a.clear()
	reply.Data = r.reply.Data
	*a.answer.header, *a.answer.trailer = *second.answer.header, *second.answer.trailer
	return second.err
}
