package connect_test

import (
	"testing"

	"go.uber.org/goleak"
)

// Every test of the package leaves no goroutine behind: gateways, backends and
// clients alike.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
