package retry_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/retry"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

const method = "/shop.v1.Shop/Get"

// answer is what a scripted backend does with one attempt.
type answer struct {
	after   time.Duration
	err     error
	reply   string
	header  metadata.MD
	trailer metadata.MD
}

// script answers one attempt after the other; the last answer stays.
type script struct {
	answers  []answer
	times    []time.Duration // when attempts came, since the first
	previous []string        // grpc-previous-rpc-attempts of each
	begun    time.Time
}

func (s *script) invoke(ctx context.Context, _ string, _, reply any, opts ...grpc.CallOption) error {
	if s.begun.IsZero() {
		s.begun = time.Now()
	}
	a := s.answers[min(len(s.times), len(s.answers)-1)]
	s.times = append(s.times, time.Since(s.begun))
	md, _ := metadata.FromOutgoingContext(ctx)
	s.previous = append(s.previous, strings.Join(md["grpc-previous-rpc-attempts"], ","))
	return a.give(ctx, reply, opts)
}

// give is how a connection of grpc-go answers.
func (a answer) give(ctx context.Context, reply any, opts []grpc.CallOption) error {
	if a.after > 0 {
		select {
		case <-time.After(a.after):
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = a.header
		case grpc.TrailerCallOption:
			*o.TrailerAddr = a.trailer
		}
	}
	if msg, ok := reply.(*call.Message); ok && a.reply != "" {
		msg.Free()
		msg.Data = calltest.Bytes(a.reply)
	}
	return a.err
}

func fails(c codes.Code) answer { return answer{err: status.Error(c, "scripted")} }

var (
	down = fails(codes.Unavailable)
	fine = answer{reply: "fine", header: metadata.Pairs("content-type", "application/grpc")}
)

func pushback(values ...string) answer {
	a := down
	a.trailer = metadata.MD{"grpc-retry-pushback-ms": values}
	return a
}

func newRetries(t *testing.T, random func() float64) (*retry.Retries, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	r, err := retry.New(reg, random)
	if err != nil {
		t.Fatal(err)
	}
	return r, reg
}

// half makes waits what they are on average.
func half() float64 { return .5 }

func policy(t *testing.T, text string) *policyv1.Retry {
	t.Helper()
	p := new(policyv1.Retry)
	if err := prototext.Unmarshal([]byte(text), p); err != nil {
		t.Fatal(err)
	}
	return p
}

func budget(t *testing.T, text string) *policyv1.RetryBudget {
	t.Helper()
	b := new(policyv1.RetryBudget)
	if err := prototext.Unmarshal([]byte(text), b); err != nil {
		t.Fatal(err)
	}
	return b
}

func rpc(p *policyv1.Retry, safe bool) interceptors.Method {
	return interceptors.Method{Name: method, Safe: safe, Policy: &policyv1.Policy{Retry: p}, Target: interceptors.Target{Upstream: "shop"}}
}

func safe(t *testing.T, text string) interceptors.Method {
	t.Helper()
	return rpc(policy(t, text), true)
}

func connect(t *testing.T, r *retry.Retries, m interceptors.Method, to grpc.ClientConnInterface) grpc.ClientConnInterface {
	t.Helper()
	return interceptors.Chain(to, policytest.Build(t, r, m))
}

func (s *script) conn() calltest.Conn { return calltest.Conn{OnInvoke: s.invoke} }

// result is what a caller has in the end.
type result struct {
	err             error
	reply           string
	header, trailer metadata.MD
}

func invoke(ctx context.Context, conn grpc.ClientConnInterface) result {
	var r result
	var msg call.Message
	r.err = conn.Invoke(ctx, method, nil, &msg, grpc.Header(&r.header), grpc.Trailer(&r.trailer))
	r.reply = string(msg.Data.Materialize())
	msg.Free()
	return r
}

const ms = time.Millisecond

func TestAttempts(t *testing.T) {
	for _, tc := range []struct {
		name, policy string
		answers      []answer
		limit        time.Duration // of the call, 0 for none
		times        []time.Duration
		code         codes.Code
	}{
		{"succeeds at once", "", []answer{fine}, 0, []time.Duration{0}, codes.OK},
		{"defaults", "", []answer{down}, 0, []time.Duration{0, 50 * ms, 150 * ms}, codes.Unavailable},
		{"the second succeeds", "", []answer{down, fine}, 0, []time.Duration{0, 50 * ms}, codes.OK},
		{"max_backoff", "attempts: 5 initial_backoff: {seconds: 1} multiplier: 3", []answer{down}, 0,
			[]time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second}, codes.Unavailable},
		{"declared waits", "attempts: 5 initial_backoff: {nanos: 10000000} max_backoff: {nanos: 50000000} multiplier: 3", []answer{down}, 0,
			[]time.Duration{0, 10 * ms, 40 * ms, 90 * ms, 140 * ms}, codes.Unavailable},
		{"two", "attempts: 2", []answer{down}, 0, []time.Duration{0, 50 * ms}, codes.Unavailable},
		{"another code by default", "", []answer{fails(codes.Internal)}, 0, []time.Duration{0}, codes.Internal},
		{"declared codes", `codes: ["ABORTED", "INTERNAL"]`, []answer{fails(codes.Internal), fails(codes.Aborted), down}, 0,
			[]time.Duration{0, 50 * ms, 150 * ms}, codes.Unavailable},
		{"a code that is not declared", `codes: "ABORTED"`, []answer{down}, 0, []time.Duration{0}, codes.Unavailable},
		{"client's mistake", "", []answer{fails(codes.InvalidArgument)}, 0, []time.Duration{0}, codes.InvalidArgument},
		{"the backend's deadline", "", []answer{fails(codes.DeadlineExceeded)}, 0, []time.Duration{0}, codes.DeadlineExceeded},
		{"DATA_LOSS", "", []answer{fails(codes.DataLoss)}, 0, []time.Duration{0}, codes.DataLoss},
		{"CANCELLED", "", []answer{fails(codes.Canceled)}, 0, []time.Duration{0}, codes.Canceled},
		{"the gateway's mistake", "", []answer{{err: call.Refuse(call.Gateway, codes.Unavailable, "draining")}}, 0, []time.Duration{0}, codes.Unavailable},
		{"a connection that broke", "", []answer{{err: call.Refuse(call.Upstream, codes.Unavailable, "gone")}, fine}, 0, []time.Duration{0, 50 * ms}, codes.OK},
		{"refused by a breaker", "", []answer{{err: call.Refuse(call.Upstream, codes.Unavailable, "open").By("breaker")}}, 0, []time.Duration{0}, codes.Unavailable},
		{"an answer that had begun", "", []answer{{err: status.Error(codes.Unavailable, "reset"), header: metadata.Pairs("content-type", "application/grpc")}}, 0,
			[]time.Duration{0}, codes.Unavailable},
		{"no time for another", "", []answer{down}, 150 * ms, []time.Duration{0, 50 * ms}, codes.Unavailable},
		{"time for another", "", []answer{down}, 151 * ms, []time.Duration{0, 50 * ms, 150 * ms}, codes.Unavailable},
		{"the deadline passes in an attempt", "", []answer{{after: time.Second, err: down.err}}, 500 * ms, []time.Duration{0}, codes.DeadlineExceeded},
		{"pushback", "", []answer{pushback("777"), fine}, 0, []time.Duration{0, 777 * ms}, codes.OK},
		{"pushback of nothing", "", []answer{pushback("0"), fine}, 0, []time.Duration{0, 0}, codes.OK},
		{"backoff begins anew after pushback", "attempts: 4", []answer{down, pushback("500"), down}, 0,
			[]time.Duration{0, 50 * ms, 550 * ms, 600 * ms}, codes.Unavailable},
		{"pushback past the deadline", "", []answer{pushback("777"), fine}, 777 * ms, []time.Duration{0}, codes.Unavailable},
		{"told to stop", "", []answer{pushback("-1"), fine}, 0, []time.Duration{0}, codes.Unavailable},
		{"told nonsense", "", []answer{pushback("soon"), fine}, 0, []time.Duration{0}, codes.Unavailable},
		{"told too much", "", []answer{pushback("99999999999"), fine}, 0, []time.Duration{0}, codes.Unavailable},
		{"told twice", "", []answer{pushback("1", "2"), fine}, 0, []time.Duration{0}, codes.Unavailable},
		{"attempt_timeout", "attempt_timeout: {seconds: 1}", []answer{{after: time.Minute}, fine}, 0, []time.Duration{0, 1050 * ms}, codes.OK},
		{"attempt_timeout each time", "attempt_timeout: {seconds: 1} attempts: 2", []answer{{after: time.Minute}}, 0, []time.Duration{0, 1050 * ms}, codes.DeadlineExceeded},
		{"attempt_timeout is no reason to", "attempt_timeout: {seconds: 1}", []answer{{after: 500 * ms, err: fails(codes.NotFound).err}}, 0, []time.Duration{0}, codes.NotFound},
		{"disabled", "disabled: true", []answer{down}, 0, []time.Duration{0}, codes.Unavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := newRetries(t, half)
				s := &script{answers: tc.answers}
				conn := connect(t, r, safe(t, tc.policy), s.conn())
				ctx := t.Context()
				if tc.limit > 0 {
					limited, cancel := context.WithTimeout(ctx, tc.limit)
					defer cancel()
					ctx = limited
				}
				got := invoke(ctx, conn)
				if call.CodeOf(got.err) != tc.code {
					t.Errorf("ended with %v, want %v", got.err, tc.code)
				}
				if !slices.Equal(s.times, tc.times) {
					t.Errorf("attempts at %v, want %v", s.times, tc.times)
				}
				want := []string{"", "1", "2", "3", "4"}[:len(tc.times)]
				if !slices.Equal(s.previous, want) {
					t.Errorf("told of %q attempts before, want %q", s.previous, want)
				}
			})
		})
	}
}

func TestWaitsAreVariedByAFifth(t *testing.T) {
	for random, want := range map[float64]time.Duration{0: 40 * ms, .25: 45 * ms, .999999: 59999980} {
		synctest.Test(t, func(t *testing.T) {
			r, _ := newRetries(t, func() float64 { return random })
			s := &script{answers: []answer{down, fine}}
			invoke(t.Context(), connect(t, r, safe(t, ""), s.conn()))
			if diff := s.times[1] - want; diff.Abs() > time.Microsecond {
				t.Errorf("with %v it waited %v, want %v", random, s.times[1], want)
			}
		})
	}
}

func TestOnlyTheLastAnswerIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newRetries(t, half)
		first := down
		first.reply, first.trailer = "half an ans", metadata.Pairs("from", "first")
		second := fine
		second.header, second.trailer = metadata.Pairs("h", "second"), metadata.Pairs("from", "second")
		got := invoke(t.Context(), connect(t, r, safe(t, ""), (&script{answers: []answer{first, second}}).conn()))
		if got.err != nil || got.reply != "fine" || got.header.Get("h")[0] != "second" || !slices.Equal(got.trailer["from"], []string{"second"}) {
			t.Errorf("got %+v", got)
		}
		// An attempt that got nowhere leaves the metadata alone: grpc-go writes
		// them only where there was a stream.
		n := 0
		conn := connect(t, r, safe(t, ""), calltest.Conn{OnInvoke: func(ctx context.Context, _ string, _, reply any, opts ...grpc.CallOption) error {
			if n++; n == 1 {
				return first.give(ctx, reply, opts)
			}
			return fails(codes.FailedPrecondition).err
		}})
		if got = invoke(t.Context(), conn); got.reply != "" || got.trailer != nil {
			t.Errorf("the first attempt shows: %+v", got)
		}
	})
}

func TestCallersThatAskForNoMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newRetries(t, half)
		s := &script{answers: []answer{pushback("300"), fine}}
		conn := connect(t, r, safe(t, ""), s.conn())
		if err := conn.Invoke(t.Context(), method, nil, nil); err != nil || s.times[1] != 300*ms {
			t.Errorf("err = %v, attempts at %v; want a pushback of 300ms", err, s.times)
		}
		begun := &script{answers: []answer{{err: down.err, header: metadata.Pairs("content-type", "application/grpc")}}}
		_ = connect(t, r, safe(t, ""), begun.conn()).Invoke(t.Context(), method, nil, nil)
		if len(begun.times) != 1 {
			t.Error("an answer that had begun was asked for again")
		}
	})
}

func TestAttemptTimeoutSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newRetries(t, half)
		var left []time.Duration
		conn := connect(t, r, safe(t, "attempt_timeout: {seconds: 1}"), calltest.Conn{OnInvoke: func(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
			deadline, _ := ctx.Deadline()
			left = append(left, time.Until(deadline))
			<-ctx.Done()
			return status.FromContextError(ctx.Err()).Err()
		}})
		err := invoke(t.Context(), conn).err
		if call.CodeOf(err) != codes.DeadlineExceeded || call.FaultOf(err) != call.Upstream || !strings.Contains(err.Error(), `"shop" gave no answer within the attempt_timeout of 1s`) {
			t.Errorf("err = %v", err)
		}
		if !slices.Equal(left, []time.Duration{time.Second, time.Second, time.Second}) {
			t.Errorf("backends were given %v, want 1s each", left)
		}
	})
}

// The backend has the same deadline, and its answer may be here before the timer
// of the attempt. Real time, since only there the two are apart.
func TestAttemptTimeoutOfTheBackend(t *testing.T) {
	r, _ := newRetries(t, half)
	m := safe(t, "attempts: 2 attempt_timeout: {nanos: 1000000} initial_backoff: {nanos: 1} max_backoff: {nanos: 1}")
	m.Budget = budget(t, "max_tokens: 1000")
	n := 0
	conn := connect(t, r, m, calltest.Conn{OnInvoke: func(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
		if n++; n%2 == 0 {
			return nil
		}
		for deadline, _ := ctx.Deadline(); time.Now().Before(deadline); {
			continue // a timer would not be earlier than that of the attempt
		}
		return status.Error(codes.DeadlineExceeded, "too late")
	}})
	for i := range 300 {
		if err := invoke(t.Context(), conn).err; err != nil {
			t.Fatalf("call %d: the second attempt was not made: %v", i, err)
		}
	}
}

func TestWithheldAttemptsAreCounted(t *testing.T) {
	headers := down
	headers.header = metadata.Pairs("x", "y")
	refused := answer{err: call.Refuse(call.Upstream, codes.Unavailable, "spared").By("breaker")}
	for _, tc := range []struct {
		name, policy, budget string
		answer               answer
		limit                time.Duration // of the call
		leave                time.Duration // of the client
		want                 string        // the reason
	}{
		{name: "all made", answer: down, want: "attempts"},
		{name: "no tokens", budget: "max_tokens: 2", answer: down, want: "budget"},
		{name: "asked to stop", answer: pushback("-1"), want: "pushback"},
		{name: "no time to wait", answer: down, limit: 10 * ms, want: "deadline"},
		{name: "no time left", answer: answer{after: time.Minute}, limit: 10 * ms, want: "deadline"},
		{name: "left while waiting", answer: down, leave: 10 * ms, want: "cancelled"},
		{name: "another code", answer: fails(codes.Internal), want: "code"},
		{name: "a deadline of the backend's own", policy: "attempt_timeout: {seconds: 1}", answer: fails(codes.DeadlineExceeded), want: "code"},
		{name: "answered", answer: headers, want: "answered"},
		{name: "refused", answer: refused, want: "policy"},
		{name: "client's mistake", answer: fails(codes.NotFound)},
		{name: "client left", answer: answer{after: time.Minute}, leave: 10 * ms},
		{name: "fine", answer: fine},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, reg := newRetries(t, half)
				m := safe(t, tc.policy)
				m.Budget = budget(t, tc.budget)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tc.limit > 0 {
					limited, cancel := context.WithTimeout(ctx, tc.limit)
					defer cancel()
					ctx = limited
				}
				if tc.leave > 0 {
					time.AfterFunc(tc.leave, cancel)
				}
				invoke(ctx, connect(t, r, m, (&script{answers: []answer{tc.answer}}).conn()))
				var got, want []string
				for _, s := range series(t, reg) {
					if strings.HasPrefix(s, "gatehouse_retry_withheld_total") {
						got = append(got, s)
					}
				}
				if tc.want != "" {
					want = []string{"gatehouse_retry_withheld_total method=" + method + " reason=" + tc.want + " 1"}
				}
				if !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		})
	}
}

func TestAClientThatLeavesWhileWaiting(t *testing.T) {
	for _, tc := range []struct {
		cause error
		fault call.Fault
		code  codes.Code
	}{
		{nil, call.Client, codes.Canceled},
		{call.Refuse(call.Gateway, codes.Unavailable, "draining"), call.Gateway, codes.Unavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, _ := newRetries(t, half)
			s := &script{answers: []answer{pushback("60000")}}
			ctx, leave := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { leave(tc.cause) })
			err := invoke(ctx, connect(t, r, safe(t, ""), s.conn())).err
			if call.CodeOf(err) != tc.code || call.FaultOf(err) != tc.fault || len(s.times) != 1 {
				t.Errorf("err = %v after %d attempts, want %v", err, len(s.times), tc.code)
			}
			if since := time.Since(s.begun); since != time.Second {
				t.Errorf("it took %v to notice", since)
			}
		})
	}
}

func TestWhatIsNotSafeIsAttemptedOnce(t *testing.T) {
	for _, text := range []string{"", "safe: false", "attempts: 5"} {
		synctest.Test(t, func(t *testing.T) {
			r, _ := newRetries(t, half)
			m := safe(t, text+" attempt_timeout: {seconds: 1}")
			m.Safe, m.SideEffects = false, true
			s := &script{answers: []answer{down}}
			if invoke(t.Context(), connect(t, r, m, s.conn())); len(s.times) != 1 {
				t.Errorf("%d attempts, want 1", len(s.times))
			}
			slow := &script{answers: []answer{{after: time.Minute}}}
			if err := invoke(t.Context(), connect(t, r, m, slow.conn())).err; call.CodeOf(err) != codes.DeadlineExceeded || len(slow.times) != 1 || time.Since(slow.begun) != time.Second {
				t.Errorf("%d attempts, %v after %v; want attempt_timeout to end the only one", len(slow.times), err, time.Since(slow.begun))
			}
		})
	}
}

func TestAttemptsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, reg := newRetries(t, half)
		c := new(call.Call)
		invoke(call.With(t.Context(), c), connect(t, r, safe(t, ""), (&script{answers: []answer{down, down, fine}}).conn()))
		if c.Attempts() != 3 {
			t.Errorf("the call says %d attempts, want 3", c.Attempts())
		}
		invoke(t.Context(), connect(t, r, safe(t, ""), (&script{answers: []answer{pushback("-1")}}).conn()))
		want := []string{
			"gatehouse_retry_attempts_total kind=first method=/shop.v1.Shop/Get outcome=error 2",
			"gatehouse_retry_attempts_total kind=first method=/shop.v1.Shop/Get outcome=ok 0",
			"gatehouse_retry_attempts_total kind=retry method=/shop.v1.Shop/Get outcome=error 1",
			"gatehouse_retry_attempts_total kind=retry method=/shop.v1.Shop/Get outcome=ok 1",
			"gatehouse_retry_budget_tokens upstream=shop 7.1",
			"gatehouse_retry_withheld_total method=/shop.v1.Shop/Get reason=pushback 1",
		}
		if got := series(t, reg); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestBuildRefuses(t *testing.T) {
	for _, tc := range []struct {
		policy, budget string
		m              interceptors.Method
		want           string
	}{
		{policy: "attempts: 1", want: "retry.attempts: "},
		{policy: "attempts: 6", want: "retry.attempts: "},
		{policy: "initial_backoff: {}", want: "retry.initial_backoff: "},
		{policy: "max_backoff: {seconds: -1}", want: "retry.max_backoff: "},
		{policy: "multiplier: 0.5", want: "retry.multiplier: "},
		{policy: "multiplier: nan", want: "retry.multiplier: "},
		{policy: `codes: ["UNAVAILABLE", "DATA_LOSS"]`, want: "retry.codes[1]: "},
		{policy: `codes: "CANCELLED"`, want: "retry.codes[0]: "},
		{policy: `codes: "unavailable"`, want: "retry.codes[0]: "},
		{policy: "attempt_timeout: {seconds: -1}", want: "retry.attempt_timeout: "},
		{policy: "hedge: {delay: {seconds: -1}}", want: "retry.hedge.delay: "},
		{policy: "hedge: {}", m: interceptors.Method{ServerStreams: true}, want: "retry.hedge: "},
		{policy: "hedge: {}", m: interceptors.Method{ClientStreams: true}, want: "retry.hedge: "},
		{policy: "hedge: {}", m: interceptors.Method{SideEffects: true}, want: "retry.hedge: "},
		{budget: "max_tokens: 0", want: "retry_budget.max_tokens: "},
		{budget: "max_tokens: 1001", want: "retry_budget.max_tokens: "},
		{budget: "token_ratio: 0", want: "retry_budget.token_ratio: "},
		{budget: "token_ratio: 1.5", want: "retry_budget.token_ratio: "},
		{budget: "token_ratio: nan", want: "retry_budget.token_ratio: "},
	} {
		r, _ := newRetries(t, nil)
		m := safe(t, tc.policy)
		m.ClientStreams, m.ServerStreams, m.SideEffects, m.Budget = tc.m.ClientStreams, tc.m.ServerStreams, tc.m.SideEffects, budget(t, tc.budget)
		if _, err := policytest.TryBuild(r, m); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s %s: err = %v, want one of %s", tc.policy, tc.budget, err, tc.want)
		}
	}
}

func TestWhatPasses(t *testing.T) {
	for name, m := range map[string]struct {
		safe   bool
		policy *policyv1.Retry
		of     interceptors.Method
	}{
		"no policy":     {safe: true},
		"disabled":      {safe: true, policy: policy(t, "disabled: true hedge: {}"), of: interceptors.Method{SideEffects: true}},
		"client stream": {safe: true, policy: policy(t, ""), of: interceptors.Method{ClientStreams: true}},
		"both ways":     {safe: true, policy: policy(t, ""), of: interceptors.Method{ClientStreams: true, ServerStreams: true}},
		"not safe":      {policy: policy(t, "")},
		"no hedge":      {policy: policy(t, "hedge: {disabled: true}"), of: interceptors.Method{SideEffects: true}},
	} {
		r, _ := newRetries(t, nil)
		of := rpc(m.policy, m.safe)
		of.ClientStreams, of.ServerStreams, of.SideEffects = m.of.ClientStreams, m.of.ServerStreams, m.of.SideEffects
		if i, err := policytest.TryBuild(r, of); err != nil || i.Unary != nil || i.Stream != nil {
			t.Errorf("%s: Build = %+v, %v; want one that lets all through", name, i, err)
		}
	}
}

func TestCollectorsAreRegisteredOnce(t *testing.T) {
	_, reg := newRetries(t, nil)
	if _, err := retry.New(reg, nil); err == nil {
		t.Error("registered twice without an error")
	}
}

func TestItAllocatesNothing(t *testing.T) {
	r, _ := newRetries(t, nil)
	conn := connect(t, r, safe(t, ""), calltest.Conn{})
	var header, trailer metadata.MD
	opts := []grpc.CallOption{grpc.Header(&header), grpc.Trailer(&trailer)}
	ctx := call.With(t.Context(), new(call.Call))
	if n := testing.AllocsPerRun(100, func() { _ = conn.Invoke(ctx, method, nil, nil, opts...) }); n != 0 {
		t.Errorf("a call costs %v allocations, want 0", n)
	}
}

func TestARequestThatCannotBeReadIsNotAttempted(t *testing.T) {
	bad := errors.New("bad body")
	for _, text := range []string{"attempt_timeout: {seconds: 1}", "hedge: {delay: {seconds: 1}}"} {
		r, _ := newRetries(t, nil)
		s := &script{answers: []answer{fine}}
		m := &call.Method{Name: method, Conn: connect(t, r, safe(t, text), s.conn())}
		down := &calltest.ServerStream{Ctx: call.With(t.Context(), new(call.Call)), RecvErr: bad}
		if err := call.Forward(m, down); !errors.Is(err, bad) || len(s.times) != 0 {
			t.Errorf("%s: err = %v after %d attempts, want the client's mistake and none", text, err, len(s.times))
		}
	}
}
