package openapi

import "testing"

func TestWithoutInternal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"public":                           "public",
		"a (-- secret --)b":                "a b",
		"a (-- one --)b (-- two --)c":      "a b c",
		"a (-- one (-- two --) still --)b": "a b",
		"a (-- not closed":                 "a ",
		"a (-- one (-- two --) not closed": "a ",
		"a --) b":                          "a --) b",
		"a --) b (-- secret --) c":         "a --) b  c",
		"(----) a":                         " a",
		"a (-- secret --) (-- more --)":    "a  ",
	} {
		if got := withoutInternal(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
