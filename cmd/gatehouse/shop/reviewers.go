package shop

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"

	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
)

// reviewerOf is the name of a review's author as a reviewer, "" for one that
// has none.
func reviewerOf(review *reviewsv1.Review) string {
	switch author := review.GetAuthor().(type) {
	case *reviewsv1.Review_Customer:
		return "reviewers/" + strings.TrimPrefix(author.Customer, "customers/")
	case *reviewsv1.Review_Nickname:
		h := fnv.New32a()
		_, _ = h.Write([]byte(author.Nickname)) // never fails
		return fmt.Sprintf("reviewers/guest-%08x", h.Sum32())
	default:
		return ""
	}
}

// displayName is what is shown of a review's author.
func displayName(review *reviewsv1.Review) string {
	for _, c := range customers() {
		if c.name == review.GetCustomer() {
			return c.address.GetRecipient()
		}
	}
	if review.GetNickname() != "" {
		return review.GetNickname()
	}
	return strings.TrimPrefix(review.GetCustomer(), "customers/")
}

func (r *reviews) GetReviewer(_ context.Context, request *reviewsv1.GetReviewerRequest) (*reviewsv1.Reviewer, error) {
	all, err := r.reviewers(request.GetName())
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

func (r *reviews) BatchGetReviewers(
	_ context.Context, request *reviewsv1.BatchGetReviewersRequest,
) (*reviewsv1.BatchGetReviewersResponse, error) {
	if n := len(request.GetNames()); n < 1 || n > maxBatch {
		return nil, invalid("names", "got %d names, want 1 to %d", n, maxBatch)
	}
	all, err := r.reviewers(request.GetNames()...)
	if err != nil {
		return nil, err
	}
	return &reviewsv1.BatchGetReviewersResponse{Reviewers: all}, nil
}

// reviewers gathers what is known of reviewers from their reviews.
func (r *reviews) reviewers(names ...string) ([]*reviewsv1.Reviewer, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	known := map[string]*reviewsv1.Reviewer{}
	for _, review := range r.reviews.rows {
		name := review.GetReviewer()
		if known[name] == nil {
			known[name] = &reviewsv1.Reviewer{Name: name, DisplayName: displayName(review)}
		}
		known[name].ReviewCount++
		known[name].MeanRating += float64(review.GetRating())
	}
	list := make([]*reviewsv1.Reviewer, 0, len(names))
	for _, name := range names {
		one := known[name]
		if one == nil || name == "" {
			return nil, notFound("Reviewer", name)
		}
		list = append(list, &reviewsv1.Reviewer{
			Name: name, DisplayName: one.GetDisplayName(), ReviewCount: one.GetReviewCount(),
			MeanRating: one.GetMeanRating() / float64(one.GetReviewCount()),
		})
	}
	return list, nil
}
