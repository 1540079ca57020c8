package shop

import (
	"cmp"
	"context"

	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
	reviewsv2 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v2"
)

// reviewsAgain serves shop.reviews.v2.ReviewsService: the same reviews, told in
// another way.
type reviewsAgain struct {
	reviewsv2.UnimplementedReviewsServiceServer

	reviews *reviews
}

const mostStars = 5

func (r reviewsAgain) ListReviews(ctx context.Context, request *reviewsv2.ListReviewsRequest) (*reviewsv2.ListReviewsResponse, error) {
	found, err := r.reviews.ListReviews(ctx, &reviewsv1.ListReviewsRequest{
		Parent: request.GetParent(), PageSize: request.GetPageSize(), PageToken: request.GetPageToken(),
	})
	if err != nil {
		return nil, err
	}
	out := &reviewsv2.ListReviewsResponse{NextPageToken: found.GetNextPageToken()}
	for _, review := range found.GetReviews() {
		out.Reviews = append(out.Reviews, told(review))
	}
	return out, nil
}

func (r reviewsAgain) GetReview(ctx context.Context, request *reviewsv2.GetReviewRequest) (*reviewsv2.Review, error) {
	review, err := r.reviews.GetReview(ctx, &reviewsv1.GetReviewRequest{Name: request.GetName()})
	if err != nil {
		return nil, err
	}
	return told(review), nil
}

// told is a review as the second edition has it.
func told(review *reviewsv1.Review) *reviewsv2.Review {
	return &reviewsv2.Review{
		Name:       review.GetName(),
		Score:      &reviewsv2.Score{Stars: review.GetRating(), Of: mostStars},
		Title:      review.GetTitle(),
		Body:       review.GetBody(),
		Author:     &reviewsv2.Author{DisplayName: cmp.Or(review.GetNickname(), review.GetCustomer()), Verified: review.GetVerified()},
		CreateTime: review.GetCreateTime(),
	}
}
