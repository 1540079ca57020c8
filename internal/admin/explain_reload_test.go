package admin_test

import (
	"sync"
	"sync/atomic"
	"testing"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestExplainIsOfOneTable: what explain says of a request comes from one table,
// though reloads go on beside it: an RPC that is found has a chain, an exposure and
// policies, and the body of its binding.
func TestExplainIsOfOneTable(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Config("127.0.0.1:1", func(c *configv1.Config) {
		c.Expose[0].Select = "shop.catalog.v1.CatalogService.GetShelf"
	}))
	with := g.Gateway.Table().File
	without, err := with.With(func(c *configv1.Config) { c.Expose[0].Select = "shop.catalog.v1.CatalogService.ListShelves" })
	if err != nil {
		t.Fatal(err)
	}
	var over atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	defer over.Store(true)
	for range 2 {
		wg.Go(func() {
			for !over.Load() {
				rest, err := admin.Explain(t.Context(), g.Gateway.Table(), "GET", "/v1/shelves/tents", nil)
				if err != nil || rest.Served && (rest.Exposure == "" || len(rest.Chain) == 0 || len(rest.Policies) == 0) {
					t.Errorf("REST: %+v, %v: found, but not described", rest, err)
					return
				}
				rpc, err := admin.ExplainRPC(g.Gateway.Table(), "/shop.catalog.v1.CatalogService/GetShelf", nil)
				if err != nil || rpc.Served && (rpc.Exposure == "" || len(rpc.Chain) == 0 || len(rpc.Policies) == 0) {
					t.Errorf("gRPC: %+v, %v: found, but not described", rpc, err)
					return
				}
			}
		})
	}
	for range 100 {
		for _, file := range []*config.File{without, with} {
			if err := g.Gateway.Rebuild(t.Context(), file); err != nil {
				t.Fatal(err)
			}
		}
	}
}
