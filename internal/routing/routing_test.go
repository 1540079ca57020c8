package routing_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/routing"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

// chooser sends calls to "other" or to "own".
type chooser struct {
	*routing.Chooser

	went string
}

func newChooser(random func() float64, routes ...routing.Route) *chooser {
	c := new(chooser)
	to := func(name string) routing.Target {
		return routing.Target{Upstream: name, Conn: calltest.Conn{
			OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error {
				c.went = name
				return nil
			},
		}}
	}
	for i := range routes {
		name := routes[i].Upstream
		if name == "" {
			name = "other"
		}
		routes[i].Target = to(name)
		if routes[i].Match.Percent == nil {
			routes[i].Match.Percent = new(100.0)
		}
	}
	c.Chooser = routing.New(routes, to("own"), random)
	return c
}

// context is that of a call.
func contextOf(t testing.TB, c *call.Call, pairs ...string) context.Context {
	return metadata.NewOutgoingContext(call.With(t.Context(), c), metadata.Pairs(pairs...))
}

func never() float64 { return 1 }

func TestMatch(t *testing.T) {
	claims := map[string]any{
		"tenant": "acme", "beta": true, "level": 3.0, "roles": []any{"admin", "dev"}, "nothing": nil,
		"org": map[string]any{"name": "acme", "unit": map[string]any{"id": "7"}}, "https://a.b/c": "x", "https://a.b/realm": map[string]any{"tenant": "acme"},
		"a.b": map[string]any{"c": "long"}, "a": map[string]any{"b": map[string]any{"c": "short"}},
	}
	for _, tc := range []struct {
		name    string
		route   *configv1.Route
		host    string
		pairs   []string
		nobody  bool
		matches bool
	}{
		{name: "nothing is said", route: &configv1.Route{}, matches: true},
		{name: "host", route: &configv1.Route{Hosts: []string{"a.example", "b.example"}}, host: "b.example", matches: true},
		{name: "host in capitals", route: &configv1.Route{Hosts: []string{"B.example"}}, host: "b.EXAMPLE", matches: true},
		{name: "host with a port", route: &configv1.Route{Hosts: []string{"b.example"}}, host: "b.example:8080", matches: true},
		{name: "host with the root's dot", route: &configv1.Route{Hosts: []string{"b.example"}}, host: "b.example.:80", matches: true},
		{name: "host with more before it", route: &configv1.Route{Hosts: []string{"b.example"}}, host: "a.b.example"},
		{name: "end of a host", route: &configv1.Route{Hosts: []string{"*.b.example"}}, host: "x.a.B.example:1", matches: true},
		{name: "end of a host alone", route: &configv1.Route{Hosts: []string{"*.b.example"}}, host: "b.example"},
		{name: "end of a host, with the dot alone", route: &configv1.Route{Hosts: []string{"*.b.example"}}, host: ".b.example"},
		{name: "end of another host", route: &configv1.Route{Hosts: []string{"*.b.example"}}, host: "xb.example"},
		{name: "IPv6", route: &configv1.Route{Hosts: []string{"b.example"}}, host: "[::1]:80"},
		{name: "no host", route: &configv1.Route{Hosts: []string{"b.example"}}},
		{name: "header", route: &configv1.Route{Headers: map[string]string{"x-tenant": "a"}}, pairs: []string{"x-tenant", "a"}, matches: true},
		{name: "another value", route: &configv1.Route{Headers: map[string]string{"x-tenant": "a"}}, pairs: []string{"x-tenant", "A"}},
		{name: "any value", route: &configv1.Route{Headers: map[string]string{"x-tenant": "*"}}, pairs: []string{"x-tenant", "b"}, matches: true},
		{name: "no header", route: &configv1.Route{Headers: map[string]string{"x-tenant": "*"}}, pairs: []string{"x-other", "b"}},
		{name: "one of two headers", route: &configv1.Route{Headers: map[string]string{"x-a": "1", "x-b": "2"}}, pairs: []string{"x-a", "1"}},
		{name: "a header sent twice is one value", route: &configv1.Route{Headers: map[string]string{"x-a": "1"}}, pairs: []string{"x-a", "1", "x-a", "2"}},
		{name: "a header sent twice, joined", route: &configv1.Route{Headers: map[string]string{"x-a": "1, 2"}}, pairs: []string{"x-a", "1", "x-a", "2"}, matches: true},
		{name: "claim", route: &configv1.Route{Claims: map[string]string{"tenant": "acme"}}, matches: true},
		{name: "claim of another", route: &configv1.Route{Claims: map[string]string{"tenant": "other"}}},
		{name: "claim that is true", route: &configv1.Route{Claims: map[string]string{"beta": "true"}}, matches: true},
		{name: "claim that is a number", route: &configv1.Route{Claims: map[string]string{"level": "3"}}, matches: true},
		{name: "claim that is a list", route: &configv1.Route{Claims: map[string]string{"roles": "dev"}}, matches: true},
		{name: "claim that is a list without it", route: &configv1.Route{Claims: map[string]string{"roles": "ops"}}},
		{name: "claim in a claim", route: &configv1.Route{Claims: map[string]string{"org.unit.id": "7"}}, matches: true},
		{name: "claim whose name has dots", route: &configv1.Route{Claims: map[string]string{"https://a.b/c": "x"}}, matches: true},
		{name: "claim in one whose name has dots", route: &configv1.Route{Claims: map[string]string{"https://a.b/realm.tenant": "acme"}}, matches: true},
		{name: "the longest name counts", route: &configv1.Route{Claims: map[string]string{"a.b.c": "long"}}, matches: true},
		{name: "a shorter name does not", route: &configv1.Route{Claims: map[string]string{"a.b.c": "short"}}},
		{name: "any claim", route: &configv1.Route{Claims: map[string]string{"tenant": "*"}}, matches: true},
		{name: "any object", route: &configv1.Route{Claims: map[string]string{"org": "*"}}, matches: true},
		{name: "null is none", route: &configv1.Route{Claims: map[string]string{"nothing": "*"}}},
		{name: "no claim", route: &configv1.Route{Claims: map[string]string{"org.nothing": "*"}}},
		{name: "a claim in a text", route: &configv1.Route{Claims: map[string]string{"tenant.name": "*"}}},
		{name: "claim of nobody", route: &configv1.Route{Claims: map[string]string{"tenant": "*"}}, nobody: true},
		{name: "all at once", route: &configv1.Route{
			Hosts: []string{"a"}, Headers: map[string]string{"x": "1"}, Claims: map[string]string{"tenant": "acme"},
		}, host: "a", pairs: []string{"x", "1"}, matches: true},
		{name: "all but the host", route: &configv1.Route{
			Hosts: []string{"a"}, Headers: map[string]string{"x": "1"}, Claims: map[string]string{"tenant": "acme"},
		}, host: "b", pairs: []string{"x", "1"}},
		{name: "none of a hundred", route: &configv1.Route{Percent: new(0.0)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &call.Call{Upstream: "own", Host: tc.host}
			if !tc.nobody {
				c.SetCaller(&call.Caller{ID: "ada", Claims: claims})
			}
			choose := newChooser(never, routing.Route{Match: tc.route})
			if err := choose.Invoke(contextOf(t, c, tc.pairs...), "/s/m", nil, nil); err != nil {
				t.Fatal(err)
			}
			want := map[bool]string{true: "other", false: "own"}[tc.matches]
			if choose.went != want || c.ServedBy() != want {
				t.Errorf("went to %s, and the call knows %s; want %s", choose.went, c.ServedBy(), want)
			}
		})
	}
}

func TestTheFirstRouteThatMatchesIsTaken(t *testing.T) {
	choose := newChooser(never,
		routing.Route{Target: routing.Target{Upstream: "first"}, Match: &configv1.Route{Headers: map[string]string{"x": "1"}}},
		routing.Route{Target: routing.Target{Upstream: "second"}, Match: &configv1.Route{Headers: map[string]string{"x": "*"}}},
	)
	for value, want := range map[string]string{"1": "first", "2": "second"} {
		if err := choose.Invoke(contextOf(t, &call.Call{}, "x", value), "/s/m", nil, nil); err != nil || choose.went != want {
			t.Errorf("%s went to %s (%v), want %s", value, choose.went, err, want)
		}
	}
}

func TestAConditionThatCannotBeDecidedDoesNotMatch(t *testing.T) {
	refused := call.Refuse(call.Client, codes.InvalidArgument, "the request is bad")
	for _, tc := range []struct {
		name string
		ok   bool
		err  error
		want string
		told error
	}{
		{"true", true, nil, "other", nil},
		{"false", false, nil, "own", nil},
		{"cannot be decided", false, errors.New("no such key: tenant"), "own", nil},
		{"the request cannot be read", false, refused, "", refused},
	} {
		choose := newChooser(never, routing.Route{Match: &configv1.Route{}, When: func(context.Context) (bool, error) { return tc.ok, tc.err }})
		err := choose.Invoke(contextOf(t, &call.Call{}), "/s/m", nil, nil)
		if choose.went != tc.want || !errors.Is(err, tc.told) {
			t.Errorf("%s: went to %q with %v, want %q and %v", tc.name, choose.went, err, tc.want, tc.told)
		}
	}
}

// sticky routes percent of a hundred keys to an upstream.
func sticky(upstream string, percent float64, key *string) routing.Route {
	return routing.Route{
		Target: routing.Target{Upstream: upstream}, Match: &configv1.Route{Percent: &percent},
		StickyBy: func(context.Context) (string, error) { return *key, nil },
	}
}

const keys = 20_000

// taken tells which keys go elsewhere than to "own".
func taken(t *testing.T, choose *chooser, key *string) map[string]string {
	t.Helper()
	went := map[string]string{}
	for i := range keys {
		*key = fmt.Sprintf("suser-%d", i)
		if err := choose.Invoke(contextOf(t, &call.Call{}), "/s/m", nil, nil); err != nil {
			t.Fatal(err)
		}
		if choose.went != "own" {
			went[*key] = choose.went
		}
	}
	return went
}

// within tells whether n of all are percent of them, but for chance: five
// standard deviations of a binomial distribution.
func within(t *testing.T, what string, n, all int, percent float64) {
	t.Helper()
	p := percent / 100
	mean, dev := float64(all)*p, math.Sqrt(float64(all)*p*(1-p))
	if math.Abs(float64(n)-mean) > 5*dev {
		t.Errorf("%s: %d of %d, want %.0f give or take %.0f", what, n, all, mean, 5*dev)
	}
}

func TestStickyShares(t *testing.T) {
	var key string
	canary := func(percent float64) map[string]string {
		return taken(t, newChooser(never, sticky("canary", percent, &key)), &key)
	}
	five, ten := canary(5), canary(10)
	within(t, "5 %", len(five), keys, 5)
	within(t, "10 %", len(ten), keys, 10)
	for k := range five {
		if ten[k] == "" {
			t.Fatalf("%s was chosen at 5 %% and is not at 10 %%", k)
		}
	}
	again := canary(5) // another replica, or another RPC
	if len(again) != len(five) {
		t.Errorf("another chooser took %d, want the same %d", len(again), len(five))
	}
	for k := range again {
		if five[k] == "" {
			t.Fatalf("%s was chosen by one and not by the other", k)
		}
	}
	both := 0
	for k := range taken(t, newChooser(never, sticky("another", 10, &key)), &key) {
		if ten[k] != "" {
			both++
		}
	}
	within(t, "chosen for both canaries", both, keys, 1)
}

// A second route to one upstream has its share of what the first has left.
func TestSharesOfOneUpstreamAreIndependent(t *testing.T) {
	var key string
	first := len(taken(t, newChooser(never, sticky("canary", 50, &key)), &key))
	all := len(taken(t, newChooser(never, sticky("canary", 50, &key), sticky("canary", 20, &key)), &key))
	within(t, "20 % of the rest", all-first, keys-first, 20)
}

// What is chosen must never change: clients would change sides with a new
// version of the gateway.
func TestStickyChoicesStay(t *testing.T) {
	var key string
	chosen := ""
	choose := newChooser(never, sticky("canary", 20, &key))
	for _, key = range []string{"sada", "sbob", "scy", "sdee", "seve", "sfay", "sgus", "shal", "sian", "sjoe"} {
		_ = choose.Invoke(contextOf(t, &call.Call{}), "/s/m", nil, nil)
		if choose.went == "canary" {
			chosen += " " + key[1:]
		}
	}
	if want := " eve ian"; chosen != want {
		t.Errorf("chosen are%s, want%s", chosen, want)
	}
}

func TestWithoutAKeyEachCallIsChosenByItself(t *testing.T) {
	for name, key := range map[string]func(context.Context) (string, error){
		"none": nil, "an empty one": func(context.Context) (string, error) { return "s", nil },
		"one that cannot be had": func(context.Context) (string, error) { return "", errors.New("no such key") },
	} {
		next := 0.0
		choose := newChooser(func() float64 { return next }, routing.Route{Match: &configv1.Route{Percent: new(5.0)}, StickyBy: key})
		for random, want := range map[float64]string{0: "other", 0.0499: "other", 0.05: "own", 0.99: "own"} {
			next = random
			if err := choose.Invoke(contextOf(t, &call.Call{}), "/s/m", nil, nil); err != nil || choose.went != want {
				t.Errorf("%s, at %v: went to %s (%v), want %s", name, random, choose.went, err, want)
			}
		}
	}
}

func TestStreamsAreRoutedToo(t *testing.T) {
	opened := ""
	to := func(name string) routing.Target {
		return routing.Target{Upstream: name, Conn: calltest.Conn{OnStream: func(context.Context, *grpc.StreamDesc, string) (grpc.ClientStream, error) {
			opened = name
			return nil, nil
		}}}
	}
	c := &call.Call{Upstream: "own", Host: "a"}
	choose := routing.New([]routing.Route{{Target: to("other"), Match: &configv1.Route{Hosts: []string{"a"}, Percent: new(100.0)}}}, to("own"), never)
	if _, err := choose.NewStream(contextOf(t, c), &grpc.StreamDesc{}, "/s/m"); err != nil || opened != "other" || c.ServedBy() != "other" {
		t.Errorf("opened at %q, and the call knows %q (%v)", opened, c.ServedBy(), err)
	}
}

// Choosing is paid by every call.
func TestChoosingAllocatesNothing(t *testing.T) {
	key := "suser-7"
	stickyRoute := sticky("canary", 1, &key)
	stickyRoute.Match.Hosts = []string{"shop.example"}
	for _, tc := range []struct {
		name  string
		route routing.Route
		most  float64
	}{
		{"host and percentage", stickyRoute, 0},
		{"host that is another", routing.Route{Match: &configv1.Route{Hosts: []string{"*.other.example"}}}, 0},
		{"claim", routing.Route{Match: &configv1.Route{Claims: map[string]string{"org.name": "acme"}}}, 0},
		{"header that is not there", routing.Route{Match: &configv1.Route{Headers: map[string]string{"x-beta": "1"}}}, 0},
		{"header", routing.Route{Match: &configv1.Route{Headers: map[string]string{"x-tenant": "a"}}}, 1}, // grpc-go copies the value
	} {
		choose := newChooser(never, tc.route)
		c := &call.Call{Host: "shop.example:443"}
		c.SetCaller(&call.Caller{Claims: map[string]any{"org": map[string]any{"name": "acme"}}})
		ctx := contextOf(t, c, "x-tenant", "a")
		if n := testing.AllocsPerRun(200, func() { _ = choose.Invoke(ctx, "/s/m", nil, nil) }); n > tc.most {
			t.Errorf("%s: %v allocations a call, want at most %v", tc.name, n, tc.most)
		}
	}
}
