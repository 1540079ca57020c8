package aggregate_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestKeptAnswers: an answer that is kept passes no step's policy, so a step must
// not refuse anybody whom the whole lets pass.
func TestKeptAnswers(t *testing.T) {
	t.Parallel()
	keys := filepath.Join(t.TempDir(), "keys.yaml")
	if err := os.WriteFile(keys, fmt.Appendf(nil, "- {id: ann, sha256: %x}\n", sha256.Sum256([]byte("k"))), 0o600); err != nil {
		t.Fatal(err)
	}
	const public, known, scoped = "{public: true}", "{accept: [keys]}", "{accept: [keys], scopes: [prices]}"
	for _, test := range []struct {
		name, whole, kept, step, more string
		refused                       bool
	}{
		{"cache", public, "cache: {ttl: 1h}", scoped, "", true},
		{"last good", public, "fallback: {last_good: 1h}", scoped, "", true},
		{"idempotency", public, "idempotency: {}", scoped, "", true},
		{"fewer scopes", known, "cache: {ttl: 1h}", scoped, "", true},
		{"addresses", public, "cache: {ttl: 1h}", public, ", ip: {allow: [10.0.0.0/8]}", true},
		{"a condition", known, "cache: {ttl: 1h}", `{accept: [keys], allow: "request.name != ''"}`, "", true},
		{"the same", scoped, "cache: {ttl: 1h}", scoped, "", false},
		{"a step for all", known, "cache: {ttl: 1h}", public, "", false},
		{"nothing is kept", public, "timeout: 1s", scoped, "", false},
		{"a fixed answer", public, `fallback: {response: "{}"}`, scoped, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := built(t, fmt.Sprintf(`
authenticators: [{name: keys, api_keys: {file: %q}}]
upstreams:
  - {name: shop, target: "dns:///localhost:9000", schema: {linked: true}}
  - {name: pages, composed: true, schema: {linked: true}}
expose:
  - {select: "shop.pages.v1.*", upstream: pages, policy: {auth: %s, %s}}
  - {select: "shop.pricing.v1.PricingService.GetPrice", upstream: shop, policy: {auth: %s%s}}
compose: [{rpc: shop.pages.v1.PagesService.GetProductPage, steps: [{name: price, call: %s, into: price}]}]
`, keys, test.whole, test.kept, test.step, test.more, getPrice))
			if !test.refused && err != nil {
				t.Error(err)
			}
			if want := "compose[0]: its answers are kept (cache, fallback.last_good or idempotency), and " + getPrice; test.refused && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// TestWrongBinding: what is wrong with a composed RPC is told, at a reload too.
func TestWrongBinding(t *testing.T) {
	t.Parallel()
	err := built(t, `
upstreams:
  - {name: shop, target: "dns:///localhost:9000", schema: {linked: true}}
  - {name: pages, composed: true, schema: {linked: true}, strip_prefix: /nope}
expose:
  - {select: "shop.pages.v1.*", upstream: pages, policy: {auth: {public: true}}}
  - {select: "shop.*", upstream: shop, policy: {auth: {public: true}}}
`)
	if err == nil || !strings.Contains(err.Error(), "upstreams[1].strip_prefix") {
		t.Errorf("got %v, want an error about the prefix", err)
	}
}

// TestKeysOfTwo: the client's key names one call of one composed RPC, in whatever
// spelling.
func TestKeysOfTwo(t *testing.T) {
	t.Parallel()
	s := new(shop)
	price := func() *composev1.Step {
		return &composev1.Step{Name: "price", Call: getPrice, Request: fields{"name": "'p'"}}
	}
	g := s.page(t, composed(price()), func(c *configv1.Config) {
		c.Compose = append(c.Compose, &composev1.Composition{Rpc: "shop.catalog.v1.CatalogService.CreateProduct", Steps: []*composev1.Step{price()}})
	}, on(getPrice, func(p *policy) { p.Idempotency = &policyv1.Idempotency{} }))
	for _, ask := range []struct {
		method, path, body, key string
		calls                   int
	}{
		{"GET", "/v1/pages/" + product, "", `"k"`, 1},
		{"GET", "/v1/pages/" + product, "", `k`, 1},
		{"POST", "/v1/products", `{"name": "products/mug"}`, `"k"`, 2},
	} {
		r := g.Request(t, ask.method, ask.path, ask.body, "Content-Type: application/json", "Idempotency-Key: "+ask.key)
		if a := gatewaytest.Do(t, gatewaytest.Client(t), r); a.StatusCode != http.StatusOK || s.calls(getPrice) != ask.calls {
			t.Errorf("%s %s with key %s: %d %s, and the step's backend was called %d times, want %d", ask.method, ask.path, ask.key, a.StatusCode, a.Text, s.calls(getPrice), ask.calls)
		}
	}
}

// TestVersionOfSteps: the version of the whole is not told to the steps' backends.
func TestVersionOfSteps(t *testing.T) {
	t.Parallel()
	s := new(shop)
	g := s.page(t, composed(&composev1.Step{Name: "price", Call: getPrice, Into: "price"}), func(c *configv1.Config) {
		c.Versions = []*configv1.Versions{{Name: "pages", List: []*configv1.Version{{Name: "v1", Select: []string{"shop.pages.v1.*"}}}}}
	})
	if got := overREST(t.Context(), t, g); got.code != codes.OK {
		t.Fatal(got)
	}
	if said := s.metadata[getPrice][0]["x-api-version"]; len(said) > 0 {
		t.Errorf("the step's backend heard of version %q", said)
	}
}

// TestAmplification: a small request cannot become an answer, or requests, without
// bound.
func TestAmplification(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]*composev1.Step{
		"answers":  {Call: "t.S.Leaf", ForEach: "request.r_STRING", Request: fields{"name": "item"}, Into: "r_leaf", MaxItems: proto.Uint32(1000)},
		"requests": {Call: "t.S.Get", ForEach: "request.r_INT32", Request: fields{"f_INT32": "item", "f_STRING": "request.f_STRING"}},
	} {
		t.Run(name, func(t *testing.T) {
			answer := append([]byte{0xfa, 0x07, 0x80, 0x80, 0x40}, make([]byte, 1<<20)...) // field 127
			conn, err := compose(t, &composev1.Composition{Steps: one(step)}, backend{answer: func(context.Context, string, []byte) (mem.BufferSlice, error) {
				if name == "requests" {
					return nil, nil
				}
				return mem.BufferSlice{mem.SliceBuffer(answer)}, nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			request := manyStrings(t, 100)
			if name == "requests" {
				request = oneLong(t)
			}
			want := codes.Internal // what backends answer is no fault of the client's
			if name == "requests" {
				want = codes.ResourceExhausted
			}
			if _, err = invoke(t.Context(), conn, request); status.Code(err) != want {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	}
}

// oneLong is a request with a text of 8 MiB and twenty numbers.
func oneLong(t *testing.T) []byte {
	t.Helper()
	desc := schema().Messages().ByName("All")
	m := dynamicpb.NewMessage(desc)
	m.Set(desc.Fields().ByName("f_STRING"), protoreflect.ValueOfString(strings.Repeat("x", 8<<20)))
	for n := range int32(20) {
		m.Mutable(desc.Fields().ByName("r_INT32")).List().Append(protoreflect.ValueOfInt32(n))
	}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestNobodyWaitsForAnother: who shares another step's call waits no longer than
// for itself.
func TestNobodyWaitsForAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn, err := compose(t, &composev1.Composition{Steps: []*composev1.Step{
			{Name: "a", Call: "t.S.Leaf", Request: fields{"name": "'x'"}, OnFailure: optional},
			{Name: "b", Call: "t.S.Leaf", ForEach: "['x', 'y']", Request: fields{"name": "item"}},
		}}, backend{answer: func(ctx context.Context, _ string, request []byte) (mem.BufferSlice, error) {
			if strings.Contains(string(request), "y") {
				time.Sleep(time.Second)
				return nil, status.Error(codes.NotFound, "no y")
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Minute):
				return nil, nil
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = invoke(t.Context(), conn, requestOf(t))
		if took := time.Since(start); status.Code(err) != codes.NotFound || took != time.Second {
			t.Errorf("%v after %v, want NOT_FOUND after 1s", err, took)
		}
	})
}
