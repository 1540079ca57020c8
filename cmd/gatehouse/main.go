// Command gatehouse is an edge gateway for gRPC services.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/gatehouse-dev/gatehouse/cmd"
)

// version is set by the linker.
var version string

func main() {
	app := cmd.App{Version: version, Commands: []func(*cmd.App) *cobra.Command{demoCommand}}
	os.Exit(app.Main())
}
