package aggregate

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// run is one composed call. Who runs a step writes the step's own result, and
// reads those of steps that have ended before it began.
type run struct {
	plan    *plan
	request mem.Buffer
	key     string // by which the client names its call; "" for none
	results []result

	decoded decodedOnce // the request, for expressions

	ctx     context.Context // of the steps
	cancel  context.CancelCauseFunc
	size    atomic.Int64   // of the answers, in bytes
	reach   call.Reach     // of all calls together
	running sync.WaitGroup // but for the goroutine of do

	mu      sync.Mutex // guards what follows
	waiting []int      // for how many others each step waits
	failed  bool       // there will be no answer
	answers []*answer  // all, to be freed
	flights map[flightKey]*flight
}

// result is what came of a step.
type result struct {
	err    error     // why there is nothing
	answer *answer   // of the one call
	taken  value     // of it
	items  []element // of the calls for each
	failed []failure // items that failed, by position
	stale  string    // parameters that tell why the answer is not all that it should be

	decoded decodedOnce
}

// element is what there is for one item: the whole answer, or a part of a
// batch's. Both are nil if its call failed.
type element struct {
	answer *answer
	data   []byte // of an answer that is looked into
	lands  []byte // what is taken of it
	buf    mem.Buffer
}

type failure struct {
	item int
	err  error
}

func newRun(p *plan, request mem.Buffer) *run {
	return &run{plan: p, request: request, results: make([]result, len(p.steps)), waiting: make([]int, len(p.steps)), answers: make([]*answer, 0, len(p.steps))}
}

// free gives up the answers. What was joined has references of its own.
func (r *run) free() {
	for _, a := range r.answers {
		a.msg.Free()
	}
}

// errOver ends the steps that nobody waits for any more.
var errOver = errors.New("the composed call is over")

// do runs the steps, each when those that it needs have ended. It returns when
// none runs.
func (r *run) do(ctx context.Context) error {
	client := ctx
	ctx, r.cancel = context.WithCancelCause(ctx)
	defer r.cancel(errOver)
	ctx, r.key = asClient(ctx)
	r.ctx = ctx
	var mine *step // for this goroutine
	for i, s := range r.plan.steps {
		r.waiting[i] = len(s.needs)
	}
	for _, s := range r.plan.steps {
		switch {
		case len(s.needs) > 0:
		case mine == nil:
			mine = s
		default:
			r.begin(ctx, s)
		}
	}
	r.from(ctx, mine)
	r.running.Wait()
	return r.outcome(client)
}

// begin runs a step, and what comes of it, in a goroutine that do waits for.
func (r *run) begin(ctx context.Context, s *step) {
	r.running.Go(func() { r.from(ctx, s) })
}

// from runs a step, and then one of those that have waited for it.
func (r *run) from(ctx context.Context, s *step) {
	for s != nil {
		r.guarded(ctx, s)
		s = r.ended(ctx, s)
	}
}

// ended begins what has waited for a step, but for one, which it returns. After
// the failure of a required step nothing begins, and what runs is told to stop.
func (r *run) ended(ctx context.Context, s *step) (next *step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.results[s.index].err != nil && s.required() {
		r.failed = true
		r.cancel(errOver)
	}
	for _, i := range s.serves {
		r.waiting[i]--
		switch {
		case r.waiting[i] > 0 || r.failed:
		case next == nil:
			next = r.plan.steps[i]
		default:
			r.begin(ctx, r.plan.steps[i])
		}
	}
	return next
}

// outcome is the error of the required step that failed, of several the first in
// the composition that was not just told to stop.
func (r *run) outcome(client context.Context) error {
	var first error
	for i, s := range r.plan.steps {
		err := r.results[i].err
		if err != nil && s.required() && (first == nil || stopped(first) && !stopped(err)) {
			first = err
		}
	}
	if errors.Is(client.Err(), context.Canceled) { // nobody waits for an answer
		return call.RefuseStatus(call.Client, call.StatusOf(context.Canceled)).Because(first)
	}
	if r, ok := errors.AsType[*refused](first); ok {
		if c := call.From(client); c != nil {
			c.AddHeader(r.headers...)
		}
	}
	return first
}

func stopped(err error) bool { return call.CodeOf(err) == codes.Canceled }

// guarded runs a step; a panic ends it and nothing else.
func (r *run) guarded(ctx context.Context, s *step) {
	res := &r.results[s.index]
	defer func() {
		if p := recover(); p != nil {
			res.err = s.fail(call.Refuse(call.Gateway, codes.Internal, "internal error").Because(fmt.Errorf("panic: %v\n%s", p, debug.Stack())))
		}
	}()
	for _, n := range s.needs {
		if err := r.results[n].err; err != nil {
			res.err = s.skipped(err)
			return
		}
	}
	err := r.step(ctx, s, res)
	if err != nil {
		res.err = s.fail(err)
	}
}

func (r *run) step(ctx context.Context, s *step, res *result) error {
	if s.plural {
		return r.each(ctx, s, res)
	}
	request, err := r.requestFor(s, nil, nil)
	if err != nil {
		return err
	}
	res.answer = r.call(ctx, s, request)
	if res.answer.err != nil {
		return res.answer.err
	}
	res.stale = res.answer.stale
	if s.take != nil {
		whole, _ := res.answer.whole()
		res.taken, err = s.take.in(whole)
	}
	return s.notValid(err)
}

// fail is a step's error as the whole's: who it was stands before the text.
func (s *step) fail(err error) error {
	return renamed(err, fmt.Sprintf("step %q: ", s.name))
}

// skipped is the error of a step that was not called since another failed.
func (s *step) skipped(err error) error {
	return renamed(err, fmt.Sprintf("step %q was not called: ", s.name))
}

// renamed puts something before an error's text. Code, details, fault, the policy
// that refused and the headers that belong to the refusal stay.
func renamed(err error, before string) error {
	st := call.StatusOf(err).Proto() // a copy
	st.Message = before + st.GetMessage()
	out := call.RefuseStatus(call.FaultOf(err), status.FromProto(st))
	if by := call.PolicyOf(err); by != "" {
		out = out.By(by)
	}
	if own, ok := errors.AsType[*call.Error](err); ok && own.Unwrap() != nil {
		out = out.Because(own.Unwrap())
	}
	if r, ok := errors.AsType[*refused](err); ok {
		return &refused{out, r.headers}
	}
	return out
}

// refused is an error with the headers that belong to it.
type refused struct {
	of      *call.Error
	headers []string // pairs
}

func (e *refused) Error() string { return e.of.Error() }

// Unwrap gives the error itself, for those who look for its fault.
func (e *refused) Unwrap() error { return e.of }

// refusal is the error of a call, with those headers of its policies that say what
// the client should do.
func refusal(err error, own metadata.MD) error {
	var headers []string
	for _, key := range [...]string{"www-authenticate", "retry-after", "grpc-retry-pushback-ms"} {
		for _, v := range own[key] {
			headers = append(headers, key, v)
		}
	}
	if len(headers) == 0 {
		return err
	}
	of, ok := errors.AsType[*call.Error](err)
	if !ok {
		of = call.RefuseStatus(call.FaultOf(err), call.StatusOf(err))
	}
	return &refused{of, headers}
}

// answer is what came of one call. It is written by who makes the call, and only
// read when that has ended.
type answer struct {
	sent  call.Message
	room  [1]mem.Buffer // of sent
	msg   call.Message
	err   error
	stale string      // as in result
	said  metadata.MD // by the backend, in its header
}

// whole is an answer in one piece; only of a step that is looked into.
func (a *answer) whole() (_ []byte, in mem.Buffer) {
	if len(a.msg.Data) == 0 {
		return []byte{}, nil
	}
	return a.msg.Data[0].ReadOnlyData(), a.msg.Data[0]
}

// maxSize bounds the answers that one composed call holds, in bytes: its client
// need not send more to have more of them made.
const maxSize = 64 << 20

// make carries the call.
func (a *answer) make(ctx context.Context, r *run, s *step, request []byte) {
	if s.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.timeout)
		defer cancel()
	}
	if r.key != "" {
		ctx = named(ctx, r.key, string(r.plan.rpc.FullName()), s.method.Name, request)
	}
	a.room[0] = mem.SliceBuffer(request)
	a.sent.Data = a.room[:]
	nested, err := s.method.Call(ctx, &a.sent, &a.msg, &r.reach)
	if err != nil {
		a.err = refusal(err, nested.Own)
		return
	}
	if r.size.Add(int64(a.msg.Len())) > maxSize {
		a.msg.Free()
		a.err = call.Refuse(call.Gateway, codes.Internal, "the answers of all steps together are larger than %d MiB", maxSize>>20)
		return
	}
	a.said = nested.Header()
	if told := nested.Own[Degraded]; len(told) > 0 {
		a.stale = instead(told[0])
	}
	if (s.scanned || s.shared) && len(a.msg.Data) > 1 {
		flat := a.msg.Data.MaterializeToBuffer(mem.DefaultBufferPool())
		a.msg.Free()
		a.msg.Data = mem.BufferSlice{flat}
	}
	a.err = nil
}

// call makes a call, or waits for the same one that another step makes: it is
// made once.
func (r *run) call(ctx context.Context, s *step, request []byte) *answer {
	if !s.shared {
		a := new(answer)
		r.keep(a)
		a.make(ctx, r, s, request)
		return a
	}
	f, first := r.flight(s, request)
	if !first {
		select {
		case <-f.landed:
			return &f.answer
		case <-ctx.Done():
			return &answer{err: call.RefuseStatus(call.FaultOf(ctx.Err()), call.StatusOf(ctx.Err()))}
		}
	}
	defer close(f.landed)
	f.answer.err = errPanicked // if it does not get so far as to say otherwise
	f.answer.make(ctx, r, s, request)
	return &f.answer
}

// errPanicked is for those who wait for a call that panics.
var errPanicked = call.Refuse(call.Gateway, codes.Internal, "internal error")

func (r *run) keep(a *answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = append(r.answers, a)
}

// flightKey tells calls apart. One that may take longer is another.
type flightKey struct {
	method  *call.Method
	timeout int64
	request string
}

type flight struct {
	answer answer
	landed chan struct{} // closed when answer is there
}

func (r *run) flight(s *step, request []byte) (_ *flight, first bool) {
	key := flightKey{s.method, int64(s.timeout), string(request)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.flights[key]; f != nil {
		return f, false
	}
	if r.flights == nil {
		r.flights = map[flightKey]*flight{}
	}
	f := &flight{landed: make(chan struct{})}
	r.flights[key] = f
	r.answers = append(r.answers, &f.answer)
	return f, true
}

// notValid is the error about an answer that is no message.
func (s *step) notValid(err error) error {
	if err == nil || !errors.Is(err, errNotValid) {
		return err
	}
	return call.Refuse(call.Upstream, codes.Internal, "upstream %q gave an answer that is not valid", s.method.Upstream)
}
