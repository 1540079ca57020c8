package shop

import (
	"context"
	"strings"

	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
)

// publicName is what all may read of a name: "Amélie B.".
func publicName(full string) string {
	first, last, _ := strings.Cut(full, " ")
	for _, initial := range last {
		return first + " " + string(initial) + "."
	}
	return first
}

func (r *reviews) GetReviewer(
	_ context.Context, request *reviewsv1.GetReviewerRequest,
) (*reviewsv1.Reviewer, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.reviewer(request.GetName())
}

func (r *reviews) BatchGetReviewers(
	_ context.Context, request *reviewsv1.BatchGetReviewersRequest,
) (*reviewsv1.BatchGetReviewersResponse, error) {
	if n := len(request.GetNames()); n < 1 || n > maxBatch {
		return nil, invalid("names", "got %d names, want 1 to %d", n, maxBatch)
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	response := &reviewsv1.BatchGetReviewersResponse{}
	for _, name := range request.GetNames() {
		reviewer, err := r.reviewer(name)
		if err != nil {
			return nil, err
		}
		response.Reviewers = append(response.Reviewers, reviewer)
	}
	return response, nil
}

// reviewer counts the reviews of a customer. Who has written none is no reviewer.
func (r *reviews) reviewer(name string) (*reviewsv1.Reviewer, error) {
	customer := strings.TrimSuffix(name, "/reviewer")
	reviewer := &reviewsv1.Reviewer{Name: name, DisplayName: r.names[customer]}
	for _, review := range r.reviews.rows {
		if review.GetCustomer() != customer || customer == "" {
			continue
		}
		reviewer.ReviewCount++
		if first := reviewer.GetFirstReviewTime(); first == nil || review.GetCreateTime().AsTime().Before(first.AsTime()) {
			reviewer.FirstReviewTime = review.GetCreateTime()
		}
	}
	if customer == name || reviewer.GetReviewCount() == 0 {
		return nil, notFound("Reviewer", name)
	}
	return reviewer, nil
}
