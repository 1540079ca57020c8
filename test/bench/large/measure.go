package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/proc"
)

// config is the configuration of Gatehouse. There is no backend, because nothing is
// called.
const config = `listeners:
  http: {address: %q}
  grpc: {address: %q}
  admin: {address: %q}
upstreams:
  - {name: acme, target: "passthrough:///127.0.0.1:1", optional: true, schema: {image: image.binpb}}
%sexpose:
`

// exposure exposes one package.
const exposure = `  - {select: "%s.*", upstream: acme, policy: {%s}}
`

const (
	// authenticators are how the callers of policies are known.
	authenticators = `authenticators:
  - {name: keys, api_keys: {file: keys.yaml}}
`
	plain    = `auth: {public: true}`
	policies = `auth: {accept: [keys]}, timeout: 10s, rate_limit: [{requests: 100, per: 1s, key: caller.id}], concurrency: [{limit: 100}], ` +
		`retry: {}, breaker: {}`
)

// measured is what one configuration costs.
type measured struct {
	ready, cpu                      time.Duration
	loaded, settled, reloaded, peak int64 // bytes
}

const (
	readyWithin = time.Minute
	askEvery    = 5 * time.Millisecond
)

// measure starts Gatehouse, waits until it is ready, and has it reload.
func (f flags) measure(ctx context.Context, folder string, packages []string) (m measured, err error) {
	addrs, err := proc.FreeAddresses(ctx, 3)
	if err != nil {
		return m, err
	}
	file := filepath.Join(folder, "gatehouse.yaml")
	if err := f.configure(file, addrs, packages, ""); err != nil {
		return m, err
	}
	began := time.Now()
	p, err := proc.Start("gatehouse", filepath.Join(folder, "log"), f.gatehouse, "serve", "--config", file)
	if err != nil {
		return m, err
	}
	defer p.Stop()
	if err := p.Await(ctx, readyWithin, askEvery, func(ctx context.Context) error { return get(ctx, "http://"+addrs[2]+"/readyz", "") }); err != nil {
		return m, p.Errorf("is not ready: %w", err)
	}
	m.ready = time.Since(began)
	if m.cpu, err = p.CPU(); err != nil {
		return m, err
	}
	if m.loaded, err = p.Resident(); err != nil {
		return m, err
	}
	time.Sleep(f.settle)
	if m.settled, err = p.Resident(); err != nil {
		return m, err
	}
	if err := f.configure(file, addrs, packages, "errors: {format: problem}\n"); err != nil {
		return m, err
	}
	p.Reload()
	err = p.Await(ctx, readyWithin, askEvery, func(ctx context.Context) error {
		return get(ctx, "http://"+addrs[2]+"/metrics", `gatehouse_reloads_total{result="ok"} 1`)
	})
	if err != nil {
		return m, p.Errorf("did not reload: %w", err)
	}
	time.Sleep(f.settle)
	if m.reloaded, err = p.Resident(); err != nil {
		return m, err
	}
	m.peak, err = p.Peak()
	return m, err
}

// configure writes the configuration.
func (f flags) configure(file string, addrs, packages []string, more string) error {
	known, policy := "", plain
	if f.policies {
		known, policy = authenticators, policies
		if err := os.WriteFile(filepath.Join(filepath.Dir(file), "keys.yaml"), []byte("- {id: caller, sha256: "+strings.Repeat("0", 64)+"}\n"), 0o600); err != nil {
			return err
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, config, addrs[0], addrs[1], addrs[2], known)
	for _, name := range packages {
		fmt.Fprintf(&text, exposure, name, policy)
	}
	text.WriteString(more)
	return writeOld(file, []byte(text.String()))
}

// writeOld writes a file that looks as if it was written before: Gatehouse looks twice
// at files that are new, since they may change while they are read.
func writeOld(file string, data []byte) error {
	before := time.Now().Add(-time.Hour)
	return errors.Join(os.WriteFile(file, data, 0o600), os.Chtimes(file, before, before))
}

// get asks for a page, which must have a text in it.
func get(ctx context.Context, url, want string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	page, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !strings.Contains(string(page), want)) {
		err = fmt.Errorf("%s: %s, without %q", url, resp.Status, want)
	}
	return err
}
