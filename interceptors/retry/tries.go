package retry

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// The metadata of gRFC A6.
const (
	previousAttempts = "grpc-previous-rpc-attempts"
	pushbackMillis   = "grpc-retry-pushback-ms"
)

// tries are the attempts of one call. Used by one goroutine.
type tries struct {
	*plan
	ctx   context.Context // of the call
	made  int             // attempts begun
	waits int             // backoffs since the last pushback
}

// begin counts an attempt and returns ctx with what the backend is told of those
// before. k is of one after the first.
func (t *tries) begin(ctx context.Context, k kind) context.Context {
	if t.made > 0 {
		ctx = metadata.AppendToOutgoingContext(ctx, previousAttempts, strconv.Itoa(t.made))
		ctx = call.WithAttempt(ctx, call.Attempt{Number: t.made + 1, Kind: k.String()})
	}
	t.made++
	if c := call.From(ctx); c != nil {
		c.AddAttempt()
	}
	return ctx
}

// kind is that of the attempt that was begun last, hedges apart.
func (t *tries) kind() kind {
	if t.made > 1 {
		return again
	}
	return first
}

// explain gives the error of an attempt that attempt_timeout ended the text that
// says so. ctx is the attempt's.
func (t *tries) explain(ctx context.Context, err error) error {
	if err == nil || t.attemptTimeout == 0 || call.From(ctx).Waited() {
		return err
	}
	switch code, cause := call.CodeOf(err), context.Cause(ctx); {
	case cause == t.timedOut && (code == codes.DeadlineExceeded || code == codes.Canceled),
		cause == nil && code == codes.DeadlineExceeded && t.late(ctx):
		return t.timedOut.Because(err)
	}
	return err
}

// late reports whether the attempt's own deadline has passed. The backend has the
// same deadline, and its answer may be here before the timer of ctx.
func (t *tries) late(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	if !ok || time.Now().Before(deadline) {
		return false
	}
	whole, limited := t.ctx.Deadline()
	return !limited || deadline.Before(whole)
}

// bounded reports whether explain made err. An attempt whose answer waited for its
// client counts as none of the upstream's.
func (t *tries) bounded(err error) bool {
	e, ok := errors.AsType[*call.Error](err)
	return ok && t.attemptTimeout > 0 && e.GRPCStatus() == t.timedOut.GRPCStatus() && !call.From(t.ctx).Waited()
}

// repeatable reports whether a second attempt may do better: the upstream is at
// fault, with a code that is listed, it has not begun to answer, and the call is
// still wanted. What a policy further in refused is refused a moment later too.
func (t *tries) repeatable(err error, header metadata.MD) bool {
	return t.obstacle(err, len(header) > 0) == ""
}

// obstacle is why an attempt that failed with err is not repeated, "" if it may
// be. answered says that it had begun to answer.
func (t *tries) obstacle(err error, answered bool) string {
	bounded := t.bounded(err)
	switch {
	case !bounded && call.FaultOf(err) != call.Upstream:
		return notNeeded
	case errors.Is(t.ctx.Err(), context.DeadlineExceeded):
		return noTime
	case t.ctx.Err() != nil:
		return noClient
	case !bounded && call.PolicyOf(err) != "":
		return noPolicy
	case answered:
		return noAnswer
	case !bounded && !t.codes.has(call.CodeOf(err)):
		return noCode
	}
	return ""
}

// after decides about one more attempt when one has failed with err. It returns
// nil when it is time to make it, and otherwise the error of the call. header
// and trailer are those of the failed attempt.
func (t *tries) after(err error, header, trailer metadata.MD) error {
	if t.attempts == 1 {
		return err
	}
	if reason := t.obstacle(err, len(header) > 0); reason != "" {
		t.series.withhold(reason)
		return err
	}
	wait, told, stop := pushback(trailer)
	affordable := t.budget.failed() // also an attempt that asks to stop is a failed one
	switch {
	case stop:
		t.series.withhold(noPushback)
		return err
	case t.made >= t.attempts:
		t.series.withhold(noAttempts)
		return err
	case !affordable:
		t.series.withhold(noBudget)
		return err
	case told:
		t.waits = 0
	default:
		wait = t.backoff()
	}
	return t.wait(wait, err)
}

// wait returns nil after d. It does not begin to wait for what the deadline
// would cut off.
func (t *tries) wait(d time.Duration, err error) error {
	if deadline, ok := t.ctx.Deadline(); ok && !time.Now().Add(d).Before(deadline) {
		t.series.withhold(noTime)
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-t.ctx.Done():
	}
	t.series.withhold(t.obstacle(err, false))
	if cause, ok := errors.AsType[*call.Error](context.Cause(t.ctx)); ok {
		return cause
	}
	if errors.Is(t.ctx.Err(), context.Canceled) {
		return call.Refuse(call.Client, codes.Canceled, "the client cancelled the call").Because(err)
	}
	return err
}

// backoff is the next wait, varied by a fifth each way so that callers who
// failed together do not come back together.
func (t *tries) backoff() time.Duration {
	d := float64(t.initialBackoff) * math.Pow(t.multiplier, float64(t.waits))
	t.waits++
	return time.Duration(min(d, float64(t.maxBackoff)) * (.8 + .4*t.random()))
}

// pushback reads what the backend says of when to come back, if it does. A
// negative, unreadable or repeated value means never.
func pushback(trailer metadata.MD) (wait time.Duration, told, stop bool) {
	values := trailer[pushbackMillis]
	if len(values) == 0 {
		return 0, false, false
	}
	ms, err := strconv.ParseInt(values[0], 10, 32)
	if err != nil || ms < 0 || len(values) > 1 {
		return 0, false, true
	}
	return time.Duration(ms) * time.Millisecond, true, false
}
