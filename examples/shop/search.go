package shop

import (
	"context"
	"slices"
	"strings"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
)

func (c *catalog) SearchProducts(
	_ context.Context, request *catalogv1.SearchProductsRequest,
) (*catalogv1.SearchProductsResponse, error) {
	if err := checkSearch(request); err != nil {
		return nil, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	var results []*catalogv1.SearchProductsResponse_Result
	shelves := map[string]int32{}
	for _, product := range c.products.all() {
		score := fit(product, request.GetQuery())
		if score == 0 || !meets(product, request) {
			continue
		}
		shelves[product.GetShelf()]++
		results = append(results, &catalogv1.SearchProductsResponse_Result{Product: product, Score: score})
	}
	slices.SortStableFunc(results, func(a, b *catalogv1.SearchProductsResponse_Result) int {
		return int(100*b.GetScore()) - int(100*a.GetScore())
	})
	found, err := paginate(request, results)
	if err != nil {
		return nil, err
	}
	return &catalogv1.SearchProductsResponse{
		Results: found.items, NextPageToken: found.next, ShelfCounts: shelves,
	}, nil
}

func checkSearch(request *catalogv1.SearchProductsRequest) error {
	var wrong violations
	if price := request.GetPrice(); price.GetMax() != nil && price.GetMin().GetValue() > price.GetMax().GetValue() {
		wrong.addf("price.max", "got %d, want %d (price.min) or more",
			price.GetMax().GetValue(), price.GetMin().GetValue())
	}
	if rating := request.GetMinRating().GetValue(); !(rating >= 0 && rating <= 5) {
		wrong.addf("min_rating", "got %v, want 0 to 5", rating)
	}
	return wrong.err()
}

// fit tells how well a product answers a query: 0 means not at all, 1 means
// that its label has every word.
func fit(product *catalogv1.Product, query string) float32 {
	const inLabel, inTag, inText = 1.0, 0.75, 0.5
	words := strings.Fields(strings.ToLower(query))
	if len(words) == 0 {
		return 1
	}
	label, text := strings.ToLower(product.GetDisplayName()), strings.ToLower(product.GetDescription())
	var sum float32
	for _, word := range words {
		switch {
		case strings.Contains(label, word):
			sum += inLabel
		case slices.Contains(product.GetTags(), word):
			sum += inTag
		case strings.Contains(text, word):
			sum += inText
		default:
			return 0
		}
	}
	return sum / float32(len(words))
}

// meets tells whether a product meets all conditions but the query.
func meets(product *catalogv1.Product, request *catalogv1.SearchProductsRequest) bool {
	return hasState(product, request.GetStates()) &&
		hasTags(product, request.GetTags()) &&
		hasAttributes(product, request.GetAttributes()) &&
		inRange(product, request.GetPrice()) &&
		(request.GetFeatured() == nil || request.GetFeatured().GetValue() == product.GetFeatured()) &&
		product.GetRating() >= request.GetMinRating().GetValue() &&
		(request.GetCreatedAfter() == nil ||
			product.GetCreateTime().AsTime().After(request.GetCreatedAfter().AsTime()))
}

func hasState(product *catalogv1.Product, states []catalogv1.Product_State) bool {
	if len(states) == 0 {
		return product.GetState() == catalogv1.Product_STATE_ACTIVE
	}
	return slices.Contains(states, product.GetState())
}

func hasTags(product *catalogv1.Product, tags []string) bool {
	return !slices.ContainsFunc(tags, func(tag string) bool { return !slices.Contains(product.GetTags(), tag) })
}

func hasAttributes(product *catalogv1.Product, wanted map[string]string) bool {
	for key, value := range wanted {
		if product.GetAttributes()[key] != value {
			return false
		}
	}
	return true
}

func inRange(product *catalogv1.Product, price *catalogv1.SearchProductsRequest_PriceRange) bool {
	have := cents(product.GetPrice())
	return (price.GetMin() == nil || have >= price.GetMin().GetValue()*100) &&
		(price.GetMax() == nil || have <= price.GetMax().GetValue()*100)
}
