package cache_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/cache"
	"github.com/gatehouse-dev/gatehouse/internal/answers"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

const method = "/s/m"

// backend answers with the number of the call.
type backend struct {
	asked  atomic.Int32
	takes  time.Duration
	header metadata.MD
	err    error
}

func (b *backend) invoke(ctx context.Context, _ string, args, reply any, opts ...grpc.CallOption) error {
	n := b.asked.Add(1)
	if p, ok := args.(*call.Pending); ok {
		if _, err := p.Message(); err != nil {
			return err
		}
	}
	if b.takes > 0 {
		select {
		case <-time.After(b.takes):
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	for _, o := range opts {
		if o, ok := o.(grpc.HeaderCallOption); ok {
			*o.HeaderAddr = metadata.Join(b.header, metadata.Pairs("content-type", "application/grpc"))
		}
	}
	if b.err != nil {
		return b.err
	}
	reply.(*call.Message).Data = calltest.Bytes(fmt.Sprint("answer ", n))
	return nil
}

// house is a gateway with one RPC.
type house struct {
	*backend
	caches *cache.Caches
	store  *answers.Store
	reg    *prometheus.Registry
	method *call.Method
}

func newHouse(tb testing.TB, p *policyv1.Cache) *house {
	tb.Helper()
	h := &house{backend: &backend{}, reg: prometheus.NewRegistry()}
	var err error
	if h.store, err = answers.NewStore(64<<20, h.reg); err != nil {
		tb.Fatal(err)
	}
	if h.caches, err = cache.New(h.store, h.reg); err != nil {
		tb.Fatal(err)
	}
	h.build(tb, p)
	return h
}

// build makes a table anew.
func (h *house) build(tb testing.TB, p *policyv1.Cache) {
	tb.Helper()
	h.method = &call.Method{Name: method, Conn: interceptors.Chain(calltest.Conn{OnInvoke: h.invoke}, policytest.Build(tb, h.caches, rpc(method, p)))}
}

// rpc is a unary RPC without side effects.
func rpc(name string, p *policyv1.Cache) interceptors.Method {
	return interceptors.Method{Name: name, Policy: &policyv1.Policy{Cache: p}}
}

// client is who calls, and what with.
type client struct {
	who     *call.Caller
	request string
	md      []string
	timeout time.Duration
}

// got is what came back: a text, and the headers of backend and gateway.
type got struct {
	text          string
	header, added metadata.MD
	err           error
}

func (h *house) call(ctx context.Context, c client) got {
	known := &call.Call{Method: method}
	if c.who != nil {
		known.SetCaller(c.who)
	}
	ctx = metadata.NewOutgoingContext(call.With(ctx, known), metadata.Pairs(c.md...))
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	down := &calltest.ServerStream{Ctx: ctx, Requests: []string{c.request}}
	err := call.Forward(h.method, down)
	return got{strings.Join(down.Got, ","), down.Header, known.Header(), err}
}

func ttl(d time.Duration) *policyv1.Cache { return &policyv1.Cache{Ttl: durationpb.New(d)} }

func forAll(d time.Duration) *policyv1.Cache {
	return &policyv1.Cache{Ttl: durationpb.New(d), Vary: new(`""`)}
}

func TestAnswersAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, ttl(10*time.Second))
		h.header = metadata.Pairs("x-a", "1")
		first := h.call(t.Context(), client{request: "r"})
		if first.err != nil || first.text != "answer 1" {
			t.Fatalf("%+v", first)
		}
		if diff := cmp.Diff(metadata.Pairs("cache-control", "private, max-age=10"), first.added); diff != "" {
			t.Errorf("headers of the first (-want +got):\n%s", diff)
		}
		time.Sleep(3500 * time.Millisecond)
		for range 2 {
			next := h.call(t.Context(), client{request: "r"})
			if next.err != nil || next.text != "answer 1" || next.header.Get("x-a")[0] != "1" || len(next.header) != 1 {
				t.Errorf("%+v, want the first answer with its header", next)
			}
			if diff := cmp.Diff(metadata.Pairs("cache-control", "private, max-age=10", "age", "3"), next.added); diff != "" {
				t.Errorf("headers of the next (-want +got):\n%s", diff)
			}
		}
		h.build(t, ttl(10*time.Second)) // a new table
		if next := h.call(t.Context(), client{request: "r"}); next.text != "answer 1" {
			t.Errorf("after a rebuild %q, want what was kept", next.text)
		}
		if other := h.call(t.Context(), client{request: "s"}); other.text != "answer 2" {
			t.Errorf("another request: %q, want an answer of its own", other.text)
		}
		time.Sleep(6500 * time.Millisecond)
		if late := h.call(t.Context(), client{request: "r"}); late.text != "answer 3" {
			t.Errorf("after the ttl %q, want a new answer", late.text)
		}
		if diff := cmp.Diff(map[string]float64{"hit": 3, "miss": 3, "shared": 0, "bypass": 0}, h.results(t)); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	})
}

func TestWhoShares(t *testing.T) {
	ann, bob := &call.Caller{ID: "ann", Authenticator: "jwt", ByAuthorization: true}, &call.Caller{ID: "bob", Authenticator: "jwt", ByAuthorization: true}
	app, nameless := &call.Caller{ID: "app", Authenticator: "keys"}, &call.Caller{Authenticator: "jwt", ByAuthorization: true}
	tenant := map[string]any{"tenant": "t"}
	ann.Claims, bob.Claims = tenant, tenant
	byTenant := forAll(time.Minute)
	byTenant.Vary = new("caller.claims.tenant")
	auth := []string{"authorization", "Bearer x"}
	for _, tc := range []struct {
		name   string
		p      *policyv1.Cache
		a, b   client
		shared bool
		public bool
	}{
		{"one caller", ttl(time.Minute), client{who: ann}, client{who: ann}, true, false},
		{"two callers", ttl(time.Minute), client{who: ann}, client{who: bob}, false, false},
		{"one name, two authenticators", ttl(time.Minute), client{who: ann}, client{who: &call.Caller{ID: "ann", Authenticator: "keys"}}, false, false},
		{"parts that run together", ttl(time.Minute), client{who: &call.Caller{ID: "b", Authenticator: "a"}}, client{who: &call.Caller{ID: "", Authenticator: "ab"}}, false, false},
		{"nobody", ttl(time.Minute), client{}, client{}, true, false},
		{"nobody and a caller without a name", ttl(time.Minute), client{}, client{who: &call.Caller{}}, false, false},
		{"unseen credential", ttl(time.Minute), client{md: auth}, client{md: auth}, false, false},
		{"a user's credential beside an application's key", ttl(time.Minute), client{who: app, md: auth}, client{who: app, md: auth}, false, false},
		{"an application's key alone", ttl(time.Minute), client{who: app}, client{who: app}, true, false},
		{"tokens that name nobody", ttl(time.Minute), client{who: nameless, md: auth}, client{who: nameless, md: auth}, false, false},
		{"a token and a cookie", ttl(time.Minute), client{who: ann, md: append([]string{"cookie", "a=b"}, auth...)}, client{who: ann, md: auth}, true, false},
		{"seen credential", ttl(time.Minute), client{who: ann, md: auth}, client{who: ann, md: auth}, true, false},
		{"expression", byTenant, client{who: ann}, client{who: bob}, true, false},
		{"expression that fails", byTenant, client{}, client{}, false, false},
		{"all", forAll(time.Minute), client{who: ann, md: auth}, client{}, true, true},
		{"all, said otherwise", &policyv1.Cache{Ttl: durationpb.New(time.Minute), Vary: new("")}, client{who: ann}, client{who: bob}, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t, tc.p)
			first, second := h.call(t.Context(), tc.a), h.call(t.Context(), tc.b)
			if first.text != "answer 1" || (second.text == "answer 1") != tc.shared {
				t.Errorf("%q and %q, want them shared: %v", first.text, second.text, tc.shared)
			}
			if public := strings.HasPrefix(strings.Join(second.added["cache-control"], ""), "public"); public != tc.public {
				t.Errorf("cache-control %q, want it public: %v", second.added["cache-control"], tc.public)
			}
		})
	}
}

func TestWhatTheBackendSays(t *testing.T) {
	for _, tc := range []struct {
		header []string
		kept   time.Duration
		said   string // to the client
	}{
		{[]string{"cache-control", "public"}, time.Minute, "private, max-age=60"},
		{[]string{"cache-control", "max-age=5"}, 5 * time.Second, "private, max-age=5"},
		{[]string{"cache-control", "public, max-age=3600", "expires", "Fri, 02 Jan 2099 03:04:05 GMT"}, time.Minute, "private, max-age=60"},
		{[]string{"cache-control", "max-age=60", "age", "20"}, 40 * time.Second, "private, max-age=40"},
		{[]string{"cache-control", "public, max-age=0"}, 0, "private, max-age=0"},
		{[]string{"cache-control", "no-store"}, 0, "no-store"},
		{[]string{"cache-control", "no-cache, s-maxage=9"}, 0, "private, no-cache"},
		{[]string{"cache-control", "private, max-age=60"}, 0, "private, max-age=60"},
		{[]string{"cache-control", "public, max-age=60", "set-cookie", "a=b"}, 0, "private, max-age=60"},
		{[]string{"set-cookie", "a=b"}, 0, ""},
		{[]string{"vary", "*", "cache-control", "public, max-age=60"}, 0, "private, max-age=60"},
		{[]string{"expires", "Fri, 02 Jan 1970 03:04:05 GMT"}, 0, "private"},
		{[]string{"expires", "0"}, 0, "private"},
		{[]string{"expires", "Sat, 01 Jan 2000 00:00:09 GMT", "date", "Sat, 01 Jan 2000 00:00:00 GMT"}, 9 * time.Second, "private, max-age=9"},
	} {
		t.Run(strings.Join(tc.header, " "), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, ttl(time.Minute))
				h.header = metadata.Pairs(tc.header...)
				first := h.call(t.Context(), client{})
				if got := strings.Join(first.control(), "|"); got != tc.said {
					t.Errorf("the client hears %q, want %q", got, tc.said)
				}
				if tc.kept > 0 {
					if len(first.header["expires"])+len(first.header["age"]) > 0 {
						t.Errorf("the first has %v, which speaks of another lifetime", first.header)
					}
					time.Sleep(tc.kept - 1)
					if got := h.call(t.Context(), client{}); got.text != "answer 1" {
						t.Errorf("%q before %v, want the first answer", got.text, tc.kept)
					}
					time.Sleep(time.Nanosecond)
				}
				if got := h.call(t.Context(), client{}); got.text != "answer 2" {
					t.Errorf("%q after %v, want a new answer", got.text, tc.kept)
				}
			})
		})
	}
}

// control is what the client hears of caching.
func (g got) control() []string {
	return append(g.header["cache-control"], g.added["cache-control"]...)
}

// What a backend lets everybody share stays so only where the gateway shares it.
func TestCachesOnTheWay(t *testing.T) {
	const public = "public, s-maxage=100"
	for name, tc := range map[string]struct {
		p    *policyv1.Cache
		c    client
		want string
	}{
		"each caller has its own": {ttl(30 * time.Second), client{}, "private, max-age=30"},
		"everybody shares":        {forAll(30 * time.Second), client{}, "public, max-age=30"},
		"an unseen credential":    {ttl(30 * time.Second), client{md: []string{"authorization", "Bearer x"}}, "private"},
		"not to be kept":          {ttl(30 * time.Second), client{md: []string{"cache-control", "no-store"}}, "private"},
		"not to be kept, for all": {forAll(30 * time.Second), client{md: []string{"cache-control", "no-store"}}, public},
		"asked anew":              {ttl(30 * time.Second), client{md: []string{"cache-control", "no-cache"}}, "private, max-age=30"},
		"asked anew, and for all": {forAll(30 * time.Second), client{md: []string{"cache-control", "no-cache"}}, "public, max-age=30"},
	} {
		h := newHouse(t, tc.p)
		h.header = metadata.Pairs("cache-control", public)
		if got := strings.Join(h.call(t.Context(), tc.c).control(), "|"); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestWhatTheClientSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, ttl(time.Minute))
		for _, step := range []struct{ said, want string }{
			{"only-if-cached", ""},
			{"no-store", "answer 1"},
			{"", "answer 2"},
			{"only-if-cached", "answer 2"},
			{"no-store", "answer 3"},
			{"no-store, only-if-cached", ""},
			{"", "answer 2"},
			{"no-cache", "answer 4"},
			{"max-age=0", "answer 5"}, // a browser's reload
			{"", "answer 5"},
			{"max-age=10", "answer 5"},
			{"min-fresh=50", "answer 5"},
			{"min-fresh=59", "answer 6"},
			{"max-age=1", "answer 7"},
			{"max-age=1, only-if-cached", ""},
			{"max-stale=100", "answer 7"},
		} {
			time.Sleep(2 * time.Second)
			var md []string
			if step.said != "" {
				md = []string{"cache-control", step.said}
			}
			got := h.call(t.Context(), client{md: md})
			if got.text != step.want {
				t.Errorf("after %q: %q, want %q", step.said, got.text, step.want)
			}
			if step.want == "" && (status.Code(got.err) != codes.DeadlineExceeded || call.FaultOf(got.err) != call.Client) {
				t.Errorf("after %q: %v, want DEADLINE_EXCEEDED by the client's wish", step.said, got.err)
			}
		}
	})
}

// speaking is a client that wants a language.
func speaking(language string) client { return client{md: []string{"accept-language", language}} }

func TestAnswersThatVary(t *testing.T) {
	h := newHouse(t, forAll(time.Minute))
	h.header = metadata.Pairs("vary", "Origin", "vary", "Accept-Language, Origin")
	for i, step := range []struct {
		c    client
		want string
	}{
		{speaking("de"), "answer 1"},
		{speaking("en"), "answer 2"},
		{client{}, "answer 3"},
		{speaking("de"), "answer 1"},
		{speaking("en"), "answer 2"},
		{client{}, "answer 3"},
		{client{md: []string{"accept-language", "de", "x-other", "1"}}, "answer 1"},
		{client{md: []string{"accept-language", "de", "origin", "https://a"}}, "answer 4"},
		{client{md: []string{"accept-language", "de", "cache-control", "no-cache"}}, "answer 5"},
		{speaking("de"), "answer 5"},
		{speaking("en"), "answer 2"},
	} {
		got := h.call(t.Context(), step.c)
		if got.text != step.want || len(got.header["vary"]) != 2 {
			t.Errorf("call %d: %q with %v, want %q and the header", i, got.text, got.header, step.want)
		}
	}
}

// Each language is asked for once, also by those who come at the same time.
func TestWaitingForAnswersThatVary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, forAll(time.Minute))
		h.takes, h.header = time.Second, metadata.Pairs("vary", "accept-language")
		for range 2 {
			all := h.several(t, speaking("de"), speaking("en"), speaking("de"), speaking("en"), speaking("en"))
			if all[0].text != all[2].text || all[1].text != all[3].text || all[1].text != all[4].text || all[0].text == all[1].text {
				t.Errorf("%q, %q, %q, %q, %q: want one answer for each language", all[0].text, all[1].text, all[2].text, all[3].text, all[4].text)
			}
			time.Sleep(2 * time.Minute)
		}
		if h.asked.Load() != 4 {
			t.Errorf("the upstream was asked %d times, want twice for each language", h.asked.Load())
		}
	})
}

func TestErrorsAndStandInsAreNotKept(t *testing.T) {
	h := newHouse(t, ttl(time.Minute))
	h.err = status.Error(codes.NotFound, "no")
	if got := h.call(t.Context(), client{}); status.Code(got.err) != codes.NotFound || len(got.added) != 0 {
		t.Errorf("%+v, want NOT_FOUND without cache-control", got)
	}
	h.err = nil
	if got := h.call(t.Context(), client{}); got.text != "answer 2" {
		t.Errorf("%q, want a new answer", got.text)
	}
	i := policytest.Build(t, h.caches, rpc("/s/degraded", ttl(time.Minute)))
	h.method = &call.Method{Name: "/s/degraded", Conn: interceptors.Chain(calltest.Conn{OnInvoke: func(ctx context.Context, m string, args, reply any, opts ...grpc.CallOption) error {
		call.From(ctx).AddHeader(answers.Degraded, "fallback")
		return h.invoke(ctx, m, args, reply, opts...)
	}}, i)}
	if a, b := h.call(t.Context(), client{}), h.call(t.Context(), client{}); a.text == b.text {
		t.Errorf("%q twice: what a fallback gave was kept", a.text)
	}
}

func TestABadRequestIsRefusedBeforeAnythingElse(t *testing.T) {
	h := newHouse(t, ttl(time.Minute))
	down := &calltest.ServerStream{Ctx: call.With(t.Context(), &call.Call{}), RecvErr: status.Error(codes.InvalidArgument, "not JSON")}
	if err := call.Forward(h.method, down); status.Code(err) != codes.InvalidArgument || h.asked.Load() != 0 {
		t.Errorf("err = %v and %d calls, want INVALID_ARGUMENT and none", err, h.asked.Load())
	}
}

// several calls at once, and what they got, in their order.
func (h *house) several(t *testing.T, clients ...client) []got {
	t.Helper()
	all := make([]got, len(clients))
	var wait sync.WaitGroup
	for i, c := range clients {
		wait.Go(func() { all[i] = h.call(t.Context(), c) })
		synctest.Wait()
	}
	wait.Wait()
	return all
}

func TestOneCallForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, ttl(time.Minute))
		h.takes = time.Second
		ann := &call.Caller{ID: "ann"}
		all := h.several(t, client{}, client{}, client{who: ann}, client{}, client{timeout: time.Millisecond})
		for i, want := range []string{"answer 1", "answer 1", "answer 2", "answer 1", ""} {
			if all[i].text != want {
				t.Errorf("call %d got %+v, want %q", i, all[i], want)
			}
		}
		if status.Code(all[4].err) != codes.DeadlineExceeded && call.CodeOf(all[4].err) != codes.DeadlineExceeded {
			t.Errorf("whose deadline passed while it waited got %v", all[4].err)
		}
		if h.asked.Load() != 2 {
			t.Errorf("the upstream was asked %d times, want once for each caller", h.asked.Load())
		}
		if diff := cmp.Diff(map[string]float64{"hit": 0, "miss": 2, "shared": 2, "bypass": 0}, h.results(t)); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	})
}

func TestTheFirstOnesEndIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, ttl(time.Minute))
		h.takes = time.Second
		begin := time.Now()
		all := h.several(t, client{timeout: 300 * time.Millisecond}, client{}, client{}, client{})
		if call.CodeOf(all[0].err) != codes.DeadlineExceeded {
			t.Errorf("the first got %v, want its deadline", all[0].err)
		}
		for i := 1; i < 4; i++ {
			if all[i].text != "answer 2" {
				t.Errorf("call %d got %+v, want the second answer", i, all[i])
			}
		}
		if h.asked.Load() != 2 || time.Since(begin) != 1300*time.Millisecond {
			t.Errorf("asked %d times in %v, want twice in 1.3s", h.asked.Load(), time.Since(begin))
		}
	})
}

func TestWhenTheFirstFails(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    error
		header metadata.MD
		asked  int32
	}{
		{"the upstream is down: once for all", status.Error(codes.Unavailable, "down"), nil, 1},
		{"a caller's mistake: each", status.Error(codes.PermissionDenied, "not you"), nil, 4},
		{"an answer not to be shared: each", nil, metadata.Pairs("cache-control", "private"), 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, ttl(time.Minute))
				h.takes, h.err, h.header = time.Second, tc.err, tc.header
				for i, got := range h.several(t, client{}, client{}, client{}, client{}) {
					if status.Code(got.err) != status.Code(tc.err) {
						t.Errorf("call %d got %v, want %v", i, got.err, tc.err)
					}
				}
				if h.asked.Load() != tc.asked {
					t.Errorf("the upstream was asked %d times, want %d", h.asked.Load(), tc.asked)
				}
			})
		})
	}
}

func TestAPanicLeavesNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, ttl(time.Minute))
		i := policytest.Build(t, h.caches, rpc(method, ttl(time.Minute)))
		first := true
		h.method = &call.Method{Name: method, Conn: interceptors.Chain(calltest.Conn{OnInvoke: func(ctx context.Context, m string, args, reply any, opts ...grpc.CallOption) error {
			if first {
				first = false
				time.Sleep(time.Second)
				panic("boom")
			}
			return h.invoke(ctx, m, args, reply, opts...)
		}}, i)}
		all := h.several(t, client{}, client{})
		if call.CodeOf(all[0].err) != codes.Internal || all[1].text != "answer 1" {
			t.Errorf("%+v, want INTERNAL and an answer", all)
		}
	})
}

func TestCallsFromInside(t *testing.T) {
	h := newHouse(t, ttl(time.Minute))
	table := call.NewTable([]*call.Method{h.method}, nil)
	for range 2 {
		var reply call.Message
		if err := table.Invoke(t.Context(), method, &call.Message{Data: calltest.Bytes("r")}, &reply); err != nil {
			t.Fatal(err)
		}
		if text := string(reply.Data.Materialize()); text != "answer 1" {
			t.Errorf("%q, want the first answer", text)
		}
	}
	// Without a call nothing is known, and nothing kept.
	var reply call.Message
	if err := h.method.Conn.Invoke(t.Context(), method, &call.Message{}, &reply); err != nil || string(reply.Data.Materialize()) != "answer 2" {
		t.Errorf("%q and %v, want the upstream asked", reply.Data.Materialize(), err)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	h := newHouse(t, ttl(time.Minute))
	for _, tc := range []struct {
		streams, sideEffects bool
		p                    *policyv1.Cache
		want                 string
	}{
		{true, false, ttl(time.Minute), "is a stream"},
		{false, true, ttl(time.Minute), "side effects"},
		{false, false, &policyv1.Cache{}, "cache.ttl: want how long"},
		{false, false, &policyv1.Cache{Ttl: durationpb.New(time.Minute), Vary: new("caller.nome")}, "cache.vary: "},
	} {
		m := rpc(method, tc.p)
		m.ServerStreams, m.SideEffects = tc.streams, tc.sideEffects
		if _, err := policytest.TryBuild(h.caches, m); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("err = %v, want one with %q", err, tc.want)
		}
	}
	for _, p := range []*policyv1.Cache{nil, {Disabled: new(true), Ttl: durationpb.New(time.Minute)}} {
		m := rpc(method, p)
		m.ServerStreams, m.SideEffects = true, true
		if i, err := policytest.TryBuild(h.caches, m); err != nil || i.Unary != nil || i.Stream != nil {
			t.Errorf("%v: %v, want a policy that does nothing", p, err)
		}
	}
	if _, err := cache.New(h.store, h.reg); err == nil {
		t.Error("two sets of collectors in one registry: want an error")
	}
}

// TestManyAtOnce is for the race detector.
func TestManyAtOnce(t *testing.T) {
	h := newHouse(t, ttl(time.Nanosecond))
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 300 {
				c := client{request: fmt.Sprint(i % 3), who: &call.Caller{ID: fmt.Sprint(w % 2)}}
				if w == 0 {
					c.timeout = time.Microsecond
				}
				if got := h.call(t.Context(), c); got.err == nil && !strings.HasPrefix(got.text, "answer ") {
					t.Errorf("%+v", got)
				}
			}
		})
	}
	all.Wait()
}

// results are the counters by result.
func (h *house) results(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := h.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "result" {
					got[l.GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
	}
	return got
}

func BenchmarkHit(b *testing.B) {
	h := newHouse(b, ttl(time.Hour))
	b.ReportAllocs()
	for b.Loop() {
		ctx := call.With(b.Context(), &call.Call{})
		if err := call.Forward(h.method, &calltest.ServerStream{Ctx: ctx, Requests: []string{"r"}}); err != nil {
			b.Fatal(err)
		}
	}
}
