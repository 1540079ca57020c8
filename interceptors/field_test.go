package interceptors_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/gatehouse-dev/gatehouse/interceptors"
)

func TestFieldErrors(t *testing.T) {
	t.Parallel()
	wrong := errors.New("wrong: not a field")
	mistakes := errors.Join(
		wrong,
		interceptors.Within("allow[1]", wrong),
		interceptors.Within("", interceptors.Wrong("deny", "%w", wrong)),
		errors.Join(interceptors.Within("limits", interceptors.Wrong("[0].burst", "%w", wrong))),
		interceptors.Within("retry", errors.Join(interceptors.Wrong("attempts", "%w", wrong), nil, wrong)),
	)
	var got []string
	for _, e := range interceptors.FieldErrors(interceptors.Within("policy", mistakes)) {
		got = append(got, e.Path)
		if !errors.Is(e, wrong) || e.Error() != fmt.Sprintf("%s: %v", e.Path, wrong) {
			t.Errorf("%v", e)
		}
	}
	if want := []string{"policy", "policy.allow[1]", "policy.deny", "policy.limits[0].burst", "policy.retry.attempts", "policy.retry"}; !slices.Equal(got, want) {
		t.Errorf("paths %q, want %q", got, want)
	}
}

func TestNoFieldErrors(t *testing.T) {
	t.Parallel()
	if err := interceptors.Within("policy", nil); err != nil || interceptors.FieldErrors(nil) != nil {
		t.Errorf("nothing wrong is %v", err)
	}
}
