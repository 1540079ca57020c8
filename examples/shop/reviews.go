package shop

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
)

// reviews serves shop.reviews.v1.ReviewsService.
type reviews struct {
	reviewsv1.UnimplementedReviewsServiceServer

	now        func() time.Time
	hasProduct func(name string) bool

	mu       sync.RWMutex // guards what follows
	reviews  *table[*reviewsv1.Review]
	requests map[string]string // name of the review made, by parent and request id
	lastID   int

	names map[string]string // of customers, as they are shown
}

func newReviews(now func() time.Time, seed *seed, hasProduct func(string) bool) *reviews {
	r := &reviews{
		now:        now,
		hasProduct: hasProduct,
		reviews:    newTable[*reviewsv1.Review](),
		requests:   map[string]string{},
		names:      map[string]string{},
	}
	for _, customer := range seed.Customers {
		r.names[customer.Name] = publicName(customer.Address.M.GetRecipient())
	}
	for _, review := range seed.reviews {
		r.store(review)
	}
	r.lastID = len(seed.reviews)
	return r
}

// store puts a review where its time belongs, newest first.
func (r *reviews) store(review *reviewsv1.Review) {
	r.reviews.put(review.GetName(), newestFirst(review.GetCreateTime(), review.GetName()), review)
}

// newestFirst is a key that sorts by time, backwards, and then by name.
func newestFirst(at *timestamppb.Timestamp, name string) string {
	return fmt.Sprintf("%019d %s", math.MaxInt64-at.AsTime().UnixNano(), name)
}

func (r *reviews) ListReviews(
	_ context.Context, request *reviewsv1.ListReviewsRequest,
) (*reviewsv1.ListReviewsResponse, error) {
	parent := request.GetParent()
	if parent != "products/-" && !r.hasProduct(parent) {
		return nil, notFound("Product", parent)
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	found, err := r.reviews.list(request, func(review *reviewsv1.Review) bool {
		here := parent == "products/-" || strings.HasPrefix(review.GetName(), parent+"/")
		wanted := len(request.GetRatings()) == 0 || slices.Contains(request.GetRatings(), review.GetRating())
		return here && wanted && (review.GetVerified() || !request.GetVerifiedOnly())
	})
	if err != nil {
		return nil, err
	}
	return &reviewsv1.ListReviewsResponse{Reviews: found.items, NextPageToken: found.next}, nil
}

func (r *reviews) GetReview(_ context.Context, request *reviewsv1.GetReviewRequest) (*reviewsv1.Review, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	review, ok := r.reviews.get(request.GetName())
	if !ok {
		return nil, notFound("Review", request.GetName())
	}
	return review, nil
}

func (r *reviews) CreateReview(
	_ context.Context, request *reviewsv1.CreateReviewRequest,
) (*reviewsv1.Review, error) {
	if !r.hasProduct(request.GetParent()) {
		return nil, notFound("Product", request.GetParent())
	}
	if err := validateReview(request.GetReview()); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	again := fmt.Sprintf("%q %q", request.GetParent(), request.GetRequestId())
	if made, ok := r.reviews.get(r.requests[again]); ok {
		return made, nil
	}
	r.lastID++
	review := proto.CloneOf(request.GetReview())
	clearOurs(review)
	review.Name = fmt.Sprintf("%s/reviews/%d", request.GetParent(), r.lastID)
	review.CreateTime = timestamppb.New(r.now())
	review.UpdateTime = review.GetCreateTime()
	r.store(review)
	if request.GetRequestId() != "" {
		r.requests[again] = review.GetName()
	}
	return review, nil
}

func validateReview(review *reviewsv1.Review) error {
	if review == nil {
		return invalid("review", "required")
	}
	const longest = 5000
	var wrong violations
	if rating := review.GetRating(); rating < 1 || rating > 5 {
		wrong.addf("review.rating", "got %d, want 1 to 5", rating)
	}
	if strings.TrimSpace(review.GetTitle()) == "" {
		wrong.addf("review.title", "required")
	}
	if n := len(review.GetBody()); n > longest {
		wrong.addf("review.body", "got %d bytes, want %d at most", n, longest)
	}
	if customer, ok := review.GetAuthor().(*reviewsv1.Review_Customer); ok {
		if _, named := ids(customer.Customer, "customers/*"); !named {
			wrong.addf("review.customer", "got %q, want customers/{customer}", customer.Customer)
		}
	}
	return wrong.err()
}

func (r *reviews) UpdateReview(
	_ context.Context, request *reviewsv1.UpdateReviewRequest,
) (*reviewsv1.Review, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, ok := r.reviews.get(request.GetReview().GetName())
	if !ok {
		return nil, notFound("Review", request.GetReview().GetName())
	}
	review, err := update(old, request.GetReview(), request.GetUpdateMask())
	if err != nil {
		return nil, err
	}
	if err := validateReview(review); err != nil {
		return nil, err
	}
	review.UpdateTime = timestamppb.New(r.now())
	r.store(review)
	return review, nil
}

func (r *reviews) DeleteReview(
	_ context.Context, request *reviewsv1.DeleteReviewRequest,
) (*emptypb.Empty, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.reviews.get(request.GetName()); !ok {
		return nil, notFound("Review", request.GetName())
	}
	r.reviews.remove(request.GetName())
	return &emptypb.Empty{}, nil
}

func (r *reviews) GetRatingSummary(
	_ context.Context, request *reviewsv1.GetRatingSummaryRequest,
) (*reviewsv1.RatingSummary, error) {
	parts, ok := ids(request.GetName(), "products/*/ratingSummary")
	if !ok || !r.hasProduct("products/"+parts[0]) {
		return nil, notFound("RatingSummary", request.GetName())
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	summary := &reviewsv1.RatingSummary{Name: request.GetName(), Histogram: map[int32]int64{}}
	var sum int64
	for name, review := range r.reviews.rows {
		if strings.HasPrefix(name, "products/"+parts[0]+"/") {
			summary.Count++
			summary.Histogram[review.GetRating()]++
			sum += int64(review.GetRating())
		}
	}
	summary.Mean = float64(sum) / float64(summary.GetCount()) // NaN while there is none, as the contract says
	return summary, nil
}
