// Package stat boils the rounds of a measurement down to what a table shows.
package stat

import "slices"

// Summary is what several rounds of one measurement say: the middle one, and
// how far the others lie from it. All three are in the unit of the samples.
type Summary struct {
	Median, Min, Max float64
}

// Of summarises samples in any order; of none it is all zeros. The samples are
// not changed.
func Of(samples []float64) Summary {
	if len(samples) == 0 {
		return Summary{}
	}
	s := slices.Sorted(slices.Values(samples))
	return Summary{Median: median(s), Min: s[0], Max: s[len(s)-1]}
}

func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// Quantile returns the smallest sample that at least the share q of all samples
// does not exceed (the nearest-rank method), or the zero value if there is
// none. sorted must be in ascending order, q between 0 and 1.
func Quantile[T any](sorted []T, q float64) T {
	if len(sorted) == 0 {
		var zero T
		return zero
	}
	n := float64(len(sorted))
	rank := int(q * n)
	if float64(rank) < q*n {
		rank++
	}
	return sorted[min(max(rank-1, 0), len(sorted)-1)]
}
