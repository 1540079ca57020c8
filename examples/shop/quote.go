package shop

import (
	"context"
	"crypto/sha256"
	"math"
	"time"

	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pricingv1 "github.com/gatehouse-dev/gatehouse/gen/shop/pricing/v1"
)

const (
	maxQuoteLines = 1000
	maxQuantity   = 10_000
	quoteValid    = 15 * time.Minute
	standardVAT   = 1900 // basis points
)

// shipping is what a parcel costs by country, in cents.
var shipping = map[string]int64{
	"DE": 495, "AT": 895, "FR": 995, "NL": 895, "SE": 1295, "CH": 1795, "GB": 1995, "US": 2995,
}

// freeShippingFrom is the sum from which a parcel to home is free, in cents.
const freeShippingFrom = 100_00

// coupons are the shop's, with the percentage that each takes off.
var coupons = map[string]int64{"WELCOME10": 10, "SUMMER15": 15}

func (p *pricing) QuoteBasket(
	_ context.Context, request *pricingv1.QuoteBasketRequest,
) (*pricingv1.QuoteBasketResponse, error) {
	if err := checkBasket(request); err != nil {
		return nil, err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	var subtotal int64
	byRate := map[int32]int64{}
	for _, line := range request.GetLines() {
		price, ok := p.prices.get(line.GetProduct() + "/price")
		if !ok {
			return nil, notFound("Price", line.GetProduct()+"/price")
		}
		sum := salePrice(price, p.now()) * int64(max(line.GetQuantity(), 1))
		subtotal += sum
		byRate[vatRate(price)] += sum
	}
	return quote(request, subtotal, byRate), nil
}

func checkBasket(request *pricingv1.QuoteBasketRequest) error {
	var wrong violations
	if n := len(request.GetLines()); n < 1 || n > maxQuoteLines {
		wrong.addf("lines", "got %d lines, want 1 to %d", n, maxQuoteLines)
	}
	for _, line := range request.GetLines() {
		if line.GetQuantity() > maxQuantity {
			wrong.addf("lines.quantity", "got %d, want %d at most", line.GetQuantity(), maxQuantity)
		}
	}
	if coupon, ok := request.GetReduction().(*pricingv1.QuoteBasketRequest_Coupon); ok && coupons[coupon.Coupon] == 0 {
		wrong.addf("coupon", "%q is not a coupon of this shop", coupon.Coupon)
	}
	if request.GetPoints() < 0 {
		wrong.addf("points", "got %d, want 0 or more", request.GetPoints())
	}
	if country := request.GetCountry(); country != "" && shipping[country] == 0 {
		wrong.addf("country", "got %q, want one of AT, CH, DE, FR, GB, NL, SE, US", country)
	}
	return wrong.err()
}

// vatRate is the rate of a price in basis points.
func vatRate(price *pricingv1.Price) int32 {
	if price.GetVatRate() == nil {
		return standardVAT
	}
	return int32(math.Round(price.GetVatRate().GetValue() * 10_000))
}

// quote adds up a basket. The tax that goods include shrinks with a reduction.
func quote(
	request *pricingv1.QuoteBasketRequest, subtotal int64, byRate map[int32]int64,
) *pricingv1.QuoteBasketResponse {
	reduction := min(subtotal*coupons[request.GetCoupon()]/100+request.GetPoints(), subtotal)
	parcel := shipping[request.GetCountry()]
	if home := request.GetCountry() == "" || request.GetCountry() == "DE"; home {
		parcel = shipping["DE"]
		if subtotal >= freeShippingFrom {
			parcel = 0
		}
	}
	response := &pricingv1.QuoteBasketResponse{
		Subtotal:  euros(subtotal),
		Reduction: euros(reduction),
		Shipping:  euros(parcel),
		Total:     euros(subtotal - reduction + parcel),
		Taxes:     map[int32]*money.Money{},
		ValidFor:  durationpb.New(quoteValid),
	}
	for rate, sum := range byRate {
		gross := sum - reduction*sum/max(subtotal, 1)
		response.Taxes[rate] = euros(gross * int64(rate) / (10_000 + int64(rate)))
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(response)
	if err == nil {
		sum := sha256.Sum256(data)
		response.Digest = sum[:]
	}
	return response
}
