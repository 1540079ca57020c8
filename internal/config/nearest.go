package config

import (
	"fmt"
	"strings"

	"github.com/gatehouse-dev/gatehouse/internal/nearest"
)

// DidYouMean ends an error about a name that is not known: it gives the nearest
// of those that are, as in `; did you mean "target"?`, or is empty if none is
// near.
func DidYouMean(name string, known []string) string {
	best := nearest.Name(name, known, len(name)/3+2) // more apart than this is another word
	if best == "" {
		best = beginning(name, known)
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// beginning is the first of the known names that goes on after name.
func beginning(name string, known []string) string {
	for _, k := range known {
		if len(name) > 2 && strings.HasPrefix(k, name) {
			return k
		}
	}
	return ""
}
