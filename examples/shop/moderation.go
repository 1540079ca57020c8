package shop

import (
	"errors"
	"io"
	"slices"
	"strings"
	"unicode"

	"google.golang.org/grpc"

	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
)

// Words that a review does better without, and those it must not have.
var (
	unkind    = []string{"awful", "crap", "hate", "stupid", "worst"}
	forbidden = []string{"casino", "bitcoin", "http", "https", "viagra"}
)

func (r *reviews) ModerateReviews(
	stream grpc.BidiStreamingServer[reviewsv1.ModerateReviewsRequest, reviewsv1.ModerateReviewsResponse],
) error {
	for {
		draft, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(moderate(draft)); err != nil {
			return err
		}
	}
}

func moderate(draft *reviewsv1.ModerateReviewsRequest) *reviewsv1.ModerateReviewsResponse {
	response := &reviewsv1.ModerateReviewsResponse{
		DraftId: draft.GetDraftId(), Verdict: reviewsv1.ModerateReviewsResponse_VERDICT_PUBLISH,
	}
	words := strings.FieldsFunc(strings.ToLower(draft.GetText()), func(c rune) bool { return !unicode.IsLetter(c) })
	for _, word := range words {
		switch {
		case slices.Contains(forbidden, word):
			response.Verdict = reviewsv1.ModerateReviewsResponse_VERDICT_REJECT
		case !slices.Contains(unkind, word):
			continue
		case response.GetVerdict() == reviewsv1.ModerateReviewsResponse_VERDICT_PUBLISH:
			response.Verdict = reviewsv1.ModerateReviewsResponse_VERDICT_REVISE
		}
		response.Objections = append(response.Objections, word)
	}
	return response
}
