package cmd_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/gatehouse-dev/gatehouse/cmd"
)

// programEnv has the test's binary be the gateway's, for tests of whole processes.
const programEnv = "GATEHOUSE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		os.Exit(cmd.Main())
	}
	goleak.VerifyTestMain(m)
}
