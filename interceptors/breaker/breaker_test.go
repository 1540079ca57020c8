package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/breaker"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

const method = "/shop.v1.Shop/Get"

// backend answers with what is set, after so long.
type backend struct {
	err   error
	takes time.Duration

	mu    sync.Mutex
	calls int
}

func (b *backend) conn() calltest.Conn {
	return calltest.Conn{OnInvoke: func(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
		b.mu.Lock()
		b.calls++
		err := b.err
		b.mu.Unlock()
		if b.takes > 0 {
			select {
			case <-time.After(b.takes):
			case <-ctx.Done():
				return status.FromContextError(ctx.Err()).Err()
			}
		}
		return err
	}}
}

func newBreakers(t *testing.T, random func() float64) (*breaker.Breakers, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	b, err := breaker.New(reg, random)
	if err != nil {
		t.Fatal(err)
	}
	return b, reg
}

// policy reads one in the text format.
func policy(t *testing.T, text string) *policyv1.Breaker {
	t.Helper()
	p := new(policyv1.Breaker)
	if err := prototext.Unmarshal([]byte(text), p); err != nil {
		t.Fatal(err)
	}
	return p
}

func build(b *breaker.Breakers, upstream, method string, p *policyv1.Breaker) (interceptors.Interceptor, error) {
	return policytest.TryBuild(b, interceptors.Method{Name: method, Policy: &policyv1.Policy{Breaker: p}, Target: interceptors.Target{Upstream: upstream}})
}

func connect(t *testing.T, b *breaker.Breakers, upstream, method, text string, to grpc.ClientConnInterface) grpc.ClientConnInterface {
	t.Helper()
	i, err := build(b, upstream, method, policy(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return interceptors.Chain(to, i)
}

func constant(p float64) func() float64 { return func() float64 { return p } }

func invoke(t *testing.T, conn grpc.ClientConnInterface) error {
	t.Helper()
	return conn.Invoke(t.Context(), method, nil, nil)
}

func repeat(t *testing.T, n int, conn grpc.ClientConnInterface) (refused int) {
	t.Helper()
	for range n {
		if err := invoke(t, conn); call.PolicyOf(err) == "breaker" {
			refused++
		}
	}
	return refused
}

func unavailable() error { return status.Error(codes.Unavailable, "down") }

// late is what the last link says of a deadline that passed.
func late(fault call.Fault) error { return call.Refuse(fault, codes.DeadlineExceeded, "late") }

const threeState = "kind: KIND_THREE_STATE "

func checkRefusal(t *testing.T, err error, after time.Duration) {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != codes.Unavailable || call.FaultOf(err) != call.Upstream || call.PolicyOf(err) != "breaker" || !strings.Contains(st.Message(), `"shop"`) {
		t.Errorf("refused with %v, fault %v, policy %q", st, call.FaultOf(err), call.PolicyOf(err))
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			if got := info.GetRetryDelay().AsDuration(); got != after {
				t.Errorf("RetryInfo says %v, want %v", got, after)
			}
			return
		}
	}
	t.Error("no RetryInfo")
}

func state(t *testing.T, b *breaker.Breakers) breaker.State {
	t.Helper()
	all := b.States()
	if len(all) != 1 {
		t.Fatalf("%d breakers, want 1: %+v", len(all), all)
	}
	return all[0]
}

func expect(t *testing.T, b *breaker.Breakers, want string) {
	t.Helper()
	if got := state(t, b).State; got != want {
		t.Errorf("the breaker is %s, want %s", got, want)
	}
}

// series gives every series of a registry as text.
func series(t *testing.T, reg *prometheus.Registry) []string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			text := f.GetName()
			for _, l := range m.GetLabel() {
				text += " " + l.GetName() + "=" + l.GetValue()
			}
			all = append(all, fmt.Sprint(text, " ", m.GetGauge().GetValue()+m.GetCounter().GetValue()))
		}
	}
	return all
}

// verdict tells what one error does to a breaker that a single failure opens.
func verdict(t *testing.T, ctx context.Context, err error) string {
	t.Helper()
	b, _ := newBreakers(t, constant(.5))
	up := &backend{err: err}
	conn := connect(t, b, "shop", method, threeState+"minimum_calls: 1", up.conn())
	_ = conn.Invoke(ctx, method, nil, nil)
	switch s := state(t, b); {
	case s.State == "open":
		return "failed"
	case s.Requests == 0:
		return "nothing"
	default:
		return "good"
	}
}

func TestOnlyFaultsOfTheUpstreamCount(t *testing.T) {
	left, leave := context.WithCancel(t.Context())
	leave()
	idle, stop := context.WithCancelCause(t.Context())
	stop(call.Refuse(call.Gateway, codes.DeadlineExceeded, "idle"))
	bound, stopBound := context.WithCancelCause(t.Context())
	stopBound(call.Refuse(call.Upstream, codes.DeadlineExceeded, "attempt_timeout"))
	for _, tc := range []struct {
		name string
		ctx  context.Context
		err  error
		want string
	}{
		{"answered", nil, nil, "good"},
		{"UNAVAILABLE", nil, unavailable(), "failed"},
		{"INTERNAL", nil, status.Error(codes.Internal, ""), "failed"},
		{"UNKNOWN", nil, status.Error(codes.Unknown, ""), "failed"},
		{"DATA_LOSS", nil, status.Error(codes.DataLoss, ""), "failed"},
		{"DEADLINE_EXCEEDED", nil, status.Error(codes.DeadlineExceeded, ""), "failed"},
		{"a fair time passed", nil, late(call.Upstream), "failed"},
		{"a client's short deadline", nil, late(call.Client), "nothing"},
		{"connection broke", nil, call.Refuse(call.Upstream, codes.Unavailable, "reset"), "failed"},
		{"wrong number of messages", nil, call.Refuse(call.Upstream, codes.Unimplemented, "none"), "failed"},
		{"no code", nil, errors.New("what"), "failed"},
		{"CANCELLED", nil, status.Error(codes.Canceled, ""), "nothing"},
		{"client left", left, context.Canceled, "nothing"},
		{"idle stream", idle, status.Error(codes.Canceled, ""), "nothing"},
		{"attempt_timeout", bound, status.Error(codes.Canceled, ""), "failed"},
		{"attempt_timeout after the answer", bound, status.Error(codes.NotFound, ""), "good"},
		{"bad body", nil, call.Refuse(call.Client, codes.InvalidArgument, "bad"), "nothing"},
		{"our mistake", nil, call.Refuse(call.Gateway, codes.Internal, "internal error"), "nothing"},
		{"another breaker", nil, call.Refuse(call.Upstream, codes.Unavailable, "").By("breaker"), "nothing"},
		{"INVALID_ARGUMENT", nil, status.Error(codes.InvalidArgument, ""), "good"},
		{"NOT_FOUND", nil, status.Error(codes.NotFound, ""), "good"},
		{"ALREADY_EXISTS", nil, status.Error(codes.AlreadyExists, ""), "good"},
		{"PERMISSION_DENIED", nil, status.Error(codes.PermissionDenied, ""), "good"},
		{"UNAUTHENTICATED", nil, status.Error(codes.Unauthenticated, ""), "good"},
		{"FAILED_PRECONDITION", nil, status.Error(codes.FailedPrecondition, ""), "good"},
		{"OUT_OF_RANGE", nil, status.Error(codes.OutOfRange, ""), "good"},
		{"ABORTED", nil, status.Error(codes.Aborted, ""), "good"},
		{"UNIMPLEMENTED", nil, status.Error(codes.Unimplemented, ""), "good"},
		{"RESOURCE_EXHAUSTED", nil, status.Error(codes.ResourceExhausted, ""), "good"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx := tc.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			if got := verdict(t, ctx, tc.err); got != tc.want {
				t.Errorf("counts as %s, want %s", got, tc.want)
			}
		})
	}
}

func TestPanicsFreeTheirPlace(t *testing.T) {
	b, _ := newBreakers(t, nil)
	conn := connect(t, b, "shop", method, threeState, calltest.Conn{OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error {
		panic("oh")
	}})
	func() {
		defer func() { _ = recover() }()
		_ = invoke(t, conn)
	}()
	if s := state(t, b); s.Requests != 0 {
		t.Errorf("a panic of ours counts: %+v", s)
	}
}

func TestStateOutlivesTables(t *testing.T) {
	for _, text := range []string{threeState, ""} {
		b, _ := newBreakers(t, constant(0))
		up := &backend{err: unavailable()}
		repeat(t, 40, connect(t, b, "shop", method, text, up.conn()))
		again := connect(t, b, "shop", method, text, up.conn())
		if invoke(t, again); state(t, b).Refusal == 0 {
			t.Errorf("%q: it closed when the table was built again", text)
		}
		// Other settings make another breaker, in the place of the old one.
		b.Begin()
		connect(t, b, "shop", method, text+" minimum_calls: 60", up.conn())
		if b.Abandon(); len(b.States()) != 1 || state(t, b).Refusal == 0 {
			t.Errorf("%q: a table that was refused left something: %+v", text, b.States())
		}
		b.Begin()
		changed := connect(t, b, "shop", method, text+" minimum_calls: 50", up.conn())
		b.Commit()
		if repeat(t, 10, changed) != 0 || state(t, b).Requests != 10 {
			t.Errorf("%q: it does not go by its new settings: %+v", text, state(t, b))
		}
		b.Begin()
		connect(t, b, "shop", method, "disabled: true", up.conn())
		b.Commit()
		if all := b.States(); len(all) != 0 {
			t.Errorf("%q: one is left after it was disabled: %+v", text, all)
		}
	}
}

func TestScopes(t *testing.T) {
	for scope, shared := range map[string]bool{"": false, "scope: SCOPE_RPC": false, "scope: SCOPE_UPSTREAM": true} {
		b, _ := newBreakers(t, constant(.5))
		up := &backend{err: unavailable()}
		broken := connect(t, b, "shop", method, threeState+scope, up.conn())
		other := connect(t, b, "shop", "/shop.v1.Shop/List", threeState+scope, up.conn())
		elsewhere := connect(t, b, "stock", method, threeState+scope, up.conn())
		repeat(t, 20, broken)
		if refused := call.PolicyOf(invoke(t, other)) == "breaker"; refused != shared {
			t.Errorf("%q: another RPC is refused: %v, want %v", scope, refused, shared)
		}
		if call.PolicyOf(invoke(t, elsewhere)) != "" {
			t.Errorf("%q: another upstream is refused", scope)
		}
	}
}

func TestNoPolicyNoBreaker(t *testing.T) {
	b, _ := newBreakers(t, nil)
	for _, p := range []*policyv1.Breaker{nil, policy(t, "disabled: true")} {
		i, err := build(b, "shop", method, p)
		if err != nil || i.Unary != nil || i.Stream != nil {
			t.Errorf("Build(%v) = %+v, %v; want one that lets all through", p, i, err)
		}
	}
}

func TestBadSettings(t *testing.T) {
	for text, field := range map[string]string{
		"kind: 9":                             "kind",
		"scope: 9":                            "scope",
		"window: {nanos: 1}":                  "window",
		"minimum_calls: 0":                    "minimum_calls",
		"k: 1":                                "k",
		threeState + "failure_ratio: 0":       "failure_ratio",
		threeState + "failure_ratio: 1.1":     "failure_ratio",
		threeState + "slow_ratio: 0":          "slow_ratio",
		threeState + "slow_call: {nanos: -1}": "slow_call",
		threeState + "open_time: {}":          "open_time",
		threeState + "probes: 0":              "probes",
	} {
		b, _ := newBreakers(t, nil)
		if _, err := build(b, "shop", method, policy(t, text)); err == nil || !strings.HasPrefix(err.Error(), "breaker."+field+": ") {
			t.Errorf("%s: err = %v, want one of %s", text, err, field)
		}
	}
}

func TestMetrics(t *testing.T) {
	b, reg := newBreakers(t, constant(.5))
	if _, err := breaker.New(reg, nil); err == nil {
		t.Error("the same collectors were registered twice")
	}
	up := &backend{err: unavailable()}
	text := threeState + "scope: SCOPE_UPSTREAM"
	repeat(t, 21, connect(t, b, "shop", method, text, up.conn()))
	// Other settings for the same upstream: still one series.
	connect(t, b, "shop", "/shop.v1.Shop/List", text+" probes: 1", up.conn())
	want := []string{
		"gatehouse_breaker_refusal_probability method= upstream=shop 1",
		"gatehouse_breaker_refusals_total method= upstream=shop 1",
		"gatehouse_breaker_state method= upstream=shop 2",
	}
	if got := series(t, reg); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestItAllocatesNothing(t *testing.T) {
	for _, text := range []string{"", threeState} {
		b, _ := newBreakers(t, nil)
		conn := connect(t, b, "shop", method, text, calltest.Conn{})
		ctx := t.Context()
		if n := testing.AllocsPerRun(100, func() { _ = conn.Invoke(ctx, method, nil, nil) }); n != 0 {
			t.Errorf("%q: a call costs %v allocations, want 0", text, n)
		}
		down := connect(t, b, "shop", method, text+" minimum_calls: 1", (&backend{err: unavailable()}).conn())
		repeat(t, 50, down)
		if n := testing.AllocsPerRun(100, func() { _ = down.Invoke(ctx, method, nil, nil) }); n > 1 {
			t.Errorf("%q: a refusal costs %v allocations, want at most 1", text, n)
		}
	}
}

func BenchmarkBreaker(b *testing.B) {
	for _, kind := range []policyv1.Breaker_Kind{policyv1.Breaker_KIND_ADAPTIVE, policyv1.Breaker_KIND_THREE_STATE} {
		b.Run(fmt.Sprint(kind), func(b *testing.B) {
			all, err := breaker.New(prometheus.NewRegistry(), nil)
			if err != nil {
				b.Fatal(err)
			}
			i, err := build(all, "shop", method, &policyv1.Breaker{Kind: &kind, Window: durationpb.New(time.Minute)})
			if err != nil {
				b.Fatal(err)
			}
			conn := interceptors.Chain(calltest.Conn{}, i)
			b.ReportAllocs()
			for b.Loop() {
				_ = conn.Invoke(b.Context(), method, nil, nil)
			}
		})
	}
}
