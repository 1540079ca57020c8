package main

import (
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-dev/gatehouse/cmd"
	"github.com/gatehouse-dev/gatehouse/examples/shop/demo"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/internal/server"
)

func demoCommand(app *cmd.App) *cobra.Command {
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run a shop of five gRPC services with the gateway in front, in one process",
		Long: "Run a shop of five gRPC services, in memory, with the gateway in front, all in one\n" +
			"process. It prints where to find them and what to try.",
		Args: cmd.NoArgs,
	}
	addresses := cmd.AddressFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		d, err := demo.Start(time.Now)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.Stop()) }()
		file, err := config.Parse("gatehouse.yaml", []byte(d.Config()))
		if err != nil {
			return err
		}
		if file, err = addresses.Apply(file); err != nil {
			return err
		}
		o := live.Options{Config: file, LogTo: c.ErrOrStderr()}
		return app.Serve(c.Context(), o, func(s *server.Server) {
			d.Greet(c.OutOrStdout(), demo.Gateway{
				Program: os.Args[0], HTTP: s.Address("http"), GRPC: s.Address("grpc"), Admin: s.Address("admin"),
			})
		})
	}
	return c
}
