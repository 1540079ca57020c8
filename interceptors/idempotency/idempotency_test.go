package idempotency_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/idempotency"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const method = "/shop.orders.v1.Orders/CreateOrder"

// backend counts the calls that reach it, and answers each differently.
type backend struct {
	calls  atomic.Int64
	answer func(ctx context.Context, n int64) error // nil: none fails
}

func (b *backend) invoke(ctx context.Context, _ string, args, reply any, opts ...grpc.CallOption) error {
	n := b.calls.Add(1)
	if pending, ok := args.(*call.Pending); ok {
		if _, err := pending.Message(); err != nil {
			return err
		}
	}
	count := string(rune('0' + n))
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = metadata.Pairs("content-type", "application/grpc", "x-order", count, "x-raw-bin", "\x00\xff")
		case grpc.TrailerCallOption:
			*o.TrailerAddr = metadata.Pairs("x-cost", "1", "x-cost", count)
		}
	}
	if b.answer != nil {
		if err := b.answer(ctx, n); err != nil {
			return err
		}
	}
	reply.(*call.Message).Data = calltest.Bytes("order " + count)
	return nil
}

func newKeys(t *testing.T, o idempotency.Options) *idempotency.Keys {
	t.Helper()
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 20
	}
	if o.CallerShare == 0 {
		o.CallerShare = 0.1
	}
	k, err := idempotency.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// build builds the policy of a unary RPC. What p leaves out is off.
func build(k *idempotency.Keys, p *policyv1.Idempotency) (interceptors.Interceptor, error) {
	p = proto.CloneOf(p)
	if p != nil && p.GetTtl() == nil {
		p.Ttl = durationpb.New(24 * time.Hour)
	}
	return k.Build(&interceptors.Method{Name: method, Policy: &policyv1.Policy{Idempotency: p}})
}

// serve is an RPC behind the policy.
func serve(t *testing.T, k *idempotency.Keys, b *backend, p *policyv1.Idempotency) *call.Method {
	t.Helper()
	i, err := build(k, p)
	if err != nil {
		t.Fatal(err)
	}
	return &call.Method{Name: method, Conn: interceptors.Chain(calltest.Conn{OnInvoke: b.invoke}, i)}
}

// request is one call of a client.
type request struct {
	key    []string // header values
	body   string
	caller *call.Caller
	peer   string
	md     []string // other headers
}

// send forwards a call as the edge does, and gives what the client got.
func send(ctx context.Context, m *call.Method, r request) (*calltest.ServerStream, *call.Call, error) {
	c := &call.Call{Protocol: call.REST, Peer: r.peer}
	if r.caller != nil {
		c.SetCaller(r.caller)
	}
	md := metadata.Pairs(r.md...)
	md.Append("idempotency-key", r.key...)
	down := &calltest.ServerStream{Ctx: metadata.NewOutgoingContext(call.With(ctx, c), md), Requests: []string{r.body}}
	err := call.Forward(m, down)
	return down, c, err
}

func reasonOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

func TestTheAnswerIsGivenAgain(t *testing.T) {
	b := &backend{}
	m := serve(t, newKeys(t, idempotency.Options{}), b, &policyv1.Idempotency{})
	first, c, err := send(t.Context(), m, request{key: []string{`"k1"`}, body: "tea"})
	if err != nil || len(c.Header()) != 0 {
		t.Fatalf("first: %v, headers %v; want neither", err, c.Header())
	}
	for range 3 {
		again, c, err := send(t.Context(), m, request{key: []string{`k1`}, body: "tea"})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Header().Get("idempotency-replayed"); !slices.Equal(got, []string{"true"}) {
			t.Errorf("idempotency-replayed %q, want true", got)
		}
		if !slices.Equal(again.Got, first.Got) || !equal(again.Header, first.Header) || !equal(again.Trailer, first.Trailer) {
			t.Errorf("answers differ:\n%v %v %v\n%v %v %v", first.Got, first.Header, first.Trailer, again.Got, again.Header, again.Trailer)
		}
	}
	if again, _, err := send(t.Context(), m, request{key: []string{"k2"}, body: "tea"}); err != nil || again.Got[0] != "order 2" {
		t.Errorf("another key: %v %v, want an order of its own", again.Got, err)
	}
	if again, _, err := send(t.Context(), m, request{body: "tea"}); err != nil || again.Got[0] != "order 3" {
		t.Errorf("no key: %v %v, want an order of its own", again.Got, err)
	}
}

func equal(a, b metadata.MD) bool {
	if len(a) != len(b) {
		return false
	}
	for k := range a {
		if !slices.Equal(a[k], b[k]) {
			return false
		}
	}
	return true
}

func TestAnotherRequestUnderTheKey(t *testing.T) {
	b := &backend{}
	m := serve(t, newKeys(t, idempotency.Options{}), b, &policyv1.Idempotency{})
	if _, _, err := send(t.Context(), m, request{key: []string{"k"}, body: "tea"}); err != nil {
		t.Fatal(err)
	}
	_, _, err := send(t.Context(), m, request{key: []string{"k"}, body: "cake"})
	if status.Code(err) != codes.InvalidArgument || reasonOf(err) != "IDEMPOTENCY_KEY_REUSED" || call.FaultOf(err) != call.Client || call.PolicyOf(err) != "idempotency" {
		t.Errorf("err = %v %s, want INVALID_ARGUMENT", err, reasonOf(err))
	}
	if b.calls.Load() != 1 {
		t.Errorf("%d calls, want 1", b.calls.Load())
	}
}

func TestKeysBelongToOneCaller(t *testing.T) {
	b := &backend{}
	m := serve(t, newKeys(t, idempotency.Options{}), b, &policyv1.Idempotency{})
	for i, r := range []request{
		{peer: "192.0.2.1:1"},
		{peer: "192.0.2.2:1"},
		{peer: "[2001:db8::1]:1"},
		{caller: &call.Caller{Authenticator: "jwt", ID: "a"}},
		{caller: &call.Caller{Authenticator: "jwt", ID: "b"}},
		{caller: &call.Caller{Authenticator: "keys", ID: "a"}},
		{caller: &call.Caller{Authenticator: "jwta"}},
		{caller: &call.Caller{Authenticator: "192.0.2.1"}},
		{peer: "192.0.2.1:1", md: []string{"authorization", "Bearer ann"}},
		{peer: "192.0.2.1:1", md: []string{"authorization", "Bearer bob"}},
		{peer: "192.0.2.1:1", md: []string{"cookie", "Bearer bob"}},
		{peer: "192.0.2.1:1", md: []string{"cookie", "a=b", "cookie", "Bearer bob"}},
		{caller: &call.Caller{Authenticator: "keys", ID: "app"}, md: []string{"authorization", "Bearer ann"}},
		{caller: &call.Caller{Authenticator: "keys", ID: "app"}, md: []string{"authorization", "Bearer bob"}},
		{peer: "192.0.2.1:1", md: []string{"x-api-key", "ann"}},
		{peer: "192.0.2.1:1", md: []string{"x-api-key", "bob"}},
		{peer: "192.0.2.1:1", md: []string{"x-auth-token", "ann"}},
		{caller: &call.Caller{Authenticator: "jwt", Credential: "hash of one", ByAuthorization: true}},
		{caller: &call.Caller{Authenticator: "jwt", Credential: "hash of another", ByAuthorization: true}},
		{caller: &call.Caller{Authenticator: "jwt", ID: "hash of one", ByAuthorization: true}},
	} {
		r.key = []string{"k"}
		if _, _, err := send(t.Context(), m, r); err != nil || b.calls.Load() != int64(i+1) {
			t.Errorf("%+v: %v, %d calls; want one of its own", r, err, b.calls.Load())
		}
	}
	n := b.calls.Load()
	for _, r := range []request{
		{peer: "192.0.2.1:9"},
		{peer: "[2001:db8::2]:1"},
		{peer: "198.51.100.1:1", caller: &call.Caller{Authenticator: "jwt", ID: "a"}},
		{peer: "192.0.2.1:9", md: []string{"authorization", "Bearer ann"}},
	} {
		r.key = []string{"k"}
		if _, _, err := send(t.Context(), m, r); err != nil || b.calls.Load() != n {
			t.Errorf("%+v: %v, %d calls; want a repetition", r, err, b.calls.Load())
		}
	}
	// The token is the caller's own, so a fresh one changes nothing.
	for _, token := range []string{"Bearer one", "Bearer two"} {
		r := request{key: []string{"k"}, caller: &call.Caller{Authenticator: "jwt", ID: "c", ByAuthorization: true}, md: []string{"authorization", token}}
		if _, _, err := send(t.Context(), m, r); err != nil || b.calls.Load() != n+1 {
			t.Errorf("%+v: %v, %d calls; want one for both tokens", r, err, b.calls.Load())
		}
	}
}

func TestWhatIsKept(t *testing.T) {
	ours := call.Refuse(call.Upstream, codes.Internal, "upstream gave no gRPC")
	for _, tc := range []struct {
		err  error
		kept bool
	}{
		{nil, true},
		{status.Error(codes.InvalidArgument, "no"), true},
		{status.Error(codes.NotFound, "no"), true},
		{status.Error(codes.AlreadyExists, "no"), true},
		{status.Error(codes.FailedPrecondition, "no"), true},
		{status.Error(codes.OutOfRange, "no"), true},
		{status.Error(codes.Unimplemented, "no"), true},
		{status.Error(codes.Internal, "no"), true},
		{status.Error(codes.Unknown, "no"), true},
		{status.Error(codes.DataLoss, "no"), true},
		{status.Error(codes.Unavailable, "no"), false},
		{status.Error(codes.Canceled, "no"), false},
		{status.Error(codes.DeadlineExceeded, "no"), false},
		{status.Error(codes.Aborted, "no"), false},
		{status.Error(codes.ResourceExhausted, "no"), false},
		{status.Error(codes.Unauthenticated, "no"), false},
		{status.Error(codes.PermissionDenied, "no"), false},
		{ours, false},
		{context.Canceled, false},
		{errors.New("plain"), false},
	} {
		b := &backend{answer: func(context.Context, int64) error { return tc.err }}
		m := serve(t, newKeys(t, idempotency.Options{}), b, &policyv1.Idempotency{})
		_, _, first := send(t.Context(), m, request{key: []string{"k"}})
		down, _, again := send(t.Context(), m, request{key: []string{"k"}})
		if kept := b.calls.Load() == 1; kept != tc.kept {
			t.Errorf("%v: kept = %v, want %v", tc.err, kept, tc.kept)
		}
		if call.CodeOf(first) != call.CodeOf(again) || call.StatusOf(first).Message() != call.StatusOf(again).Message() {
			t.Errorf("first %v, then %v", first, again)
		}
		if tc.kept && down.Trailer.Get("x-cost")[1] != "1" {
			t.Errorf("%v: trailer %v, want the first's", tc.err, down.Trailer)
		}
	}
}

func TestDetailsAreGivenAgain(t *testing.T) {
	st, err := status.New(codes.FailedPrecondition, "out of stock").WithDetails(&errdetails.ErrorInfo{Reason: "STOCK"})
	if err != nil {
		t.Fatal(err)
	}
	m := serve(t, newKeys(t, idempotency.Options{}), &backend{answer: func(context.Context, int64) error { return st.Err() }}, &policyv1.Idempotency{})
	for range 2 {
		if _, _, err := send(t.Context(), m, request{key: []string{"k"}}); reasonOf(err) != "STOCK" || status.Convert(err).Message() != "out of stock" {
			t.Errorf("err = %v %q", err, reasonOf(err))
		}
	}
}

func TestAPanicFreesTheKey(t *testing.T) {
	b := &backend{answer: func(_ context.Context, n int64) error {
		if n == 1 {
			panic("backend")
		}
		return nil
	}}
	m := serve(t, newKeys(t, idempotency.Options{}), b, &policyv1.Idempotency{})
	if _, _, err := send(t.Context(), m, request{key: []string{"k"}}); status.Code(err) != codes.Internal {
		t.Errorf("err = %v, want INTERNAL", err)
	}
	if down, _, err := send(t.Context(), m, request{key: []string{"k"}}); err != nil || down.Got[0] != "order 2" {
		t.Errorf("%v %v, want a second order", down.Got, err)
	}
}

func TestOneOfManyReachesTheBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{answer: func(context.Context, int64) error { time.Sleep(time.Second); return nil }}
		m := serve(t, newKeys(t, idempotency.Options{}), b, &policyv1.Idempotency{})
		var running, done, replayed atomic.Int64
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				_, c, err := send(context.Background(), m, request{key: []string{"k"}, body: "tea"})
				switch {
				case status.Code(err) == codes.Aborted && reasonOf(err) == "IDEMPOTENCY_KEY_IN_USE":
					running.Add(1)
				case err == nil && len(c.Header()) > 0:
					replayed.Add(1)
				case err == nil:
					done.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if b.calls.Load() != 1 || done.Load() != 1 || running.Load() < 98 || replayed.Load() < 99 || running.Load()+replayed.Load() != 199 {
			t.Errorf("%d calls, %d done, %d conflicts, %d replayed", b.calls.Load(), done.Load(), running.Load(), replayed.Load())
		}
	})
}

func TestAConflictSaysWhenToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{answer: func(ctx context.Context, _ int64) error { <-ctx.Done(); return ctx.Err() }}
		m := serve(t, newKeys(t, idempotency.Options{}), b, &policyv1.Idempotency{})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, _, err := send(ctx, m, request{key: []string{"k"}, body: "tea"}); call.CodeOf(err) != codes.Canceled {
				t.Errorf("err = %v, want CANCELLED", err)
			}
		})
		synctest.Wait()
		_, _, err := send(t.Context(), m, request{key: []string{"k"}, body: "tea"})
		details := status.Convert(err).Details()
		if retry, ok := details[len(details)-1].(*errdetails.RetryInfo); status.Code(err) != codes.Aborted || !ok || retry.GetRetryDelay().AsDuration() != time.Second {
			t.Errorf("err = %v %v, want ABORTED with RetryInfo of 1s", err, details)
		}
		if _, _, err := send(t.Context(), m, request{key: []string{"k"}, body: "cake"}); reasonOf(err) != "IDEMPOTENCY_KEY_REUSED" {
			t.Errorf("err = %v, want another request to be told apart even now", err)
		}
		cancel() // the client goes away: the key is free
		wg.Wait()
		b.answer = nil
		if down, _, err := send(t.Context(), m, request{key: []string{"k"}, body: "tea"}); err != nil || down.Got[0] != "order 2" {
			t.Errorf("%v %v, want a second try", down.Got, err)
		}
	})
}

func TestTTL(t *testing.T) {
	for name, tc := range map[string]struct {
		policy *policyv1.Idempotency
		want   time.Duration
	}{
		"default": {&policyv1.Idempotency{}, 24 * time.Hour},
		"own":     {&policyv1.Idempotency{Ttl: durationpb.New(time.Minute)}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &backend{}
				m := serve(t, newKeys(t, idempotency.Options{}), b, tc.policy)
				for _, step := range []struct {
					after time.Duration
					calls int64
				}{{0, 1}, {tc.want - 1, 1}, {1, 2}} {
					time.Sleep(step.after)
					if _, _, err := send(t.Context(), m, request{key: []string{"k"}}); err != nil || b.calls.Load() != step.calls {
						t.Errorf("after %v: %v, %d calls, want %d", step.after, err, b.calls.Load(), step.calls)
					}
				}
			})
		})
	}
}

func TestAnswersTooLargeToKeep(t *testing.T) {
	calls := 0
	big := calltest.Conn{OnInvoke: func(_ context.Context, _ string, _, reply any, _ ...grpc.CallOption) error {
		calls++
		reply.(*call.Message).Data = calltest.Bytes(strings.Repeat("x", 5<<10))
		return nil
	}}
	i, err := build(newKeys(t, idempotency.Options{MaxBytes: 64 << 10}), &policyv1.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	m := &call.Method{Name: method, Conn: interceptors.Chain(big, i)}
	if down, _, err := send(t.Context(), m, request{key: []string{"k"}}); err != nil || len(down.Got[0]) != 5<<10 {
		t.Fatalf("first: %v", err)
	}
	if _, _, err := send(t.Context(), m, request{key: []string{"k"}}); status.Code(err) != codes.FailedPrecondition || calls != 1 {
		t.Errorf("err = %v, %d calls; want a refusal, not a second order", err, calls)
	}
}

func TestSettings(t *testing.T) {
	k := newKeys(t, idempotency.Options{})
	try := func(p *policyv1.Idempotency, streams bool) (interceptors.Interceptor, error) {
		return policytest.TryBuild(k, interceptors.Method{Name: method, ServerStreams: streams, Policy: &policyv1.Policy{Idempotency: p}})
	}
	for name, p := range map[string]*policyv1.Idempotency{"none": nil, "disabled": {Disabled: new(true), Required: new(true)}} {
		if i, err := try(p, true); err != nil || i.Unary != nil || i.Stream != nil {
			t.Errorf("%s: %+v %v, want a policy that lets all through", name, i, err)
		}
	}
	if i, err := try(&policyv1.Idempotency{}, false); err != nil || i.Unary == nil {
		t.Errorf("%+v %v, want a policy: it is on where it is named", i, err)
	}
	if _, err := try(&policyv1.Idempotency{}, true); err == nil || !strings.HasPrefix(err.Error(), "idempotency: the RPC is a stream") {
		t.Errorf("a stream: %v", err)
	}
	for want, p := range map[string]*policyv1.Idempotency{
		"idempotency.ttl: ":          {Ttl: durationpb.New(0)},
		"idempotency.store: ":        {Store: policyv1.Store_STORE_REDIS.Enum()},
		"idempotency.at_most_once: ": {AtMostOnce: new(true), OnFailure: policyv1.OnFailure_ON_FAILURE_OPEN.Enum()},
	} {
		if _, err := try(p, false); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("err = %v, want %q...", err, want)
		}
	}
	reg := prometheus.NewRegistry()
	newKeys(t, idempotency.Options{Registerer: reg})
	if _, err := idempotency.New(idempotency.Options{Registerer: reg}); err == nil {
		t.Error("two in one registry: want an error")
	}
}

// Inside the process the request is a message that is there already.
func TestInProcess(t *testing.T) {
	b := &backend{}
	m := serve(t, newKeys(t, idempotency.Options{}), b, &policyv1.Idempotency{})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "idempotency-key", "k")
	table := call.NewTable([]*call.Method{m}, nil)
	for range 3 {
		var reply call.Message
		var header metadata.MD
		err := table.Invoke(ctx, method, &call.Message{Data: calltest.Bytes("tea")}, &reply, grpc.Header(&header))
		if err != nil || string(reply.Data.Materialize()) != "order 1" || header.Get("x-order")[0] != "1" {
			t.Errorf("%q %v %v", reply.Data.Materialize(), header, err)
		}
		header.Set("x-order", "the client's own by now")
	}
	if err := m.Conn.Invoke(ctx, method, nil, &call.Message{}); status.Code(err) != codes.Internal {
		t.Errorf("no request: err = %v, want INTERNAL", err)
	}
}

func TestStateOutlivesTheTable(t *testing.T) {
	b := &backend{}
	k := newKeys(t, idempotency.Options{})
	for range 2 {
		m := serve(t, k, b, &policyv1.Idempotency{})
		if down, _, err := send(t.Context(), m, request{key: []string{"k"}}); err != nil || down.Got[0] != "order 1" {
			t.Errorf("%v %v", down.Got, err)
		}
	}
}

// values are all series, by name and label values.
func values(t *testing.T, reg prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			got[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}
