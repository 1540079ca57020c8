//go:build unix

package handover_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is also the program that tests start, as what roleEnv says.
func TestMain(m *testing.M) {
	if role, ok := roles[os.Getenv(roleEnv)]; ok {
		os.Exit(role())
	}
	goleak.VerifyTestMain(m)
}
