package shop

import (
	"fmt"
	"hash/fnv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
)

// seed is what a shop is filled with. It is the same every time: what looks
// like chance is drawn from the names of things.
type seed struct {
	seedFile

	products []*catalogv1.Product
	reviews  []*reviewsv1.Review
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

func newSeed() (*seed, error) {
	s := &seed{}
	if err := s.read(seedJSON); err != nil {
		return nil, fmt.Errorf("seed.json: %w", err)
	}
	for _, m := range s.Models {
		for _, v := range m.Variants {
			s.addProduct(m, v)
		}
	}
	return s, nil
}

// addProduct makes a product of one variant of a model, and its reviews.
func (s *seed) addProduct(m model, v variant) {
	id := slug(m.Label + " " + v.Label)
	name := "products/" + id
	created := opening().Add(time.Duration(draw(90*24*60, id)) * time.Minute)
	product := &catalogv1.Product{
		Name:        name,
		DisplayName: m.Label + ", " + v.Label,
		Description: m.Text,
		Shelf:       "shelves/" + m.Shelf,
		State:       catalogv1.Product_STATE_ACTIVE,
		Price:       euros(m.Cents + v.ExtraCents),
		Tags:        append([]string{m.Shelf}, m.Tags...),
		Attributes:  map[string]string{m.Attribute: v.Label, "material": m.Material, "made in": m.Origin},
		Featured:    draw(9, id) == 0,
		Images: []*catalogv1.Image{
			{Media: name + "/media/images/front.svg", AltText: "Seen from the front"},
		},
		Gtin:       4_012_345_000_000 + uint64(draw(1_000_000, "gtin "+id)),
		CreateTime: timestamppb.New(created),
		UpdateTime: timestamppb.New(created.Add(time.Duration(draw(40*24*60, "update "+id)) * time.Minute)),
	}
	setFulfillment(product, m)
	if years := draw(4, "warranty "+m.Label); years > 0 {
		months := int32(12 * years)
		product.WarrantyMonths = &months
	}
	s.addReviews(product)
	s.products = append(s.products, product)
}

// setFulfillment tells how a product is sent. What weighs nothing is a download.
func setFulfillment(product *catalogv1.Product, m model) {
	if m.Grams == 0 {
		product.Fulfillment = &catalogv1.Product_Download{Download: &catalogv1.Download{
			ContentType: "application/pdf", SizeBytes: 4_000_000 + int64(draw(9_000_000, product.GetName())),
		}}
		return
	}
	side := 120 + uint32(draw(200, m.Label))
	product.WeightGrams = m.Grams + int64(draw(90, product.GetName()))
	product.Dimensions = &catalogv1.Dimensions{LengthMm: 2 * side, WidthMm: side, HeightMm: side - 20}
	product.Fulfillment = &catalogv1.Product_Parcel{Parcel: &catalogv1.Parcel{
		Bulky: m.Grams > 4000, HandlingDays: 1 + int32(draw(3, product.GetName())),
	}}
}

// addReviews writes up to five reviews of a product and sets its rating.
func (s *seed) addReviews(product *catalogv1.Product) {
	name := product.GetName()
	var sum, count int32
	for i := range draw(6, "reviews "+name) {
		key := fmt.Sprintf("%s %d", name, i)
		opinion := s.Opinions[draw(len(s.Opinions), key)]
		at := product.GetCreateTime().AsTime().Add(time.Duration(24+draw(150*24, key)) * time.Hour)
		review := &reviewsv1.Review{
			Name:         fmt.Sprintf("%s/reviews/%d", name, len(s.reviews)+1),
			Rating:       opinion.Rating,
			Title:        opinion.Title,
			Body:         opinion.Body,
			Author:       &reviewsv1.Review_Nickname{Nickname: s.Nicknames[draw(len(s.Nicknames), key)]},
			HelpfulCount: uint32(draw(30, "helpful "+key)),
			CreateTime:   timestamppb.New(at),
			UpdateTime:   timestamppb.New(at),
		}
		if customer := s.Customers[draw(len(s.Customers), key)]; draw(3, "author "+key) > 0 {
			review.Author = &reviewsv1.Review_Customer{Customer: customer.Name}
			review.Verified = true
		}
		if reply := "Thank you for telling us. Our workshop will have a look at it."; opinion.Rating < 3 {
			review.Reply = &reply
		}
		sum += opinion.Rating
		count++
		s.reviews = append(s.reviews, review)
	}
	if count > 0 {
		product.Rating = float64(sum*10/count) / 10
	}
}
