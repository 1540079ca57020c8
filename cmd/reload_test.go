package cmd_test

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse-dev/gatehouse/cmd"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestHangup: SIGHUP has a gateway that serves take what changed, with its flags.
func TestHangup(t *testing.T) {
	// For good, so that no signal ends the process that comes before the gateway waits
	// for it, or when it does no more.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	config := "reload: {disabled: true}\n" + strings.Replace(good, `http: {address: "127.0.0.1:0"}`, `http: {address: "127.0.0.1:1"}`, 1)
	file := write(t, config)
	ctx, stop := context.WithCancel(t.Context())
	stderr, done := new(gatewaytest.Log), make(chan int, 1)
	go func() {
		done <- new(cmd.App).Run(ctx, []string{"serve", "--config", file, "--http", "127.0.0.1:0"}, io.Discard, stderr)
	}()
	gatewaytest.Eventually(t, "serving", func() bool { return strings.Contains(stderr.String(), "msg=serving ") })
	if err := os.WriteFile(file, []byte(strings.Replace(config, "timeout: 2s", "timeout: 3s", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	gatewaytest.Eventually(t, "the reload", func() bool {
		_ = syscall.Kill(os.Getpid(), syscall.SIGHUP)
		return strings.Contains(stderr.String(), "configuration reloaded")
	})
	stop()
	if code := gatewaytest.Receive(t, done, "the end"); code != 0 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
