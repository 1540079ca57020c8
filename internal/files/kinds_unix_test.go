//go:build unix

package files_test

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestNotRegular: nothing is read from what is not a regular file, and nobody
// waits for it.
func TestNotRegular(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for path, want := range map[string]string{pipe: "it is a pipe: want a regular file", at: "it is a socket", "/dev/zero": "it is a device"} {
		got := make(chan map[string]error, 1)
		go func() { got <- tried(path) }()
		for name, err := range gatewaytest.Receive(t, got, path) {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
}
