package contender

import (
	"context"
	"fmt"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	ordersv1 "github.com/gatehouse-dev/gatehouse/gen/shop/orders/v1"
	pricingv1 "github.com/gatehouse-dev/gatehouse/gen/shop/pricing/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/workload"
)

// newFacade is the facade that grpc-gateway generates for the shop, as its
// documentation sets it up, with nothing around it. Its mux tries the routes
// one after the other, so the idle ones are put half before and half after the
// shop's own: the case is neither its best nor its worst.
func newFacade(ctx context.Context, cc *grpc.ClientConn, c workload.Case) (http.Handler, error) {
	mux := runtime.NewServeMux()
	idle := c.Idle()
	if err := bind(mux, idle[:len(idle)/2]); err != nil {
		return nil, err
	}
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		catalogv1.RegisterCatalogServiceHandler,
		pricingv1.RegisterPricingServiceHandler,
		inventoryv1.RegisterInventoryServiceHandler,
		reviewsv1.RegisterReviewsServiceHandler,
		ordersv1.RegisterOrdersServiceHandler,
	} {
		if err := register(ctx, mux, cc); err != nil {
			return nil, fmt.Errorf("register a service: %w", err)
		}
	}
	return mux, bind(mux, idle[len(idle)/2:])
}

func bind(mux *runtime.ServeMux, routes []workload.Route) error {
	for _, r := range routes {
		err := mux.HandlePath(r.HTTPMethod, r.Template, func(w http.ResponseWriter, _ *http.Request, _ map[string]string) {
			http.Error(w, "an idle route was called", http.StatusInternalServerError)
		})
		if err != nil {
			return fmt.Errorf("bind %s %s: %w", r.HTTPMethod, r.Template, err)
		}
	}
	return nil
}
