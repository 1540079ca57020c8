// Package nearest finds the name that a typing error was meant to be.
package nearest

import (
	"fmt"
	"strings"
)

// maxLen bounds what is compared, in bytes: nobody's typing error is longer.
const maxLen = 256

// DidYouMean ends an error about a name that is not known: it gives the nearest
// of those that are, as in `; did you mean "target"?`, or is empty if none is
// near.
func DidYouMean(name string, known []string) string {
	best := Name(name, known, len(name)/3+2) // more apart than this is another word
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

// Name returns the known name with the fewest edits from given, ignoring case, the
// first of those with equally many; "" if none is fewer than limit edits away.
func Name(given string, known []string, limit int) string {
	best, given := "", strings.ToLower(given)
	for _, name := range known {
		if tooFar(given, name, limit) {
			continue // before a copy is made of it
		}
		if d := Distance(given, strings.ToLower(name), limit); d < limit {
			best, limit = name, d
		}
	}
	return best
}

// Distance counts the bytes to insert, delete, replace or swap with the next to
// turn a into b. It returns limit where they are that many apart or more. It
// takes time in proportion to the product of the lengths, and none if these alone
// are limit apart or one is over 256.
func Distance(a, b string, limit int) int {
	if tooFar(a, b, limit) {
		return limit
	}
	var rows [3][maxLen + 1]int
	before, last, row := rows[0][:], rows[1][:], rows[2][:]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(last[j]+1, row[j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
}

// tooFar tells by the lengths that two names are not worth a comparison.
func tooFar(a, b string, limit int) bool {
	return len(a)-len(b) >= limit || len(b)-len(a) >= limit || len(a) > maxLen || len(b) > maxLen
}
