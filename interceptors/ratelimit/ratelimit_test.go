package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/ratelimit"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const method = "/shop.catalog.v1.Catalog/GetProduct"

// limits makes limits, or fails.
func limits(t *testing.T, o ratelimit.Options) *ratelimit.Limits {
	t.Helper()
	l, err := ratelimit.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// build builds the policy of an RPC with limits, which are completed.
func build(l *ratelimit.Limits, list []*policyv1.RateLimit) (interceptors.Interceptor, error) {
	return policytest.TryBuild(l, interceptors.Method{Name: method, Policy: &policyv1.Policy{RateLimit: list}})
}

// chain is an RPC behind its limits.
func chain(t *testing.T, l *ratelimit.Limits, list ...*policyv1.RateLimit) grpc.ClientConnInterface {
	t.Helper()
	i, err := build(l, list)
	if err != nil {
		t.Fatal(err)
	}
	return interceptors.Chain(calltest.Conn{}, i)
}

// per is so many requests in a time.
func per(requests uint32, d time.Duration) *policyv1.RateLimit {
	return &policyv1.RateLimit{Requests: new(requests), Per: durationpb.New(d)}
}

// with changes a limit.
func with(p *policyv1.RateLimit, change func(*policyv1.RateLimit)) *policyv1.RateLimit {
	change(p)
	return p
}

// keyed is p where all who have the key k share the limit.
func keyed(k string, p *policyv1.RateLimit) *policyv1.RateLimit {
	return with(p, func(p *policyv1.RateLimit) { p.Key = new(strconv.Quote(k)) })
}

// invoke makes a call of its own and returns it.
func invoke(conn grpc.ClientConnInterface, protocol call.Protocol, peer string) (*call.Call, error) {
	c := &call.Call{Protocol: protocol, Peer: peer}
	return c, conn.Invoke(call.With(context.Background(), c), method, nil, nil)
}

// burst counts how many of n calls pass.
func burst(conn grpc.ClientConnInterface, peer string, n int) (passed int) {
	for range n {
		if _, err := invoke(conn, call.GRPC, peer); err == nil {
			passed++
		}
	}
	return passed
}

func TestDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := chain(t, limits(t, ratelimit.Options{}), &policyv1.RateLimit{Requests: new(uint32(5))})
		c, err := invoke(conn, call.REST, "192.0.2.1:1234")
		if err != nil {
			t.Fatal(err)
		}
		h := c.Header()
		if got := h.Get("ratelimit-policy"); len(got) != 1 || got[0] != `"shop.catalog.v1.Catalog.GetProduct";q=5;w=1` {
			t.Errorf("ratelimit-policy %q: want the RPC's name, 5 and 1s", got)
		}
		if got := h.Get("ratelimit"); len(got) != 1 || got[0] != `"shop.catalog.v1.Catalog.GetProduct";r=4;t=1` {
			t.Errorf("ratelimit %q: want 4 left", got)
		}
		if got := burst(conn, "192.0.2.1:9", 10); got != 4 {
			t.Errorf("%d passed, want the 4 left of the burst", got)
		}
		time.Sleep(200 * time.Millisecond)
		if got := burst(conn, "192.0.2.1:9", 10); got != 1 {
			t.Errorf("%d passed after a fifth of the second, want 1", got)
		}
	})
}

func TestThePolicyTellsTheRate(t *testing.T) {
	for _, tc := range []struct {
		requests uint32
		per      time.Duration
		burst    uint32
		want     string
	}{
		{100, time.Second, 100, "q=100;w=1"},
		{100, time.Second, 10, "q=100;w=1;gatehouse-burst=10"},
		{100, time.Second, 200, "q=100;w=1;gatehouse-burst=200"},
		{5000, time.Hour, 5000, "q=5000;w=3600"},
		{3, 500 * time.Millisecond, 6, "q=6;w=1"},
		{1, 1500 * time.Millisecond, 1, "q=2;w=3;gatehouse-burst=1"},
		{7, 2300 * time.Millisecond, 7, "q=70;w=23;gatehouse-burst=7"},
		{1000, 7 * time.Millisecond, 1, "q=1000000;w=7;gatehouse-burst=1"},
		{10, 1234567891 * time.Nanosecond, 10, "q=486;w=60;gatehouse-burst=10"}, // rounded down
	} {
		conn := chain(t, limits(t, ratelimit.Options{}), with(per(tc.requests, tc.per), func(p *policyv1.RateLimit) { p.Name, p.Burst = new("l"), new(tc.burst) }))
		c, err := invoke(conn, call.REST, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(c.Header().Get("ratelimit-policy"), "|"); got != `"l";`+tc.want {
			t.Errorf("%d in %v, burst %d: %s, want %s", tc.requests, tc.per, tc.burst, got, tc.want)
		}
	}
}

func TestDefaultKeyIsTheClientsNetwork(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1:1", "192.0.2.1:2", true},
		{"192.0.2.1:1", "192.0.2.2:1", false},
		{"192.0.2.1:1", "[::ffff:192.0.2.1]:1", true},
		{"[2001:db8:0:1::1]:1", "[2001:db8:0:1:ffff::2]:1", true},
		{"[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1", false},
		{"192.0.2.1", "192.0.2.1:7", true},
		{"@", "", true}, // unix sockets
		{"", "192.0.2.1:1", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			conn := chain(t, limits(t, ratelimit.Options{}), per(1, time.Second))
			if got := burst(conn, tc.a, 2); got != 1 {
				t.Errorf("%q: %d passed, want 1", tc.a, got)
			}
			if got := burst(conn, tc.b, 1) == 0; got != tc.same {
				t.Errorf("%q and %q share a limit: %v, want %v", tc.a, tc.b, got, tc.same)
			}
		})
	}
}

func TestWithoutACall(t *testing.T) {
	conn := chain(t, limits(t, ratelimit.Options{}), per(1, time.Hour))
	if err := conn.Invoke(t.Context(), method, nil, nil); err != nil {
		t.Error(err)
	}
	if err := conn.Invoke(t.Context(), method, nil, nil); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("err = %v, want RESOURCE_EXHAUSTED", err)
	}
}

func TestStreamsCountOnce(t *testing.T) {
	conn := chain(t, limits(t, ratelimit.Options{}), per(1, time.Hour))
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	s, err := conn.NewStream(t.Context(), desc, method)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.SendMsg(&call.Message{}); err != nil {
			t.Error(err)
		}
	}
	if _, err := conn.NewStream(t.Context(), desc, method); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("err = %v, want RESOURCE_EXHAUSTED", err)
	}
}

func TestRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := chain(t, limits(t, ratelimit.Options{}), keyed("tenant-7", with(per(1, 3*time.Second), func(p *policyv1.RateLimit) {
			p.Name, p.Burst = new("writes"), new(uint32(2))
		})))
		burst(conn, "", 2)
		time.Sleep(500*time.Millisecond + time.Nanosecond)
		for _, protocol := range []call.Protocol{call.REST, call.GRPC, call.InProcess} {
			c, err := invoke(conn, protocol, "")
			if status.Code(err) != codes.ResourceExhausted || call.FaultOf(err) != call.Client || call.PolicyOf(err) != "ratelimit" {
				t.Fatalf("%v: err = %v by %q, fault %v", protocol, err, call.PolicyOf(err), call.FaultOf(err))
			}
			if want := `limit "writes" is used up: try again in 2.5s`; status.Convert(err).Message() != want {
				t.Errorf("%v: message %q, want %q", protocol, status.Convert(err).Message(), want)
			}
			if strings.Contains(fmt.Sprint(err, status.Convert(err).Details(), c.Header()), "tenant-7") {
				t.Errorf("%v: the key is told to the client", protocol)
			}
			var retry *errdetails.RetryInfo
			var quota *errdetails.QuotaFailure
			for _, d := range status.Convert(err).Details() {
				switch d := d.(type) {
				case *errdetails.RetryInfo:
					retry = d
				case *errdetails.QuotaFailure:
					quota = d
				}
			}
			if retry.GetRetryDelay().AsDuration() != 2500*time.Millisecond {
				t.Errorf("%v: retry %v, want 2.5s", protocol, retry)
			}
			if v := quota.GetViolations(); len(v) != 1 || v[0].GetSubject() != "writes" || v[0].GetDescription() != "at most 2 at once, and one more every 3s" {
				t.Errorf("%v: quota %v", protocol, quota)
			}
			if got := strings.Join(c.Header().Get("ratelimit"), "|"); got != `"writes";r=0;t=6` {
				t.Errorf("%v: ratelimit %q", protocol, got)
			}
			if got := strings.Join(c.Header().Get("ratelimit-policy"), "|"); got != `"writes";q=1;w=3;gatehouse-burst=2` {
				t.Errorf("%v: ratelimit-policy %q", protocol, got)
			}
			want := ""
			if protocol == call.GRPC {
				want = "2500"
			}
			if got := strings.Join(c.Header().Get("grpc-retry-pushback-ms"), "|"); got != want {
				t.Errorf("%v: pushback %q, want %q", protocol, got, want)
			}
		}
		time.Sleep(2500 * time.Millisecond) // what the refusal said
		if _, err := invoke(conn, call.GRPC, ""); err != nil {
			t.Errorf("refused after the time that was told: %v", err)
		}
	})
}

func TestACallPassesAllLimitsOrTakesFromNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := chain(t, limits(t, ratelimit.Options{}),
			with(per(3, time.Hour), func(p *policyv1.RateLimit) { p.Name = new("mine") }),
			keyed("", with(per(5, 2*time.Hour), func(p *policyv1.RateLimit) { p.Name = new("all") })))
		if got := burst(conn, "192.0.2.1:1", 10); got != 3 {
			t.Errorf("first client: %d passed, want 3", got)
		}
		c, err := invoke(conn, call.REST, "192.0.2.1:1")
		if got := strings.Join(c.Header().Get("ratelimit"), "|"); err == nil || got != `"mine";r=0;t=3600, "all";r=2;t=4320` {
			t.Errorf("ratelimit %q, %v: what was refused took from the other limit", got, err)
		}
		if got := burst(conn, "192.0.2.2:1", 10); got != 2 {
			t.Errorf("second client: %d passed, want the 2 left for all", got)
		}
		if _, err := invoke(conn, call.REST, "192.0.2.1:1"); !strings.Contains(err.Error(), `"all"`) && !strings.Contains(err.Error(), `"mine"`) {
			t.Errorf("err = %v, want one that names the limit", err)
		}
	})
}

func TestCostAndZeroCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limits(t, ratelimit.Options{})
		costing := func(cost uint32) *policyv1.RateLimit {
			return with(per(10, time.Hour), func(p *policyv1.RateLimit) {
				p.Cost, p.Name = new(cost), new("shared")
			})
		}
		dear, cheap, free := chain(t, l, costing(4)), chain(t, l, costing(1)), chain(t, l, costing(0))
		if got := burst(dear, "", 5); got != 2 {
			t.Errorf("cost 4: %d passed, want 2 of 10", got)
		}
		if got := burst(cheap, "", 5); got != 2 {
			t.Errorf("cost 1: %d passed, want the 2 left: a name is one limit for all RPCs", got)
		}
		c, err := invoke(free, call.REST, "")
		if err != nil || len(c.Header()) != 0 {
			t.Errorf("cost 0: %v with headers %v, want neither", err, c.Header())
		}
	})
}

func TestUnlimited(t *testing.T) {
	l := limits(t, ratelimit.Options{})
	for name, list := range map[string][]*policyv1.RateLimit{
		"none":      nil,
		"unlimited": {per(1, time.Hour), &policyv1.RateLimit{Unlimited: new(true)}},
	} {
		i, err := build(l, list)
		if err != nil || i.Unary != nil || i.Stream != nil {
			t.Errorf("%s: %+v, %v; want a policy that lets all through", name, i, err)
		}
	}
}

func TestStateOutlivesTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limits(t, ratelimit.Options{})
		if got := burst(chain(t, l, per(10, time.Hour)), "", 20); got != 10 {
			t.Fatalf("%d passed, want 10", got)
		}
		if got := burst(chain(t, l, per(10, time.Hour)), "", 20); got != 0 {
			t.Errorf("same settings: %d passed, want 0", got)
		}
		quick := chain(t, l, per(10, time.Second))
		if got := burst(quick, "", 20); got != 0 {
			t.Errorf("a bucket that fills sooner: %d passed at once, want 0", got)
		}
		time.Sleep(time.Second)
		if got := burst(quick, "", 20); got != 10 {
			t.Errorf("a bucket that fills sooner: %d passed after its second, want 10: the hour is forgotten", got)
		}
	})
}

func TestKeysThatCannotBeTold(t *testing.T) {
	unreadable := call.Refuse(call.Client, codes.InvalidArgument, "the body is not JSON")
	for name, tc := range map[string]struct {
		key   string
		read  error // what comes of reading the request
		code  codes.Code
		text  string
		fault call.Fault
		cause string
	}{
		"expression": {`headers["x-secret"]`, nil, codes.InvalidArgument, `the call lacks what limit "shop.catalog.v1.Catalog.GetProduct" counts by`, call.Client, "no such key: x-secret"},
		"request":    {"request.service", unreadable, codes.InvalidArgument, "the body is not JSON", call.Client, ""},
		"status":     {"request.service", status.Error(codes.Unavailable, "gone"), codes.Unavailable, "gone", call.Upstream, ""},
	} {
		t.Run(name, func(t *testing.T) {
			check := healthpb.File_grpc_health_v1_health_proto.Services().ByName("Health").Methods().ByName("Check")
			limit := with(per(1, time.Hour), func(p *policyv1.RateLimit) { p.Key = new(tc.key) })
			i := policytest.Build(t, limits(t, ratelimit.Options{}), interceptors.Method{Name: method, Desc: check, Policy: &policyv1.Policy{RateLimit: []*policyv1.RateLimit{limit}}})
			m := &call.Method{Name: method, Conn: interceptors.Chain(calltest.Conn{}, i)}
			err := call.Forward(m, &calltest.ServerStream{Ctx: call.With(t.Context(), &call.Call{Protocol: call.REST}), RecvErr: tc.read})
			if status.Code(err) != tc.code || status.Convert(err).Message() != tc.text || call.FaultOf(err) != tc.fault {
				t.Errorf("err = %v (%v), want %v %q (%v)", err, call.FaultOf(err), tc.code, tc.text, tc.fault)
			}
			if tc.read != nil && !errors.Is(err, tc.read) {
				t.Errorf("the cause is lost for the log: %v", err)
			}
			if tc.cause != "" && !strings.Contains(fmt.Sprint(errors.Unwrap(err)), tc.cause) {
				t.Errorf("the cause is lost for the log: %v", errors.Unwrap(err))
			}
		})
	}
}

func TestNamesAndKeysAreNotJoined(t *testing.T) {
	named := func(name, k string) *policyv1.RateLimit {
		return keyed(k, with(per(1, time.Hour), func(p *policyv1.RateLimit) { p.Name = new(name) }))
	}
	l := limits(t, ratelimit.Options{})
	long := strings.Repeat("k", 1000)
	for _, limit := range []*policyv1.RateLimit{
		named("a", "bc"), named("ab", "c"), named("abc", ""), named("a", "bc\x00"), named("a", long), named("a", long+"k"), named("b", long),
	} {
		conn := chain(t, l, limit)
		if got := burst(conn, "", 2); got != 1 {
			t.Errorf("%v: %d passed, want 1: a bucket of its own", limit, got)
		}
	}
}

func TestWrongSettings(t *testing.T) {
	l := limits(t, ratelimit.Options{})
	for want, list := range map[string][]*policyv1.RateLimit{
		"rate_limit[0].requests: ":               {{}},
		"rate_limit[1].requests: ":               {per(1, time.Second), {Per: durationpb.New(time.Second)}},
		"rate_limit[0].requests: 2000000 in 1ms": {per(2_000_000, time.Millisecond)},
		"rate_limit[0].per: ":                    {per(1, 0)},
		"rate_limit[0].burst: must":              {with(per(1, time.Second), func(p *policyv1.RateLimit) { p.Burst = new(uint32(0)) })},
		"rate_limit[0].burst: 3: want at least":  {with(per(3, time.Second), func(p *policyv1.RateLimit) { p.Cost = new(uint32(4)) })},
		"rate_limit[0].burst: 4294967295":        {with(per(1, 720*time.Hour), func(p *policyv1.RateLimit) { p.Burst = new(uint32(1<<32 - 1)) })},
		"rate_limit[0].store: ":                  {with(per(1, time.Second), func(p *policyv1.RateLimit) { p.Store = policyv1.Store_STORE_REDIS.Enum() })},
		"rate_limit[0].name: ":                   {with(per(1, time.Second), func(p *policyv1.RateLimit) { p.Name = new(`a"b`) })},
		`rate_limit[1].name: "x" is the name of`: {with(per(1, time.Second), func(p *policyv1.RateLimit) { p.Name = new("x") }), with(per(1, time.Second), func(p *policyv1.RateLimit) { p.Name = new("x") })},
		"rate_limit: ":                           {per(1, 1e9), per(1, 1e9), per(1, 1e9), per(1, 1e9), per(1, 1e9), per(1, 1e9), per(1, 1e9), per(1, 1e9), per(1, 1e9)},
	} {
		if _, err := build(l, list); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("err = %v, want %q...", err, want)
		}
	}
	if _, err := ratelimit.New(ratelimit.Options{MaxKeys: -1}); err == nil {
		t.Error("MaxKeys -1: want an error")
	}
	reg := prometheus.NewRegistry()
	limits(t, ratelimit.Options{Registerer: reg})
	if _, err := ratelimit.New(ratelimit.Options{Registerer: reg}); err == nil {
		t.Error("two in one registry: want an error")
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	conn := chain(t, limits(t, ratelimit.Options{Registerer: reg}),
		with(per(2, time.Hour), func(p *policyv1.RateLimit) { p.Name = new("x") }))
	burst(conn, "", 5)
	for series, want := range map[string]float64{
		"gatehouse_ratelimit_calls_total{x,allowed}": 2, "gatehouse_ratelimit_calls_total{x,refused}": 3,
		"gatehouse_ratelimit_keys{}": 1, "gatehouse_ratelimit_evicted_total{}": 0, "gatehouse_ratelimit_without_redis_total{}": 0,
	} {
		if got := values(t, reg); got[series] != want {
			t.Errorf("%s = %v, want %v", series, got[series], want)
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
