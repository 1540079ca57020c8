// Package demo is what `gatehouse demo` puts behind the gateway and tells its
// visitors: the shop's servers, credentials, a configuration and a greeting.
package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/examples/shop"
	_ "github.com/gatehouse-dev/gatehouse/gen/shop/pages/v1" // served by composition; the others come with the shop
)

//go:embed gatehouse.yaml
var configuration string

//go:embed greeting.txt
var greeting string

// contract is the image of the shop's contract, comments included: those that are linked
// into a binary have none.
//
//go:embed shop.binpb.gz
var contract []byte

// canary is the service that runs a second time, as the next version of it would,
// and what the configuration calls its address.
const (
	canary        = "catalog"
	canaryAddress = "CANARY"
)

// Demo is a shop that serves. Its methods belong to one goroutine.
type Demo struct {
	dir     string // of the files that the configuration names, and of itself
	token   string // of the customer
	config  string
	servers []*grpc.Server
	lines   []string // of the greeting, one for each service
}

// Start serves each of the shop's services from a server of its own, on a free
// port of the loopback interface, and writes the configuration of a gateway in
// front of them. The caller stops it.
func Start(now func() time.Time) (*Demo, error) {
	d := &Demo{}
	if err := d.start(now); err != nil {
		return nil, errors.Join(err, d.Stop())
	}
	return d, nil
}

func (d *Demo) start(now func() time.Time) error {
	names, err := d.serveShop(now)
	if err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "gatehouse-demo-"); err != nil {
		return fmt.Errorf("a folder for the demo's credentials: %w", err)
	}
	if err = d.makeCredentials(now()); err != nil {
		return err
	}
	if err = os.WriteFile(filepath.Join(d.dir, "shop.binpb.gz"), contract, 0o600); err != nil {
		return err
	}
	d.config = strings.NewReplacer(append(names, "DIR", d.dir)...).Replace(configuration)
	return os.WriteFile(d.configFile(), []byte(d.config), 0o600) // for visitors who have it explained
}

// Stop ends the servers and removes what Start wrote.
func (d *Demo) Stop() error {
	for _, s := range d.servers {
		s.Stop()
	}
	if d.dir == "" {
		return nil
	}
	return os.RemoveAll(d.dir)
}

// Config is the configuration of a gateway in front of the shop, in YAML.
func (d *Demo) Config() string { return d.config }

func (d *Demo) configFile() string { return filepath.Join(d.dir, "gatehouse.yaml") }

// serveShop returns what stands for the servers' addresses in the
// configuration, each followed by the address.
func (d *Demo) serveShop(now func() time.Time) (names []string, err error) {
	s, err := shop.New(now)
	if err != nil {
		return nil, err
	}
	for _, backend := range s.Backends() {
		address, err := d.serve(backend)
		if err != nil {
			return nil, err
		}
		names = append(names, strings.ToUpper(backend.Name), address)
		d.lines = append(d.lines, fmt.Sprintf("  %-10s %s", backend.Name, address))
		if backend.Name == canary {
			if address, err = d.serve(backend); err != nil {
				return nil, err
			}
			names = append(names, canaryAddress, address)
		}
	}
	return names, nil
}

func (d *Demo) serve(backend shop.Backend) (address string, _ error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("backend %s: %w", backend.Name, err)
	}
	srv := backend.NewServer(grpc.UnaryInterceptor(faults))
	go func() { _ = srv.Serve(l) }() // ends with Stop
	d.servers = append(d.servers, srv)
	return l.Addr().String(), nil
}

// Gateway is where a gateway in front of the shop is found.
type Gateway struct {
	Program           string // as a visitor calls it
	HTTP, GRPC, Admin string // addresses
}

// Greet writes where things are and what to try.
func (d *Demo) Greet(w io.Writer, g Gateway) {
	text := strings.NewReplacer(
		"BACKENDS", strings.Join(d.lines, "\n"), "HTTP", g.HTTP, "GRPC", g.GRPC, "ADMIN", g.Admin,
		"EXPLAIN", g.Program+" explain", "FILE", d.configFile(), "CUSTOMER", customer, "TOKEN", d.token, "STAFF", staffKey, "WAREHOUSE", warehouseKey,
	)
	_, _ = text.WriteString(w, greeting)
}
