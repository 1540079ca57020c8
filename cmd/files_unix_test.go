//go:build unix

package cmd_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse-dev/gatehouse/cmd"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestReloadOfNoFile: a configuration whose path has become something that does
// not end, or never begins, is refused by name, and does not keep the gateway from
// the next reload or from its end.
func TestReloadOfNoFile(t *testing.T) {
	// For good, so that no signal ends the process that comes before the gateway waits
	// for it, or when it does no more.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	config := "reload: {disabled: true}\n" + good
	file := write(t, config)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stderr, done := new(gatewaytest.Log), make(chan int, 1)
	go func() {
		done <- new(cmd.App).Run(ctx, []string{"serve", "--config", file}, io.Discard, stderr)
	}()
	gatewaytest.Eventually(t, "serving", func() bool { return strings.Contains(stderr.String(), "msg=serving ") })
	hangup := func(what, want string) {
		t.Helper()
		gatewaytest.Eventually(t, what+": "+want, func() bool {
			_ = syscall.Kill(os.Getpid(), syscall.SIGHUP)
			return strings.Contains(stderr.String(), want)
		})
	}
	for _, kind := range []struct {
		name, want string
		make       func() error
	}{
		{"a pipe", "it is a pipe: want a regular file", func() error { return syscall.Mkfifo(file, 0o600) }},
		{"a device", "it is a device: want a regular file", func() error { return os.Symlink("/dev/zero", file) }},
		{"a folder", "it is a folder: want a regular file", func() error { return os.Mkdir(file, 0o700) }},
		{"a file of 100 MB", "it is larger than 8 MiB", func() error {
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(file, 100<<20)
		}},
	} {
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
		if err := kind.make(); err != nil {
			t.Fatal(err)
		}
		hangup(kind.name, kind.want)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(config, "timeout: 2s", "timeout: 3s", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	hangup("the file again", "configuration reloaded")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGHUP)
	stop()
	if code := gatewaytest.Receive(t, done, "the end"); code != 0 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// TestFilesThatArePipes: whichever setting names a pipe, it is an error at once.
func TestFilesThatArePipes(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(old, text string) string { return strings.Replace(good, old, fmt.Sprintf(text, pipe), 1) }
	a := gatewaytest.NewAuthority(t)
	for name, config := range map[string]string{
		"image":             with("schema: {linked: true}", "schema: {image: %q}"),
		"HTTP rules":        with("upstream: shop, policy", "upstream: shop, http_file: [%q], policy"),
		"OpenAPI":           fmt.Sprintf("openapi: {file: %q}\n", pipe) + good,
		"substitution":      with("passthrough:///127.0.0.1:1", "passthrough:///${file:%s}"),
		"keys":              fmt.Sprintf("authenticators: [{name: a, api_keys: {file: %q}}]\n", pipe) + good,
		"users":             fmt.Sprintf("authenticators: [{name: a, basic: {file: %q}}]\n", pipe) + good,
		"a key set":         fmt.Sprintf("authenticators: [{name: a, jwt: {issuer: i, audiences: [b], jwks_file: %q}}]\n", pipe) + good,
		"an authority":      with(`schema: {linked: true}`, "schema: {linked: true}, tls: {ca_file: %q}"),
		"certificate":       with(`http: {address: "127.0.0.1:0"}`, `http: {address: "127.0.0.1:0", tls: {cert_file: %q, key_file: `+a.KeyFile+"}}"),
		"key":               with(`http: {address: "127.0.0.1:0"}`, `http: {address: "127.0.0.1:0", tls: {key_file: %q, cert_file: `+a.CertFile+"}}"),
		"the configuration": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := pipe
			if config != "" {
				path = write(t, config)
			}
			done := make(chan string, 1)
			go func() {
				code, _, stderr := run(t, "check", "--config", path)
				done <- fmt.Sprint(code, " ", stderr)
			}()
			if got := gatewaytest.Receive(t, done, "an answer"); !strings.HasPrefix(got, "1 ") || !strings.Contains(got, "it is a pipe") {
				t.Errorf("got %s", got)
			}
		})
	}
}
