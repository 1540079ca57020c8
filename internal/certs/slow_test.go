package certs_test

import (
	"crypto/tls"
	"os"
	"sync"
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/certs"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestHandshakesDoNotWaitForFiles: while a file is read, which takes as long as
// its system likes, connections are made by what was known before.
func TestHandshakesDoNotWaitForFiles(t *testing.T) {
	a, other := gatewaytest.NewAuthority(t), gatewaytest.NewAuthority(t)
	began, answer := make(chan struct{}), make(chan struct{})
	slow := sync.OnceFunc(func() {
		close(began)
		<-answer
	})
	looking := false // set before the only Look
	s, err := certs.New(certs.Options{Read: func(path string) ([]byte, error) {
		if looking && path == a.KeyFile {
			slow()
		}
		return os.ReadFile(path)
	}})
	if err != nil {
		t.Fatal(err)
	}
	address := server(t, kept{Store: s}, a, "")
	replace(t, a.CertFile, other.CertFile)
	replace(t, a.KeyFile, other.KeyFile)
	looking = true
	looked := make(chan error, 1)
	go func() { looked <- s.Look() }()
	gatewaytest.Receive(t, began, "the reading of a file")
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
	close(answer)
	if err := gatewaytest.Receive(t, looked, "the end of the look"); err != nil {
		t.Error(err)
	}
	if _, err := greet(address, &tls.Config{RootCAs: other.Pool}); err != nil {
		t.Errorf("with the new certificate: %v", err)
	}
}
