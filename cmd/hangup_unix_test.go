//go:build unix

package cmd_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestHangupAtStart: a signal to read the configuration anew does not end a gateway that
// has yet to read its contracts.
func TestHangupAtStart(t *testing.T) {
	silent := gatewaytest.Listen(t)
	config := strings.Replace(strings.Replace(good, "127.0.0.1:1\"", silent.Addr().String()+"\"", 1), "linked: true", "reflection: true", 1)
	c := exec.Command(os.Args[0], "serve", "--config", write(t, config))
	var out bytes.Buffer
	c.Env, c.Stdout, c.Stderr = append(os.Environ(), programEnv+"=1"), &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() }) // it may have ended
	asks, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = asks.Close() }()
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGTERM} {
		if err := c.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.Wait()
	if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signaled() {
		t.Errorf("%v: %s", c.ProcessState, &out)
	}
}
