// Command client calls the shop of the demo with a client that oapi-codegen generates
// from its OpenAPI document.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/oapi-codegen/nullable"

	"shop.example/client/shop"
)

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

// key is a request editor that adds an API key.
func key(name string) shop.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("X-Api-Key", name)
		return nil
	}
}

func either(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

func run(ctx context.Context, address string) error {
	client, err := shop.NewClientWithResponses(address)
	if err != nil {
		return err
	}
	if err := read(ctx, client); err != nil {
		return err
	}
	if err := order(ctx, client); err != nil {
		return err
	}
	if err := refused(ctx, client); err != nil {
		return err
	}
	return watch(ctx, client)
}

// read gets a product by path and query, and finds it again by query alone.
func read(ctx context.Context, client *shop.ClientWithResponses) error {
	currency := "EUR"
	params := &shop.CatalogServiceGetProductParams{Currency: &currency}
	answer, err := client.CatalogServiceGetProductWithResponse(ctx, "enamel-mug-blue", params)
	if err != nil {
		return err
	}
	product := answer.JSON200 // nil if the call failed: JSON404 and others have the error
	fmt.Println(*product.Name, *product.State, *product.Price.Units, product.CreateTime.Format(time.RFC3339))
	fmt.Println("sent as", either(product.Parcel != nil, "parcel", "download"))

	lowest, after := "10", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	found, err := client.CatalogServiceSearchProductsWithResponse(ctx, &shop.CatalogServiceSearchProductsParams{
		States: &[]shop.ProductState{shop.ProductStateSTATEACTIVE, shop.ProductStateSTATEDRAFT}, PriceMin: &lowest, CreatedAfter: &after,
		Attributes: &map[string]string{"colour": "blue", "material": "enamelled steel"},
	})
	if err != nil {
		return err
	}
	for _, result := range *found.JSON200.Results {
		fmt.Println("found", *result.Product.Name)
	}
	return nil
}

// order places an order, sends it again with the same idempotency key, and changes it.
func order(ctx context.Context, client *shop.ClientWithResponses) error {
	again, lastFour, wrap := "go-1", "4242", true
	params := &shop.OrdersServiceCreateOrderParams{IdempotencyKey: &again}
	input := shop.OrderInput{
		Lines:    []shop.OrderLineInput{{Product: "products/enamel-mug-blue", Quantity: 2}},
		ShipTo:   shop.AddressInput{Recipient: "Björn Lund", StreetLines: []string{"Storgatan 1"}, City: "Kiruna", Country: "SE"},
		Card:     &shop.OrderCardInput{LastFour: &lastFour}, // at most one of Card, Transfer, GiftCard
		GiftWrap: &wrap,
	}
	first, err := client.OrdersServiceCreateOrderWithResponse(ctx, "bjorn-lund", params, input, key("demo-staff"))
	if err != nil {
		return err
	}
	second, err := client.OrdersServiceCreateOrderWithResponse(ctx, "bjorn-lund", params, input, key("demo-staff"))
	if err != nil {
		return err
	}
	placed := first.JSON200
	fmt.Println("order", *placed.State, *placed.Total.Units, *placed.Card.LastFour, either(*placed.Name == *second.JSON200.Name, "once", "twice"))

	id := (*placed.Name)[len("orders/"):]
	patch := shop.OrderPatch{GiftWrap: nullable.NewNullNullable[bool](), Labels: nullable.NewNullableWithValue(map[string]string{"for": "Tove"})}
	changed, err := client.OrdersServiceUpdateOrderWithResponse(ctx, id, nil, patch, key("demo-staff"))
	if err != nil {
		return err
	}
	fmt.Println("changed", (*changed.JSON200.Labels)["for"], either(changed.JSON200.GiftWrap != nil, "wrapped", "plain"))
	return nil
}

// refused has a key that may not delete products.
func refused(ctx context.Context, client *shop.ClientWithResponses) error {
	answer, err := client.CatalogServiceDeleteProductWithResponse(ctx, "enamel-mug-blue", nil, key("demo-warehouse"))
	if err != nil {
		return err
	}
	failed := answer.JSON403.Error
	fmt.Println(failed.Code, failed.Status, (*failed.Details)[0].AdditionalProperties["reason"])
	return nil
}

// watch follows a stream: one JSON document a line.
func watch(ctx context.Context, client *shop.ClientWithResponses) error {
	since, enough := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), int32(3)
	answer, err := client.InventoryServiceWatchStock(ctx, "kassel", "nordkap-tunnel-tent-2-persons",
		&shop.InventoryServiceWatchStockParams{Since: &since, MaxMovements: &enough})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	for lines := json.NewDecoder(answer.Body); lines.More(); {
		var line shop.WatchStockResponse
		if err := lines.Decode(&line); err != nil {
			return err
		}
		fmt.Println("moved", *line.Movement.Delta, *line.Movement.Reason)
	}
	return nil
}
