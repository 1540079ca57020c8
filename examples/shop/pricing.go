package shop

import (
	"context"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/protobuf/types/known/timestamppb"

	pricingv1 "github.com/gatehouse-dev/gatehouse/gen/shop/pricing/v1"
)

// maxBatch is how many prices one request may ask for.
const maxBatch = 100

// pricing serves shop.pricing.v1.PricingService.
type pricing struct {
	pricingv1.UnimplementedPricingServiceServer

	now func() time.Time

	mu     sync.RWMutex // guards what follows
	prices *table[*pricingv1.Price]
}

func newPricing(now func() time.Time, seed *seed) *pricing {
	p := &pricing{now: now, prices: newTable[*pricingv1.Price]()}
	for _, price := range seed.prices() {
		p.store(price)
	}
	return p
}

// store puts a price, which becomes the service's own, with what it comes to
// abroad.
func (p *pricing) store(price *pricingv1.Price) {
	price.Abroad = map[string]*money.Money{}
	for currency := range rates {
		if abroad, ok := convert(price.GetList(), currency); ok && currency != home {
			price.Abroad[currency] = abroad
		}
	}
	p.prices.put(price.GetName(), price.GetName(), price)
}

// unitPrice returns what one of a product costs now, in cents, and whether the
// product is for sale at all.
func (p *pricing) unitPrice(product string) (int64, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	price, ok := p.prices.get(product + "/price")
	if !ok {
		return 0, false
	}
	return salePrice(price, p.now()), true
}

// salePrice is the price at a moment, in cents, the sale considered.
func salePrice(price *pricingv1.Price, now time.Time) int64 {
	list, sale := cents(price.GetList()), price.GetSale()
	start := sale.GetStartTime().AsTime()
	if sale == nil || now.Before(start) || !now.Before(start.Add(sale.GetDuration().AsDuration())) {
		return list
	}
	if fixed := sale.GetFixed(); fixed != nil {
		return cents(fixed)
	}
	return list - list*int64(sale.GetPercentOff())/100
}

func (p *pricing) ListPrices(
	_ context.Context, request *pricingv1.ListPricesRequest,
) (*pricingv1.ListPricesResponse, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	found, err := p.prices.list(request, func(price *pricingv1.Price) bool {
		return !request.GetOnSale() || price.GetSale() != nil
	})
	if err != nil {
		return nil, err
	}
	return &pricingv1.ListPricesResponse{Prices: found.items, NextPageToken: found.next}, nil
}

func (p *pricing) GetPrice(_ context.Context, request *pricingv1.GetPriceRequest) (*pricingv1.Price, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	price, ok := p.prices.get(request.GetName())
	if !ok {
		return nil, notFound("Price", request.GetName())
	}
	return price, nil
}

func (p *pricing) BatchGetPrices(
	_ context.Context, request *pricingv1.BatchGetPricesRequest,
) (*pricingv1.BatchGetPricesResponse, error) {
	if n := len(request.GetNames()); n < 1 || n > maxBatch {
		return nil, invalid("names", "got %d names, want 1 to %d", n, maxBatch)
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	response := &pricingv1.BatchGetPricesResponse{}
	for _, name := range request.GetNames() {
		price, ok := p.prices.get(name)
		if !ok {
			return nil, notFound("Price", name)
		}
		response.Prices = append(response.Prices, price)
	}
	return response, nil
}

func (p *pricing) UpdatePrice(
	_ context.Context, request *pricingv1.UpdatePriceRequest,
) (*pricingv1.Price, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old, ok := p.prices.get(request.GetPrice().GetName())
	if !ok {
		return nil, notFound("Price", request.GetPrice().GetName())
	}
	price, err := update(old, request.GetPrice(), request.GetUpdateMask())
	if err != nil {
		return nil, err
	}
	if err := validatePrice(price); err != nil {
		return nil, err
	}
	price.UpdateTime = timestamppb.New(p.now())
	p.store(price)
	return price, nil
}

func validatePrice(price *pricingv1.Price) error {
	var wrong violations
	checkPrice(&wrong, "price.list", price.GetList())
	if rate := price.GetVatRate().GetValue(); !(rate >= 0 && rate < 1) {
		wrong.addf("price.vat_rate", "got %v, want 0 or more and less than 1", rate)
	}
	sale := price.GetSale()
	if percent, ok := sale.GetDiscount().(*pricingv1.Sale_PercentOff); ok &&
		(percent.PercentOff < 1 || percent.PercentOff > 90) {
		wrong.addf("price.sale.percent_off", "got %d, want 1 to 90", percent.PercentOff)
	}
	if fixed := sale.GetFixed(); fixed != nil {
		checkPrice(&wrong, "price.sale.fixed", fixed)
	}
	if sale.GetDuration() != nil && sale.GetDuration().AsDuration() <= 0 {
		wrong.addf("price.sale.duration", "got %v, want more than 0", sale.GetDuration().AsDuration())
	}
	return wrong.err()
}
