package shop_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
)

// Whoever wrote a review is a reviewer, customer or not.
func TestReviewers(t *testing.T) {
	c := open(t)
	list, err := c.reviews.ListReviews(t.Context(), &reviewsv1.ListReviewsRequest{Parent: "products/-", PageSize: 100})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	nicknames := 0
	for _, review := range list.GetReviews() {
		names = append(names, review.GetReviewer())
		if review.GetNickname() != "" {
			nicknames++
		}
	}
	if nicknames == 0 || nicknames == len(names) {
		t.Fatalf("%d of %d have a nickname, want some", nicknames, len(names))
	}
	got, err := c.reviews.BatchGetReviewers(t.Context(), &reviewsv1.BatchGetReviewersRequest{Names: names})
	if err != nil || len(got.GetReviewers()) != len(names) {
		t.Fatalf("%d reviewers of %d: %v", len(got.GetReviewers()), len(names), err)
	}
	for i, r := range got.GetReviewers() {
		if r.GetName() != names[i] || r.GetDisplayName() == "" || r.GetReviewCount() < 1 || r.GetMeanRating() < 1 || r.GetMeanRating() > 5 {
			t.Errorf("%s: %v", names[i], r)
		}
	}
	one, err := c.reviews.GetReviewer(t.Context(), &reviewsv1.GetReviewerRequest{Name: names[0]})
	if err != nil || one.GetDisplayName() != got.GetReviewers()[0].GetDisplayName() {
		t.Errorf("%v, %v; want %v", one, err, got.GetReviewers()[0])
	}
	for _, name := range []string{"", "reviewers/nobody"} {
		if _, err := c.reviews.GetReviewer(t.Context(), &reviewsv1.GetReviewerRequest{Name: name}); status.Code(err) != codes.NotFound {
			t.Errorf("%q: %v, want NotFound", name, err)
		}
	}
}
