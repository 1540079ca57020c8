package live_test

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/internal/routing"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// routeLink is the name by which a recorder knows the choice among upstreams.
const routeLink = "routing"

// linkNames are the names of links that are not those of a policy's folder, by
// what docs/REQUEST.md calls them.
var linkNames = map[string]string{
	"`stampVersion`":   "version",
	"`Chooser.Invoke`": routeLink,
	"`toReplica`":      "balancing",
	"custom":           "custom",
}

// documentedLinks are the links of the chain as step 5 of docs/REQUEST.md has them.
func documentedLinks(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/REQUEST.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "\n5. **The policies** ")
	text, _, found := strings.Cut(text, "\n6. ")
	if !found {
		t.Fatal("docs/REQUEST.md has no step of the policies")
	}
	var names []string
	for _, m := range regexp.MustCompile(`\[([^]]+)\]\(\.\./(interceptors/(\w+)/)?[^)]*\)`).FindAllStringSubmatch(text, -1) {
		if name := m[3] + linkNames[m[1]]; name != "" {
			names = append(names, name)
		}
	}
	return slices.Compact(names) // a policy's function, named after the policy
}

// TestRequestDocHasEveryPolicy checks that the list leaves out no policy.
func TestRequestDocHasEveryPolicy(t *testing.T) {
	entries, err := os.ReadDir("../../interceptors")
	if err != nil {
		t.Fatal(err)
	}
	names := documentedLinks(t)
	for _, entry := range entries {
		if entry.IsDir() && !slices.Contains(names, entry.Name()) {
			t.Errorf("docs/REQUEST.md has no %s among the policies", entry.Name())
		}
	}
}

// recorder notes each link that a call enters.
type recorder struct {
	mu      sync.Mutex
	entered []string
}

func (r *recorder) enter(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entered = append(r.entered, name)
}

// link is interceptors.Chain with a note before each link.
func (r *recorder) link(conn grpc.ClientConnInterface, list ...interceptors.Interceptor) grpc.ClientConnInterface {
	if _, ok := conn.(*routing.Chooser); ok {
		conn = interceptors.Chain(conn, r.note(routeLink))
	}
	var noted []interceptors.Interceptor
	for _, i := range list {
		noted = append(noted, r.note(i.Name), i)
	}
	return interceptors.Chain(conn, noted...)
}

func (r *recorder) note(name string) interceptors.Interceptor {
	return interceptors.Around(name, func(ctx context.Context, _ string) (context.Context, func(error), error) {
		r.enter(name)
		return ctx, nil, nil
	})
}

// everyPolicy gives an RPC all policies that there are.
func everyPolicy(c *configv1.Config) {
	c.Log = &configv1.Log{Access: new(true)}
	c.Shedding = &configv1.Shedding{Enabled: true}
	for _, u := range c.GetUpstreams() {
		u.Balancing = &configv1.Balancing{Kind: configv1.Balancing_KIND_RING_HASH, Key: "caller.id"}
	}
	c.Expose[0].Metadata = &configv1.Rewrite{
		Request:  &configv1.Changes{Set: map[string]string{"x-to": "backend"}},
		Response: &configv1.Changes{Set: map[string]string{"x-from": "gateway"}},
	}
	c.Expose[0].Policy = &policyv1.Policy{
		Ip:        &policyv1.Ip{Deny: []string{"192.0.2.0/24"}},
		Auth:      &policyv1.Auth{Accept: []string{"keys"}},
		RateLimit: []*policyv1.RateLimit{{Requests: proto.Uint32(1000)}},
		Timeout:   durationpb.New(gatewaytest.Patience),
		Concurrency: []*policyv1.Concurrency{
			{Limit: proto.Uint32(100)},
			{Limit: proto.Uint32(100), Scope: new(policyv1.Concurrency_SCOPE_UPSTREAM)},
		},
		Cache:       &policyv1.Cache{Ttl: durationpb.New(time.Hour)},
		Fallback:    fixedAnswer(`{"name": "shelves/none"}`),
		Idempotency: &policyv1.Idempotency{},
		Retry:       &policyv1.Retry{},
		Breaker:     &policyv1.Breaker{},
	}
}

// TestRequestDocHasTheOrderOfTheLinks makes a call with every policy at each
// door, and compares the links that it entered with docs/REQUEST.md.
func TestRequestDocHasTheOrderOfTheLinks(t *testing.T) {
	want, keys := documentedLinks(t), keysOf(t, "ada")
	for _, d := range doors() {
		t.Run(d.name, func(t *testing.T) {
			shop, canary := new(shopBackend), &shopBackend{name: "canary"}
			second := canary.start(t)
			file, err := config.New(gatewaytest.Config(shop.start(t), keys, only(getShelf), deprecated, func(c *configv1.Config) {
				c.Versions[0].List = c.GetVersions()[0].GetList()[:1]
				c.Versions[0].List[0].Select = []string{"shop.catalog.v1.*"}
				c.Upstreams = append(c.Upstreams, upstreamAt("canary", second), upstreamAt("copies", second))
			}, routes(beta()), mirrored(func(m *configv1.Mirror) { m.Upstream = "copies" }), everyPolicy))
			if err != nil {
				t.Fatal(err)
			}
			seen := new(recorder)
			custom := interceptors.Around("custom", func(ctx context.Context, _ string) (context.Context, func(error), error) { return ctx, nil, nil })
			g := gatewaytest.StartOptions(t, live.Options{Config: file, Custom: []interceptors.Interceptor{custom}}.Watching(seen.link))
			s := &stage{caller: d.open(t, g), backend: canary, rpc: getShelf}
			wantServed(t, s.want(t, codes.OK, "x-api-key", "key-of-ada", "x-beta", "1", "idempotency-key", `"one"`), "canary")
			seen.mu.Lock()
			defer seen.mu.Unlock()
			if got := slices.Compact(seen.entered); !slices.Equal(got, want) {
				t.Errorf("the links of a call are\n\t%s\nand docs/REQUEST.md has them as\n\t%s", strings.Join(got, " "), strings.Join(want, " "))
			}
		})
	}
}
