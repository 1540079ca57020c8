// Command gatehouse is an edge gateway for gRPC services.
package main

import (
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/gatehouse-dev/gatehouse/cmd"
)

// version is set by the linker.
var version string

// gcPercent lets the heap grow to five times what is live before the collector
// runs: a gateway keeps little and throws away much. GOGC says otherwise.
const gcPercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	app := cmd.App{Version: version, Commands: []func(*cmd.App) *cobra.Command{demo}}
	os.Exit(app.Main())
}
