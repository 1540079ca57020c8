package workload

import (
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	ordersv1 "github.com/gatehouse-dev/gatehouse/gen/shop/orders/v1"
)

// opened is the day from which all times are counted.
var opened = time.Date(2026, time.March, 2, 8, 30, 0, 0, time.UTC)

// kind is a family of products; each comes in many variants.
type kind struct {
	id, name, shelf, text string
}

func kinds() []kind {
	return []kind{
		{"trail-tent", "Trail Tent", "tents", "A light tent for two that stands in five minutes, even in the wind. The fly stays dry – the floor too. Poles of aluminium, twelve pegs included."},
		{"down-bag", "Down Sleeping Bag", "sleeping", "Goose down for nights below zero; the hood closes with one hand and the zip does not catch. With a sack of cotton to store it in."},
		{"gas-stove", "Gas Stove \"Piccolo\"", "kitchen", "Boils a litre in three minutes, folds into a mug and weighs less than the mug does. Runs on every cartridge with a thread."},
		{"rope-60", "Climbing Rope 60 m", "climbing", "A supple single rope, 9.5 mm, with a middle mark and a treatment that keeps water out. Tested for eleven falls, sold by length."},
		{"map-case", "Map Case", "navigation", "Keeps the map dry & readable; the window takes a finger's touch, the strap a careless tug. It takes maps of every usual fold."},
	}
}

// listOf is a page of n products.
func listOf(n int) *catalogv1.ListProductsResponse {
	list := &catalogv1.ListProductsResponse{NextPageToken: "cGFnZS0y", TotalSize: 1234}
	for i := range n {
		list.Products = append(list.Products, product(i))
	}
	return list
}

func product(i int) *catalogv1.Product {
	k := kinds()[i%len(kinds())]
	name := fmt.Sprintf("products/%s-%03d", k.id, i)
	created := opened.Add(time.Duration(i) * 7 * time.Hour)
	return &catalogv1.Product{
		Name:           name,
		DisplayName:    fmt.Sprintf("%s %d", k.name, i),
		Description:    k.text,
		Shelf:          "shelves/" + k.shelf,
		State:          catalogv1.Product_STATE_ACTIVE,
		Price:          &money.Money{CurrencyCode: "EUR", Units: int64(19 + i*3), Nanos: 990_000_000},
		Tags:           []string{"outdoor", k.shelf, "light"},
		Attributes:     map[string]string{"colour": "moss", "made in": "Slovenia"},
		Dimensions:     &catalogv1.Dimensions{LengthMm: 420, WidthMm: uint32(160 + i), HeightMm: 155},
		WeightGrams:    int64(340 + 25*i),
		Rating:         3.5 + float64(i%3)/4,
		Featured:       i%4 == 0,
		WarrantyMonths: proto.Int32(24),
		Fulfillment:    &catalogv1.Product_Parcel{Parcel: &catalogv1.Parcel{HandlingDays: int32(1 + i%3)}},
		Images: []*catalogv1.Image{{
			Media:       name + "/media/front.webp",
			AltText:     k.name + " from the front",
			Fingerprint: []byte{0xca, 0xfe, byte(i), 0x10, 0x57, 0x9b, 0xff, 0x3e},
		}},
		Gtin:       4_006_381_300_000 + uint64(i),
		CreateTime: timestamppb.New(created),
		UpdateTime: timestamppb.New(created.Add(36*time.Hour + 250*time.Millisecond)),
		Etag:       fmt.Sprintf("W/%08x", 0x9e3779b9*uint32(i+1)),
	}
}

// orderOf is an order of n lines.
func orderOf(n int) *ordersv1.Order {
	o := &ordersv1.Order{
		ShipTo: &ordersv1.Address{
			Recipient:   "Ada Lovelace",
			StreetLines: []string{"12 St James's Square", "Door at the back"},
			PostalCode:  "SW1Y 4JH",
			City:        "London",
			Country:     "GB",
		},
		Payment: &ordersv1.Order_Transfer_{Transfer: &ordersv1.Order_Transfer{
			Iban:        "GB33BUKB20201555555555",
			PaymentTerm: durationpb.New(30 * 24 * time.Hour),
		}},
		Labels:   map[string]string{"channel": "wholesale", "season": "spring"},
		GiftWrap: true,
	}
	for i := range n {
		o.Lines = append(o.Lines, line(i))
	}
	return o
}

func line(i int) *ordersv1.Order_Line {
	k := kinds()[i%len(kinds())]
	l := &ordersv1.Order_Line{
		Product:   fmt.Sprintf("products/%s-%03d", k.id, i),
		Quantity:  uint32(1 + i%12),
		UnitPrice: &money.Money{CurrencyCode: "EUR", Units: int64(19 + i*3), Nanos: 990_000_000},
	}
	if i%2 == 0 {
		l.Inscription = new(fmt.Sprintf("Summit club, \"%s\" no. %d", k.name, i))
	}
	return l
}

// confirmation is what the shop says to an order.
func confirmation() *ordersv1.Order {
	return &ordersv1.Order{
		Name:             "orders/2026-000417",
		Customer:         "customers/ada-lovelace",
		State:            ordersv1.Order_STATE_PENDING,
		Total:            &money.Money{CurrencyCode: "EUR", Units: 48_211, Nanos: 400_000_000},
		DeliveryEstimate: durationpb.New(72 * time.Hour),
		CreateTime:       timestamppb.New(opened),
	}
}
