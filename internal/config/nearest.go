package config

import (
	"fmt"
	"strings"
)

// DidYouMean ends an error about a name that is not known: it gives the nearest
// of those that are, as in `; did you mean "target"?`, or is empty if none is
// near.
func DidYouMean(name string, known []string) string {
	best, least := "", len(name)/3+2 // more apart than this is another word
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k), least); d < least {
			best, least = k, d
		}
	}
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

// distance counts the letters to insert, delete, replace or swap with the next
// to make b of a; no more than limit is told apart.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit || len(a) > maxName || len(b) > maxName {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+differ(a[i-1], b[j-1]))
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
}

// maxName bounds what is compared: nobody's typing error is longer.
const maxName = 256

func differ(a, b byte) int {
	if a == b {
		return 0
	}
	return 1
}
