package live_test

import (
	"io"
	"slices"
	"strings"
	"testing"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// wholeOf builds a gateway that keeps the answers of a composed RPC whose step is
// routed.
func wholeOf(t *testing.T, route *configv1.Route, more ...func(*configv1.Config)) (*live.Gateway, error) {
	t.Helper()
	c := gatewaytest.Config("127.0.0.1:1")
	c.Upstreams = append(c.Upstreams,
		&configv1.Upstream{Name: "other", Target: "passthrough:///127.0.0.1:1", Schema: c.GetUpstreams()[0].GetSchema()},
		&configv1.Upstream{Name: "pages", Composed: true, Schema: c.GetUpstreams()[0].GetSchema()})
	c.Expose[0].Select = "shop.catalog.v1.CatalogService.GetProduct"
	both(append([]func(*configv1.Config){steps, toOther(route)}, more...)...)(c)
	file, err := config.New(c)
	if err != nil {
		t.Fatal(err)
	}
	g, err := live.New(t.Context(), live.Options{Config: file, LogTo: io.Discard})
	if err == nil {
		t.Cleanup(func() { _ = g.Close() })
	}
	return g, err
}

// What an answer depends on must be known, or it must not be kept.
func TestAWholeWhoseKeyIsNotKnownIsRefused(t *testing.T) {
	t.Parallel()
	opaque := &configv1.Route{When: `headers.exists(h, h.startsWith("x-beta"))`}
	const want = "expose[1].policy.POLICY: what its answers depend on cannot be told: expose[0].routes[0].when: it looks at headers without naming them"
	for policy, keep := range map[string]func(*configv1.Config){"cache": caching(nil), "fallback": lastGood} {
		if _, err := wholeOf(t, opaque, keep); err == nil || !strings.Contains(err.Error(), strings.Replace(want, "POLICY", policy, 1)) {
			t.Errorf("%s: %v", policy, err)
		}
	}
	const chosen = "expose[1].policy.idempotency: what chooses the upstream of a repeated call cannot be told: expose[0].routes[0].when"
	if _, err := wholeOf(t, opaque, idempotent); err == nil || !strings.Contains(err.Error(), chosen) {
		t.Errorf("idempotency: %v", err)
	}
	if _, err := wholeOf(t, opaque); err != nil {
		t.Errorf("a whole that nobody keeps: %v", err)
	}
}

// The keys are told to those who ask, with where each part is from.
func TestKeysAreTold(t *testing.T) {
	t.Parallel()
	percent := 5.0
	g, err := wholeOf(t, &configv1.Route{
		Headers: map[string]string{"x-tenant": "acme"}, Hosts: []string{"acme.example"}, When: `peer.network != headers["x-net"]`,
		Percent: &percent, StickyBy: "peer.ip",
	}, caching(new("")), lastGood, idempotent)
	if err != nil {
		t.Fatal(err)
	}
	const headers = "header x-net (expose[0].routes[0].when), header x-tenant (expose[0].routes[0].headers)"
	const routed = headers + ", peer.ip (expose[0].routes[0].sticky_by), peer.network (expose[0].routes[0].when)"
	var got []string
	for _, p := range g.Table().Methods {
		for _, k := range p.Keys {
			got = append(got, p.Name+" "+k.String())
		}
	}
	const page = "/shop.pages.v1.PagesService/GetProductPage "
	if want := []string{
		page + "cache: RPC, request, upstream, host, scheme, " + routed,
		page + "fallback.last_good: RPC, request, upstream, host, scheme, caller, " + routed,
		page + "idempotency: RPC, Idempotency-Key, caller or network, credentials not checked, host (expose[0].routes[0].hosts), " + headers,
	}; !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
