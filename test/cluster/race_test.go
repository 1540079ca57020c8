//go:build race

package cluster_test

// raceFlags have the programs look for data races when the tests do.
var raceFlags = []string{"-race"}
