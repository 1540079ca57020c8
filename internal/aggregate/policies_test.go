package aggregate_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

type policy = policyv1.Policy

// onPages changes the policy of the composed service.
func onPages(change func(*policy)) gatewaytest.Change {
	return func(c *configv1.Config) { change(c.GetExpose()[1].GetPolicy()) }
}

// on gives an RPC of the shop a policy of its own.
func on(rpc string, change func(*policy)) gatewaytest.Change {
	return func(c *configv1.Config) {
		e := &configv1.Exposure{Select: rpc, Upstream: "shop", Policy: proto.CloneOf(c.GetExpose()[0].GetPolicy())}
		change(e.GetPolicy())
		c.Expose = append(c.Expose, e)
	}
}

// keyed adds an authenticator with two keys, one of which has the scope.
func keyed(t *testing.T) gatewaytest.Change {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys.yaml")
	text := fmt.Sprintf("- {id: good, sha256: %x, scopes: [prices]}\n- {id: poor, sha256: %x}\n", sha256.Sum256([]byte("good-key")), sha256.Sum256([]byte("poor-key")))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *configv1.Config) {
		c.Authenticators = []*policyv1.Authenticator{{Name: "keys", Kind: &policyv1.Authenticator_ApiKeys{ApiKeys: &policyv1.ApiKeys{File: file}}}}
	}
}

// TestStepsAskWhoCalls: a step passes its own RPC's authentication, with what the
// client sent, also where the composed RPC has taken it away from backends.
func TestStepsAskWhoCalls(t *testing.T) {
	t.Parallel()
	s := new(shop)
	g := s.page(t, keyed(t), on(getPrice, func(p *policy) {
		p.Auth = &policyv1.Auth{Accept: []string{"keys"}, Scopes: []string{"prices"}}
	}))
	for _, d := range doors {
		got := d.call(t.Context(), t, g)
		challenge := slices.Concat(got.header["www-authenticate"], got.trailer["www-authenticate"])
		if got.code != codes.Unauthenticated || !strings.HasPrefix(got.message, `step "price": `) || len(challenge) == 0 && d.name != "inside the process" {
			t.Errorf("%s: nobody: got %v", d.name, got)
		}
		if got := d.call(t.Context(), t, g, "x-api-key: poor-key"); got.code != codes.PermissionDenied || !strings.HasPrefix(got.message, `step "price": `) {
			t.Errorf("%s: without the scope: got %v", d.name, got)
		}
		if got := d.call(t.Context(), t, g, "x-api-key: good-key"); got.code != codes.OK || got.page.GetPrice() == nil {
			t.Errorf("%s: with the scope: got %v", d.name, got)
		}
	}
	for rpc, all := range s.metadata {
		for _, md := range all {
			if len(md["x-api-key"]) > 0 {
				t.Errorf("%s was told the key", rpc)
			}
		}
	}
}

// TestStepsAreLimited: a step counts against its own RPC's limit, for the client
// that made the composed call, who is told when to come back.
func TestStepsAreLimited(t *testing.T) {
	t.Parallel()
	g := new(shop).page(t, on(getPrice, func(p *policy) {
		p.RateLimit = []*policyv1.RateLimit{{Requests: proto.Uint32(1), Per: durationpb.New(time.Hour)}}
	}))
	if got := overREST(t.Context(), t, g); got.code != codes.OK {
		t.Errorf("the first: got %v", got)
	}
	got := overREST(t.Context(), t, g)
	if got.code != codes.ResourceExhausted || !strings.HasPrefix(got.message, `step "price": `) || len(got.header["retry-after"]) != 1 {
		t.Errorf("the second: got %v", got)
	}
}

// TestIdempotencyKey: the client's name for its call is not that of the steps,
// which would take each other's answers; each has one of its own, the same when
// the call is repeated.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := &shop{customers: []string{"ada", "bob"}}
	g := s.page(t, composed(reviewer(nil)...))
	for range 2 {
		if got := overGRPC(t.Context(), t, g, "idempotency-key: mine"); got.code != codes.OK {
			t.Fatalf("got %v", got)
		}
	}
	count := map[string]int{}
	for _, md := range s.metadata[getReviewer] {
		count[strings.Join(md["idempotency-key"], " ")]++
	}
	for key := range count {
		if key == "" || strings.Contains(key, "mine") {
			t.Errorf("a step has the key %q", key)
		}
	}
	if len(count) != 2 {
		t.Errorf("the steps have the keys %v, want two, each twice", count)
	}
}

// TestIdempotencyKeyOfARefusedCall: a composed call of which no step was sent frees its
// key at once; one of which a step was sent does not, since that may have been carried
// out.
func TestIdempotencyKeyOfARefusedCall(t *testing.T) {
	t.Parallel()
	reviews := &composev1.Step{Name: "reviews", Call: listReviews, Request: fields{"parent": "request.product"}}
	price := func(name string) *composev1.Step {
		return &composev1.Step{Name: "price", Call: getPrice, Request: fields{"name": name}}
	}
	for _, test := range []struct {
		name  string
		steps []*composev1.Step
		again codes.Code // of the repetition
	}{
		{"nothing was sent", []*composev1.Step{price("request.product")}, codes.OK},
		{"a step was sent", []*composev1.Step{reviews, price("request.product + string(size(steps.reviews.reviews))")}, codes.Aborted},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := new(shop).page(t, composed(test.steps...), onPages(func(p *policy) {
				p.Idempotency = &policyv1.Idempotency{}
			}), on(getPrice, func(p *policy) {
				p.RateLimit = []*policyv1.RateLimit{{Requests: new(uint32(1)), Per: durationpb.New(time.Hour), Key: new(`headers["x-share"]`)}}
			}))
			for _, ask := range []struct {
				headers []string
				want    codes.Code
			}{
				{[]string{"x-share: used"}, codes.OK},
				{[]string{"x-share: used", "idempotency-key: k"}, codes.ResourceExhausted},
				{[]string{"x-share: free", "idempotency-key: k"}, test.again},
			} {
				if got := overREST(t.Context(), t, g, ask.headers...); got.code != ask.want {
					t.Errorf("%v: got %v, want %v", ask.headers, got, ask.want)
				}
			}
		})
	}
}

// TestPoliciesOfTheWhole: those of the composed RPC see one answer like any other.
func TestPoliciesOfTheWhole(t *testing.T) {
	t.Parallel()
	down := false
	s := &shop{hook: func(_ context.Context, rpc string, _ proto.Message) error {
		if down && rpc == listReviews || rpc == getPrice && down {
			return status.Error(codes.Unavailable, "down")
		}
		return nil
	}}
	steps := []*composev1.Step{
		{Name: "product", Call: getProduct, Request: fields{"name": "request.product"}, Into: "product"},
		{Name: "reviews", Call: listReviews, Request: fields{"parent": "request.product"}, Take: "reviews", Into: "reviews", OnFailure: optional},
	}
	t.Run("what is degraded is not kept", func(t *testing.T) {
		g := s.page(t, composed(steps...), onPages(func(p *policy) { p.Cache = &policyv1.Cache{Ttl: durationpb.New(time.Hour)} }))
		down = true
		if got := overREST(t.Context(), t, g); len(got.page.GetMissing()) != 1 {
			t.Errorf("got %v", got)
		}
		down = false
		for range 2 {
			if got := overREST(t.Context(), t, g); got.code != codes.OK || len(got.page.GetMissing()) != 0 {
				t.Errorf("got %v", got)
			}
		}
		if n := s.calls(getProduct); n != 2 {
			t.Errorf("%d calls, want that the third answer came from the cache", n)
		}
	})
	t.Run("a fallback for the whole", func(t *testing.T) {
		price := &composev1.Step{Name: "price", Call: getPrice, Into: "price"}
		g := s.page(t, composed(price), onPages(func(p *policy) {
			p.Fallback = &policyv1.Fallback{Serve: &policyv1.Fallback_Response{Response: `{"price": {"name": "ask"}}`}}
		}))
		down = true
		if got := overREST(t.Context(), t, g); got.page.GetPrice().GetName() != "ask" || strings.Join(got.header["gatehouse-degraded"], "") != "fallback; code=UNAVAILABLE" {
			t.Errorf("got %v", got)
		}
	})
	t.Run("a fallback for a step", func(t *testing.T) {
		price := &composev1.Step{Name: "price", Call: getPrice, Into: "price"}
		g := s.page(t, composed(price), on(getPrice, func(p *policy) {
			p.Fallback = &policyv1.Fallback{Serve: &policyv1.Fallback_Response{Response: `{"name": "ask"}`}}
		}))
		down = true
		if got := overREST(t.Context(), t, g); got.page.GetPrice().GetName() != "ask" || strings.Join(got.header["gatehouse-degraded"], "") != "price; code=UNAVAILABLE; by=fallback" {
			t.Errorf("got %v", got)
		}
	})
}

// TestComposedOfComposed: a step may call a composed RPC.
func TestComposedOfComposed(t *testing.T) {
	t.Parallel()
	s := new(shop)
	g := s.page(t, composed(&composev1.Step{Name: "product", Call: getProduct, Request: fields{"name": "request.product"}, Into: "product"}),
		func(c *configv1.Config) {
			c.Compose = append(c.Compose, &composev1.Composition{Rpc: getProduct + "s"})
			c.Compose[1] = &composev1.Composition{Rpc: "shop.catalog.v1.CatalogService.CreateProduct", Steps: []*composev1.Step{{
				Name: "page", Call: getProductPage, Request: fields{"product": "request.product.name"},
			}, {Name: "product", Call: getProduct, Request: fields{"name": "steps.page.product.name"}}}}
		})
	r := g.Request(t, "POST", "/v1/products", `{"name": "products/mug"}`, "Content-Type: application/json")
	if a := gatewaytest.Do(t, gatewaytest.Client(t), r); a.StatusCode != http.StatusOK || s.calls(getProduct) != 2 {
		t.Errorf("HTTP %d %s with %d calls", a.StatusCode, a.Text, s.calls(getProduct))
	}
}

// TestComposedOfDegraded: a composed step of which parts are missing is no
// fallback.
func TestComposedOfDegraded(t *testing.T) {
	t.Parallel()
	s := &shop{hook: func(_ context.Context, rpc string, _ proto.Message) error {
		if rpc == getPrice {
			return status.Error(codes.Unavailable, "down")
		}
		return nil
	}}
	product := &composev1.Step{Name: "product", Call: getProduct, Request: fields{"name": "request.product"}, Into: "product"}
	price := &composev1.Step{Name: "price", Call: getPrice, Into: "price", OnFailure: composev1.Step_FAILURE_OPTIONAL}
	g := s.page(t, composed(product, price), func(c *configv1.Config) {
		c.Compose = append(c.Compose, &composev1.Composition{Rpc: "shop.catalog.v1.CatalogService.CreateProduct", Steps: []*composev1.Step{{
			Name: "page", Call: getProductPage, Request: fields{"product": "request.product.name"},
		}, {Name: "product", Call: getProduct, Request: fields{"name": "steps.page.product.name"}}}})
	})
	r := g.Request(t, "POST", "/v1/products", `{"name": "products/mug"}`, "Content-Type: application/json")
	a := gatewaytest.Do(t, gatewaytest.Client(t), r)
	if got := a.Header.Get("gatehouse-degraded"); a.StatusCode != http.StatusOK || got != "page; code=UNAVAILABLE; by=compose" {
		t.Errorf("HTTP %d %s, degraded %q; want the page's parts", a.StatusCode, a.Text, got)
	}
}

// TestComposedServiceHasNoServer: nobody waits for it, and all see its contract.
func TestComposedServiceHasNoServer(t *testing.T) {
	t.Parallel()
	g := new(shop).page(t)
	ready := gatewaytest.Do(t, gatewaytest.Client(t), mustRequest(t, "http://"+g.Admin+"/readyz"))
	if ready.StatusCode != http.StatusOK && !strings.Contains(ready.Text, "shop") || strings.Contains(ready.Text, "pages") {
		t.Errorf("readyz says %d %s", ready.StatusCode, ready.Text)
	}
	found := false
	for _, r := range admin.Routes(g.Gateway.Table()) {
		found = found || r.Method == wireName(getProductPage) && r.Upstream == "pages" && r.Path == "/v1/pages/{product=products/*}"
	}
	if !found {
		t.Errorf("the routes do not have the page: %v", admin.Routes(g.Gateway.Table()))
	}
	stream, err := reflectionv1.NewServerReflectionClient(gatewaytest.Dial(t, g.GRPC, nil)).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "shop.pages.v1.PagesService"}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: ask}); err != nil {
		t.Fatal(err)
	}
	if told, err := stream.Recv(); err != nil || len(told.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("reflection says %v, %v", told, err)
	}
	_ = stream.CloseSend()
	for err == nil {
		_, err = stream.Recv()
	}
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestWrongConfigurations: what is wrong with a composition is told with its place.
func TestWrongConfigurations(t *testing.T) {
	t.Parallel()
	const base = `
upstreams:
  - {name: shop, target: "dns:///localhost:9000", schema: {linked: true}}
  - {name: pages, composed: true, schema: {linked: true}}
expose:
  - {select: "shop.pages.v1.*", upstream: pages, policy: {auth: {public: true}}}
  - {select: "shop.catalog.v1.CatalogService.GetProduct", upstream: shop, policy: {auth: {public: true}}}
  - {select: "shop.inventory.v1.*", upstream: shop, policy: {auth: {public: true}}}
`
	for _, test := range []struct{ name, yaml, want string }{
		{"a step of the option that is not exposed", "", `option of rpc shop.pages.v1.PagesService.GetProductPage (gatehouse.compose.v1.composition): steps[1].call: step "price": shop.pricing.v1.PricingService.GetPrice is not exposed, and a step passes the policies of what it calls; add to expose such as {select: "shop.pricing.v1.PricingService.GetPrice", upstream: shop}`},
		{"a step that is no RPC", "compose: [{rpc: shop.pages.v1.PagesService.GetProductPage, steps: [{name: a, call: shop.catalog.v1.CatalogService.GetProdct}]}]", `g.yaml:9:84: compose[0].steps[0].call: step "a": no upstream has an RPC "shop.catalog.v1.CatalogService.GetProdct"; did you mean "shop.catalog.v1.CatalogService.GetProduct"?`},
		{"a wrong path", "compose:\n  - rpc: shop.pages.v1.PagesService.GetProductPage\n    steps:\n      - name: a\n        call: shop.catalog.v1.CatalogService.GetProduct\n        request:\n          name: request.prodct", `g.yaml:15:11: compose[0].steps[0].request["name"]: step "a": "request.prodct": shop.pages.v1.GetProductPageRequest has no field "prodct"; did you mean "product"?`},
		{"a step that streams", "compose: [{rpc: shop.pages.v1.PagesService.GetProductPage, steps: [{name: a, call: shop.inventory.v1.InventoryService.WatchStock}]}]", `shop.inventory.v1.InventoryService.WatchStock streams: a step calls an RPC with one request and one answer`},
		{"a stream that is composed", "compose: [{rpc: shop.inventory.v1.InventoryService.WatchStock, steps: [{name: a, call: shop.catalog.v1.CatalogService.GetProduct}]}]", `compose[0]: shop.inventory.v1.InventoryService.WatchStock streams: only an RPC with one request and one answer can be composed`},
		{"not exposed", "compose: [{rpc: shop.pages.v1.PagesService.GetProductPag, steps: [{name: a, call: shop.catalog.v1.CatalogService.GetProduct}]}]", `compose[0].rpc: "shop.pages.v1.PagesService.GetProductPag" is not an exposed RPC; did you mean "shop.pages.v1.PagesService.GetProductPage"?`},
		{"twice", "compose: [{rpc: a.B.C, steps: [{name: a, call: x.Y.Z}]}, {rpc: a.B.C, steps: [{name: a, call: x.Y.Z}]}]", `compose[1].rpc: "a.B.C" is composed already by compose[0] on line 9; join the two`},
		{"of itself", "compose: [{rpc: shop.pages.v1.PagesService.GetProductPage, steps: [{name: a, call: shop.catalog.v1.CatalogService.GetProduct}]}, {rpc: shop.catalog.v1.CatalogService.GetProduct, steps: [{name: a, call: shop.pages.v1.PagesService.GetProductPage}]}]", `it calls itself: /shop.catalog.v1.CatalogService/GetProduct -> /shop.pages.v1.PagesService/GetProductPage -> /shop.catalog.v1.CatalogService/GetProduct`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if err := built(t, base+test.yaml); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
	t.Run("of nothing", func(t *testing.T) {
		t.Parallel()
		err := built(t, strings.Replace(base, `"shop.pages.v1.*"`, `"shop.reviews.v1.ReviewsService.GetReview"`, 1))
		if err == nil || !strings.Contains(err.Error(), `expose[0]: nobody answers shop.reviews.v1.ReviewsService.GetReview: upstream "pages" has no server (composed: true)`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("of which nobody can be asked", func(t *testing.T) {
		t.Parallel()
		err := built(t, strings.Replace(base, `composed: true, schema: {linked: true}`, `composed: true, schema: {reflection: true}`, 1))
		if err == nil || !strings.Contains(err.Error(), `upstreams[1].schema.reflection: there is no server to ask (composed: true)`) {
			t.Errorf("got %v", err)
		}
	})
}

// built makes a gateway of a file.
func built(t *testing.T, text string) error {
	t.Helper()
	file, err := config.Parse("g.yaml", []byte(text))
	if err != nil {
		return err
	}
	g, err := live.New(t.Context(), live.Options{Config: file, LogTo: t.Output()})
	if err == nil {
		t.Cleanup(func() { _ = g.Close() })
	}
	return err
}
