package deploy_test

import (
	"fmt"
	"testing"
)

func sprint(v any) string { return fmt.Sprint(v) }

func parseMiB(t *testing.T, text string) int64 {
	t.Helper()
	var n int64
	if _, err := fmt.Sscanf(text, "%dMiB", &n); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return n << 20
}
