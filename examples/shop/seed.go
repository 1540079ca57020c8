package shop

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
)

// seed is what a shop is filled with. It is the same every time: what looks
// like chance is drawn from the names of things.
type seed struct {
	shelves    []*catalogv1.Shelf
	products   []*catalogv1.Product
	warehouses []*inventoryv1.Warehouse
	reviews    []*reviewsv1.Review
}

// opening is when the shop opened; nothing is older.
func opening() time.Time { return time.Date(2026, time.January, 5, 9, 0, 0, 0, time.UTC) }

// draw returns a number from 0 to n-1 that belongs to a text.
func draw(n int, text string) int {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(text)) // never fails
	sum := hash.Sum32()
	return int((sum ^ sum>>15) % uint32(n))
}

func newSeed() *seed {
	s := &seed{
		shelves: []*catalogv1.Shelf{
			{Name: "shelves/tents", DisplayName: "Tents and shelters"},
			{Name: "shelves/sleeping", DisplayName: "Sleeping bags and mats"},
			{Name: "shelves/packs", DisplayName: "Packs and bags"},
			{Name: "shelves/clothing", DisplayName: "Clothing"},
			{Name: "shelves/footwear", DisplayName: "Boots and shoes"},
			{Name: "shelves/kitchen", DisplayName: "Camp kitchen"},
			{Name: "shelves/climbing", DisplayName: "Climbing"},
			{Name: "shelves/light", DisplayName: "Light and navigation"},
			{Name: "shelves/maps", DisplayName: "Maps and guides to download"},
		},
		warehouses: []*inventoryv1.Warehouse{
			{Name: "warehouses/graz", DisplayName: "Graz", Latitude: 47.0707, Longitude: 15.4395},
			{Name: "warehouses/kassel", DisplayName: "Kassel", Latitude: 51.3127, Longitude: 9.4797, Pickup: true},
			{Name: "warehouses/malmo", DisplayName: "Malmö", Latitude: 55.605, Longitude: 13.0038, Pickup: true},
		},
	}
	for _, model := range models() {
		for _, variant := range model.variants {
			s.addProduct(model, variant)
		}
	}
	return s
}

// addProduct makes a product of one variant of a model, and its reviews.
func (s *seed) addProduct(m model, v variant) {
	id := slug(m.label + " " + v.label)
	name := "products/" + id
	created := opening().Add(time.Duration(draw(90*24*60, id)) * time.Minute)
	product := &catalogv1.Product{
		Name:        name,
		DisplayName: m.label + ", " + v.label,
		Description: m.text,
		Shelf:       "shelves/" + m.shelf,
		State:       catalogv1.Product_STATE_ACTIVE,
		Price:       euros(m.cents + v.extra),
		Tags:        append([]string{m.shelf}, strings.Fields(m.tags)...),
		Attributes:  map[string]string{m.attribute: v.label, "material": m.material, "made in": m.origin},
		Featured:    draw(9, id) == 0,
		Images: []*catalogv1.Image{
			{Media: name + "/media/images/front.svg", AltText: "Seen from the front"},
		},
		Gtin:       4_012_345_000_000 + uint64(draw(1_000_000, "gtin "+id)),
		CreateTime: timestamppb.New(created),
		UpdateTime: timestamppb.New(created.Add(time.Duration(draw(40*24*60, "update "+id)) * time.Minute)),
	}
	setFulfillment(product, m)
	if years := draw(4, "warranty "+m.label); years > 0 {
		months := int32(12 * years)
		product.WarrantyMonths = &months
	}
	s.addReviews(product)
	s.products = append(s.products, product)
}

// setFulfillment tells how a product is sent. What weighs nothing is a download.
func setFulfillment(product *catalogv1.Product, m model) {
	if m.grams == 0 {
		product.Fulfillment = &catalogv1.Product_Download{Download: &catalogv1.Download{
			ContentType: "application/pdf", SizeBytes: 4_000_000 + int64(draw(9_000_000, product.GetName())),
		}}
		return
	}
	side := 120 + uint32(draw(200, m.label))
	product.WeightGrams = m.grams + int64(draw(90, product.GetName()))
	product.Dimensions = &catalogv1.Dimensions{LengthMm: 2 * side, WidthMm: side, HeightMm: side - 20}
	product.Fulfillment = &catalogv1.Product_Parcel{Parcel: &catalogv1.Parcel{
		Bulky: m.grams > 4000, HandlingDays: 1 + int32(draw(3, product.GetName())),
	}}
}

// addReviews writes up to five reviews of a product and sets its rating.
func (s *seed) addReviews(product *catalogv1.Product) {
	name := product.GetName()
	var sum, count int32
	for i := range draw(6, "reviews "+name) {
		key := fmt.Sprintf("%s %d", name, i)
		opinion := opinions()[draw(len(opinions()), key)]
		at := product.GetCreateTime().AsTime().Add(time.Duration(24+draw(150*24, key)) * time.Hour)
		review := &reviewsv1.Review{
			Name:         fmt.Sprintf("%s/reviews/%d", name, len(s.reviews)+1),
			Rating:       opinion.rating,
			Title:        opinion.title,
			Body:         opinion.body,
			Author:       &reviewsv1.Review_Nickname{Nickname: nicknames()[draw(len(nicknames()), key)]},
			HelpfulCount: uint32(draw(30, "helpful "+key)),
			CreateTime:   timestamppb.New(at),
			UpdateTime:   timestamppb.New(at),
		}
		if customer := customers()[draw(len(customers()), key)]; draw(3, "author "+key) > 0 {
			review.Author = &reviewsv1.Review_Customer{Customer: customer.name}
			review.Verified = true
		}
		if reply := "Thank you for telling us. Our workshop will have a look at it."; opinion.rating < 3 {
			review.Reply = &reply
		}
		sum += opinion.rating
		count++
		s.reviews = append(s.reviews, review)
	}
	if count > 0 {
		product.Rating = float64(sum*10/count) / 10
	}
}
