package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/cmd"
	"github.com/gatehouse-dev/gatehouse/examples/shop"
	_ "github.com/gatehouse-dev/gatehouse/gen/shop/pages/v1" // served by composition; the others come with the shop
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/gateway"
	"github.com/gatehouse-dev/gatehouse/internal/server"

	_ "github.com/gatehouse-dev/gatehouse/gen/shop/pages/v1" // of which there is no server
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
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		backends, err := startShop()
		if err != nil {
			return err
		}
		defer backends.stop()
		known, err := newCredentials(time.Now())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, known.remove()) }()
		text := strings.ReplaceAll(backends.names.Replace(demoConfig), "DIR", known.dir)
		if err := os.WriteFile(known.config(), []byte(text), 0o600); err != nil { // for who wants it explained
			return err
		}
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

// canary is the service that runs a second time, as the next version of it would,
// and what the configuration calls its address.
const (
	canary        = "catalog"
	canaryAddress = "CANARY"
)

// startShop serves each of the shop's services from a server of its own.
func startShop() (*backends, error) {
	s, err := shop.New(time.Now)
	if err != nil {
		return nil, err
	}
	b := &backends{}
	var names []string
	for _, backend := range s.Backends() {
		address, err := b.serve(backend)
		if err != nil {
			return nil, err
		}
		names = append(names, strings.ToUpper(backend.Name), address)
		b.lines = append(b.lines, fmt.Sprintf("  %-10s %s", backend.Name, address))
		if backend.Name == canary {
			if address, err = b.serve(backend); err != nil {
				return nil, err
			}
			names = append(names, canaryAddress, address)
		}
	}
	b.names = strings.NewReplacer(names...)
	return b, nil
}

// serve begins a server of backend. After an error none is left.
func (b *backends) serve(backend shop.Backend) (address string, _ error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.stop()
		return "", fmt.Errorf("backend %s: %w", backend.Name, err)
	}
	srv := backend.NewServer(grpc.UnaryInterceptor(faults))
	go func() { _ = srv.Serve(l) }() // ends with stop
	b.servers = append(b.servers, srv)
	return l.Addr().String(), nil
}

func (b *backends) stop() {
	for _, s := range b.servers {
		s.Stop()
	}
}

//go:embed demo.txt
var demoText string

// greet tells where things are and what to try.
func greet(w io.Writer, s *server.Server, b *backends, c *credentials) {
	text := strings.NewReplacer(
		"BACKENDS", strings.Join(b.lines, "\n"), "HTTP", s.Address("http"), "GRPC", s.Address("grpc"), "ADMIN", s.Address("admin"),
		"EXPLAIN", os.Args[0]+" explain", "FILE", c.config(), "CUSTOMER", customer, "TOKEN", c.token, "STAFF", staffKey, "WAREHOUSE", warehouseKey,
	)
	_, _ = text.WriteString(w, demoText)
}
