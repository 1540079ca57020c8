package nearest_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/nearest"
)

func TestDistance(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 256)
	for _, test := range []struct {
		a, b  string
		limit int
		want  int
	}{
		{"", "", 3, 0},
		{"", "ab", 3, 2},
		{"target", "target", 3, 0},
		{"target", "Target", 3, 1},
		{"traget", "target", 3, 1}, // a swap
		{"targt", "target", 3, 1},
		{"targeet", "target", 3, 1},
		{"kitten", "sitting", 4, 3},
		{"kitten", "sitting", 3, 3},
		{"kitten", "sitting", 2, 2},
		{"a", "abcd", 3, 3}, // by their lengths
		{long, long[1:] + "b", 3, 1},
		{long + "a", long, 3, 3}, // too long to compare
	} {
		for _, pair := range [][2]string{{test.a, test.b}, {test.b, test.a}} {
			if got := nearest.Distance(pair[0], pair[1], test.limit); got != test.want {
				t.Errorf("Distance(%q, %q, %d) = %d, want %d", pair[0], pair[1], test.limit, got, test.want)
			}
		}
	}
}

func TestName(t *testing.T) {
	t.Parallel()
	known := []string{"displayName", "display", "name"}
	for given, want := range map[string]string{
		"displayname": "displayName", "DISPLAY": "display", "nmae": "name", "color": "", "": "",
	} {
		if got := nearest.Name(given, known, 3); got != want {
			t.Errorf("Name(%q) = %q, want %q", given, got, want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	known := []string{"target", "timeout", "name", "max_body_bytes"}
	for name, want := range map[string]string{
		"targt": "target", "tragte": "target", "TARGET": "target", "nmae": "name", "timeouts": "timeout", "max_body": "max_body_bytes",
		"colour": "", "": "", "x": "", strings.Repeat("x", 10_000): "",
	} {
		if want != "" {
			want = `; did you mean "` + want + `"?`
		}
		if got := nearest.DidYouMean(name, known); got != want {
			t.Errorf("%.20q: %q, want %q", name, got, want)
		}
	}
}
