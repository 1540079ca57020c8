package proc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
)

// product is the module of the product.
const product = "github.com/gatehouse-dev/gatehouse"

// Build makes the binary of Gatehouse as it is released.
func Build(ctx context.Context, binary string) error {
	root, err := Output(ctx, "", "go", "list", "-m", "-f", "{{.Dir}}", product)
	if err != nil {
		return fmt.Errorf("find the module %s: %w", product, err)
	}
	if _, err := Output(ctx, root, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/gatehouse"); err != nil {
		return fmt.Errorf("build gatehouse: %w", err)
	}
	return nil
}

// Output runs a command in a folder; if it fails, the error says what the
// command did.
func Output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return strings.TrimSpace(string(out)), err
}

// FreeAddresses finds n ports of the loopback interface that nobody listens on.
// Someone else could take one before it is used; then the program says so.
func FreeAddresses(ctx context.Context, n int) ([]string, error) {
	var addrs []string
	var config net.ListenConfig
	for range n {
		l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = l.Close() }() // all at the end, so that no port comes twice
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}
