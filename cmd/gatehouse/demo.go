package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/cmd"
	"github.com/gatehouse-dev/gatehouse/cmd/gatehouse/shop"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/gateway"
	"github.com/gatehouse-dev/gatehouse/internal/server"
)

//go:embed demo.yaml
var demoConfig string

//go:embed openapi/shop.swagger.json
var demoOpenAPI []byte

func demo(app *cmd.App) *cobra.Command {
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run a shop of five gRPC services with the gateway in front, in one process",
		Long: "Run a shop of five gRPC services, in memory, with the gateway in front, all in one\n" +
			"process. It prints where to find them and what to try.",
		Args: cmd.NoArgs,
	}
	addresses := cmd.AddressFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		backends, err := startShop()
		if err != nil {
			return err
		}
		defer backends.stop()
		known, err := newCredentials(time.Now())
		if err != nil {
			return err
		}
		defer known.remove()
		text := strings.ReplaceAll(backends.names.Replace(demoConfig), "DIR", known.dir)
		file, err := config.Parse("demo.yaml", []byte(text))
		if err != nil {
			return err
		}
		if file, err = addresses.Apply(file); err != nil {
			return err
		}
		o := gateway.Options{Config: file, LogTo: c.ErrOrStderr(), OpenAPI: demoOpenAPI}
		return app.Serve(c.Context(), o, func(s *server.Server) { greet(c.OutOrStdout(), s, backends, known) })
	}
	return c
}

// backends are the shop's servers.
type backends struct {
	servers []*grpc.Server
	names   *strings.Replacer // NAME in the configuration by address
	lines   []string
}

// startShop serves each of the shop's services from a server of its own.
func startShop() (*backends, error) {
	b := &backends{}
	var names []string
	for _, backend := range shop.New(time.Now).Backends() {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			b.stop()
			return nil, fmt.Errorf("backend %s: %w", backend.Name, err)
		}
		srv := backend.NewServer(grpc.UnaryInterceptor(faults))
		go func() { _ = srv.Serve(l) }() // ends with stop
		b.servers = append(b.servers, srv)
		names = append(names, strings.ToUpper(backend.Name), l.Addr().String())
		b.lines = append(b.lines, fmt.Sprintf("  %-10s %s", backend.Name, l.Addr()))
	}
	b.names = strings.NewReplacer(names...)
	return b, nil
}

func (b *backends) stop() {
	for _, s := range b.servers {
		s.Stop()
	}
}

// greet tells where things are and what to try.
func greet(w io.Writer, s *server.Server, b *backends, c *credentials) {
	fmt.Fprintf(w, `Gatehouse is in front of a shop of five gRPC services:
%[1]s

  REST, gRPC http://%[2]s
  gRPC       %[3]s
  admin      http://%[4]s (/readyz /metrics /routes /breakers /openapi.json)

Try in another terminal: list, get, a mistake, a stream, and gRPC.

  curl 'http://%[2]s/v1/shelves?pageSize=2'
  curl http://%[2]s/v1/products/enamel-mug-blue/reviews/205
  curl 'http://%[2]s/v1/shelves?pagesize=2'
  curl -N 'http://%[2]s/v1/warehouses/kassel/stock/nordkap-tunnel-tent-2-persons:watch?since=2026-01-01T00:00:00Z&max_movements=3'
  grpcurl -plaintext -d '{"name": "shelves/tents"}' %[3]s shop.catalog.v1.CatalogService/GetShelf

The policies of the contract at work: nobody (401), a key without the scope (403), one with it, a customer's token.

  curl -i -X PATCH http://%[2]s/v1/products/enamel-mug-blue --json '{"displayName": "Mug"}'
  curl -i -X PATCH http://%[2]s/v1/products/enamel-mug-blue --json '{"displayName": "Mug"}' -H 'x-api-key: %[5]s'
  curl -i -X PATCH http://%[2]s/v1/products/enamel-mug-blue --json '{"displayName": "Mug"}' -H 'x-api-key: %[6]s'
  curl http://%[2]s/v1/customers/ada-lovelace/orders -H 'authorization: Bearer %[7]s'

Too many searches (429 from the sixth on), a failure that is tried again, and a breaker that opens.

  for i in 1 2 3 4 5 6; do curl -si 'http://%[2]s/v1/products:search?query=tent' | grep -iE '^HTTP|^ratelimit|^retry'; done
  curl -i http://%[2]s/v1/products/enamel-mug-blue/reviews/205 -H 'x-demo-fault: once'
  for i in 1 2 3 4; do curl -i http://%[2]s/v1/products/enamel-mug-blue/reviews/205 -H 'x-demo-fault: always'; done
  curl http://%[4]s/breakers

Stop with Ctrl-C.

`, strings.Join(b.lines, "\n"), s.Address("http"), s.Address("grpc"), s.Address("admin"), warehouseKey, staffKey, c.token)
}
