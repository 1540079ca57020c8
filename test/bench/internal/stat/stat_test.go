package stat_test

import (
	"testing"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/stat"
)

func TestOf(t *testing.T) {
	for _, tc := range []struct {
		name    string
		samples []float64
		want    stat.Summary
	}{
		{"none", nil, stat.Summary{}},
		{"one", []float64{7}, stat.Summary{Median: 7, Min: 7, Max: 7}},
		{"odd, not sorted", []float64{9, 1, 5}, stat.Summary{Median: 5, Min: 1, Max: 9}},
		{"even takes the mean of the two in the middle", []float64{4, 1, 2, 100}, stat.Summary{Median: 3, Min: 1, Max: 100}},
		{"an outlier does not move the median", []float64{10, 11, 12, 13, 9000}, stat.Summary{Median: 12, Min: 10, Max: 9000}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := stat.Of(tc.samples); got != tc.want {
				t.Errorf("Of(%v) = %+v, want %+v", tc.samples, got, tc.want)
			}
		})
	}
}

func TestOfLeavesSamplesAlone(t *testing.T) {
	samples := []float64{3, 1, 2}
	stat.Of(samples)
	if samples[0] != 3 || samples[1] != 1 || samples[2] != 2 {
		t.Errorf("samples are now %v", samples)
	}
}

func TestQuantile(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	for _, tc := range []struct {
		name   string
		sorted []int
		q      float64
		want   int
	}{
		{"of none", nil, 0.5, 0},
		{"of one", []int{4}, 0.99, 4},
		{"lowest", hundred, 0, 1},
		{"p50", hundred, 0.50, 50},
		{"p99", hundred, 0.99, 99},
		{"highest", hundred, 1, 100},
		{"rounds up", []int{1, 2, 3}, 0.5, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := stat.Quantile(tc.sorted, tc.q); got != tc.want {
				t.Errorf("Quantile(%v) = %d, want %d", tc.q, got, tc.want)
			}
		})
	}
}
