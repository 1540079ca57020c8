package cmd_test

import (
	"fmt"
	"strings"
	"testing"
)

// demoRequests and richRequests are explained, one command line each.
var demoRequests = []string{
	"GET /v1/products/boots",
	"GET /v1/products?pageSize=2&page_token=a%20b",
	"GET /v1/products?pageSize=many&size=2",
	"PUT /v1/products/boots",
	"GET /v1/product/boots",
	"DELETE /v1/shelves",
	"GET /v1/shelves/tents -H x-visitor:ada",
	"GET /v1/shelves/tents",
	"GET /v1/products/boots/media/a/b/c.png",
	"GET /v1/pages/products/boots",
	"POST /v1/warehouses/north/stock/boots:adjust",
	"GET /v1/warehouses/north/stock/boots:watch",
	"GET /v1/customers/ada/orders",
	"GET /products/boots/reviews",
	"GET /products/boots/reviews -H x-api-version:v1",
	"GET /v3/products/boots/reviews",
	"grpc shop.orders.v1.OrdersService/CreateOrder",
	"shop.orders.v1.OrdersService.GetOrders",
	"GET /shop.orders.v1.OrdersService/GetOrder",
	"GET / -o json",
}

var richRequests = []string{
	"GET /v1/products/boots -H host:api.example.com",
	"GET /v1/products/boots -H host:a.next.shop.example.com",
	"GET https://b.next.shop.example.com/v1/products/boots?utm_source=mail",
	"GET /v1/products/boots -H host:elsewhere.example",
	"GET /v1/products/boots -H x-beta:1",
	"GET /v1/products/boots -H x-beta:2 -H x-tenant:blue",
	"HEAD /v1/products/boots",
	"GET /shop/products/boots%2Fred",
	"OPTIONS /v1/products/boots",
	"GET /v1/products/boots:archive",
	"POST /v1/products",
	"PUT /v1/products/boots/media/a.png",
	"GET /prices/products/boots/price?unknown=1",
	"GET /v1/prices",
	"GET /v1/shelves",
	"GET /v1/warehouses",
	"GET /legacy/v1/warehouses",
	"GET /products/boots/reviews/7",
	"GET /products/boots/reviews/7 -H x-reviews-version:v2",
	"GET /products/boots/reviews/7 -H accept:application/json;v=v2",
	"GET /products/boots/reviews/7 -H x-api-version:v2",
	"GET /v1/products/boots/reviews/7 -H x-reviews-version:v2",
	"GET /products/boots/ratingSummary -H x-reviews-version:v2",
	"GET /v2/products/boots/reviews/7:by-field",
	"GET /v1/pages/products/boots -H x-forwarded-host:api.example.com",
	"shop.catalog.v1.CatalogService/GetProduct -H x-beta:1",
	"shop.catalog.v1.CatalogService/ArchiveProduct",
	"shop.reviews.v1.ReviewsService.ModerateReviews -H grpc-timeout:1m",
	"shop.catalog.v1.CatalogService/GetProduct -o json -H x-tenant:blue",
	"GET /v1/products/new-boots?name=x -o json -H x-tenant:blue",
}

// TestGoldenExplain: how requests are handled, by path, version, host, header and RPC.
func TestGoldenExplain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		*setting
		requests []string
	}{{demo(t), demoRequests}, {rich(t), richRequests}} {
		t.Run(c.name, func(t *testing.T) {
			var all strings.Builder
			for _, request := range c.requests {
				fmt.Fprintf(&all, "$ gatehouse explain %s\n%s\n", request, c.run(t, "explain", strings.Fields(request)...))
			}
			golden(t, c.name+"-explain.golden", all.String())
		})
	}
}
