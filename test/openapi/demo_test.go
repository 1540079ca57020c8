package openapi_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

var serving = regexp.MustCompile(`msg=serving http=(\S+)`)

// startDemo runs the demo of a binary until the test ends, and returns the address of its
// HTTP listener.
func startDemo(t *testing.T, binary string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), binary, "demo", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = time.Minute
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = c.Stdout
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	addresses, ended := make(chan string, 1), make(chan struct{})
	t.Cleanup(func() {
		<-ended
		_ = c.Wait() // it ended by the signal
	})
	go func() {
		defer close(ended)
		defer close(addresses)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if m := serving.FindStringSubmatch(lines.Text()); m != nil {
				addresses <- m[1]
				break
			}
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	address, ok := <-addresses
	if !ok {
		t.Fatal("the demo ended before it served")
	}
	return address
}
