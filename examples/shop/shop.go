// Package shop is what stands behind the gateway in the demo: an outdoor shop
// of five small services, kept in memory and filled with believable goods.
//
// The services know each other only by the few questions they ask (is there
// such a product, what does it cost), as separate teams' services would. A shop
// filled at another time, or on another machine, holds the same data.
package shop

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	ordersv1 "github.com/gatehouse-dev/gatehouse/gen/shop/orders/v1"
	pricingv1 "github.com/gatehouse-dev/gatehouse/gen/shop/pricing/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
	reviewsv2 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v2"
)

// Shop is the five services with their data. It is safe for concurrent use.
type Shop struct {
	catalog   *catalog
	pricing   *pricing
	inventory *inventory
	reviews   *reviews
	orders    *orders
}

// Backend is one service of the shop, to be served by a gRPC server of its own.
type Backend struct {
	// Name is short and good for a configuration: "catalog".
	Name string
	// Service is the full name: "shop.catalog.v1.CatalogService".
	Service string
	// Register adds the service to a server.
	Register func(grpc.ServiceRegistrar)
}

// New fills a shop. The clock tells when something is created or changed from
// now on; what the shop is filled with has dates of its own.
func New(now func() time.Time) (*Shop, error) {
	seed, err := newSeed()
	if err != nil {
		return nil, err
	}
	shop := &Shop{catalog: newCatalog(now, seed), pricing: newPricing(now, seed)}
	shop.inventory = newInventory(now, seed)
	shop.reviews = newReviews(now, seed, shop.catalog.has)
	shop.orders = newOrders(now, seed, shop.pricing.unitPrice)
	return shop, nil
}

// Backends returns the services in the order in which a customer meets them.
func (s *Shop) Backends() []Backend {
	return []Backend{
		{"catalog", catalogv1.CatalogService_ServiceDesc.ServiceName, func(r grpc.ServiceRegistrar) {
			catalogv1.RegisterCatalogServiceServer(r, s.catalog)
		}},
		{"pricing", pricingv1.PricingService_ServiceDesc.ServiceName, func(r grpc.ServiceRegistrar) {
			pricingv1.RegisterPricingServiceServer(r, s.pricing)
		}},
		{"inventory", inventoryv1.InventoryService_ServiceDesc.ServiceName, func(r grpc.ServiceRegistrar) {
			inventoryv1.RegisterInventoryServiceServer(r, s.inventory)
		}},
		{"reviews", reviewsv1.ReviewsService_ServiceDesc.ServiceName, func(r grpc.ServiceRegistrar) {
			reviewsv1.RegisterReviewsServiceServer(r, s.reviews)
			reviewsv2.RegisterReviewsServiceServer(r, reviewsAgain{reviews: s.reviews})
		}},
		{"orders", ordersv1.OrdersService_ServiceDesc.ServiceName, func(r grpc.ServiceRegistrar) {
			ordersv1.RegisterOrdersServiceServer(r, s.orders)
		}},
	}
}

// NewServer returns a gRPC server for the service that also answers server
// reflection and health checks. The caller serves and stops it.
func (b Backend) NewServer(options ...grpc.ServerOption) *grpc.Server {
	server := grpc.NewServer(options...)
	b.Register(server)
	healthy := health.NewServer()
	healthy.SetServingStatus(b.Service, grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(server, healthy)
	reflection.Register(server)
	return server
}
