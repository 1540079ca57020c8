//go:build unix

package certs_test

import (
	"crypto/tls"
	"os"
	"syscall"
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/gatewaytest"
)

// TestHandshakesDoNotWaitForFiles: while a file is read, which takes as long as
// its system likes, connections are made by what was known before.
func TestHandshakesDoNotWaitForFiles(t *testing.T) {
	a, other := gatewaytest.NewAuthority(t), gatewaytest.NewAuthority(t)
	s := open(t)
	address := server(t, s, a, "")
	replace(t, a.CertFile, other.CertFile)
	if err := os.Remove(a.KeyFile); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(a.KeyFile, 0o600); err != nil {
		t.Fatal(err)
	}
	looked := make(chan error, 1)
	go func() { looked <- s.Look() }()
	w, err := os.OpenFile(a.KeyFile, os.O_WRONLY, 0) // returns when Look has it open too
	if err != nil {
		t.Fatal(err)
	}
	greeted := make(chan error, 1)
	go func() {
		_, err := greet(address, &tls.Config{RootCAs: a.Pool})
		greeted <- err
	}()
	if err := gatewaytest.Receive(t, greeted, "a connection while a file is read"); err != nil {
		t.Error(err)
	}
	if states := s.States(); len(states) != 1 {
		t.Errorf("%d states", len(states))
	}
	key, err := os.ReadFile(other.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(key); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gatewaytest.Receive(t, looked, "the end of the look"); err != nil {
		t.Error(err)
	}
	if _, err := greet(address, &tls.Config{RootCAs: other.Pool}); err != nil {
		t.Errorf("with the new certificate: %v", err)
	}
}
