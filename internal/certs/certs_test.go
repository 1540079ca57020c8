package certs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-dev/gatehouse/internal/certs"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// kept is a store, and what it tells.
type kept struct {
	*certs.Store
	log *bytes.Buffer
	reg *prometheus.Registry
}

func open(t *testing.T) kept {
	t.Helper()
	k := kept{log: new(bytes.Buffer), reg: prometheus.NewRegistry()}
	var err error
	if k.Store, err = certs.New(certs.Options{Log: slog.New(slog.NewTextHandler(k.log, nil)), Registerer: k.reg}); err != nil {
		t.Fatal(err)
	}
	return k
}

// replace gives one authority's file the contents of another's.
func replace(t *testing.T, file, by string) {
	t.Helper()
	data, err := os.ReadFile(by)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// listen serves TLS until the test ends: it says one byte and hears one.
func listen(t *testing.T, conf *tls.Config) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = c.Write([]byte("!"))
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// greet makes one connection. What a client presents is judged after its own
// handshake is done, so it waits for the first byte.
func greet(address string, conf *tls.Config) (resumed bool, _ error) {
	c, err := tls.Dial("tcp", address, conf)
	if err != nil {
		return false, err
	}
	defer c.Close()
	_, err = c.Read(make([]byte, 1))
	return c.ConnectionState().DidResume, err
}

func server(t *testing.T, s kept, a *gatewaytest.Authority, clientCA string) string {
	t.Helper()
	conf, err := s.Server(certs.ServerFiles{Cert: a.CertFile, Key: a.KeyFile, ClientCA: clientCA, MinVersion: tls.VersionTLS12, Protocols: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	return listen(t, conf)
}

func TestServerFollowsItsCertificate(t *testing.T) {
	a, other := gatewaytest.NewAuthority(t), gatewaytest.NewAuthority(t)
	s := open(t)
	address := server(t, s, a, "")
	trusts := func(pool *x509.CertPool) bool {
		_, err := greet(address, &tls.Config{RootCAs: pool})
		return err == nil
	}
	if !trusts(a.Pool) {
		t.Fatal("the certificate is not what the file says")
	}
	replace(t, a.CertFile, other.CertFile)
	for range 2 { // half of the change: logged once
		if err := s.Look(); err == nil || !strings.Contains(err.Error(), a.CertFile) {
			t.Errorf("a certificate without its key: %v", err)
		}
	}
	if !trusts(a.Pool) {
		t.Error("the last good one does not stay")
	}
	if n := strings.Count(s.log.String(), "cannot be used"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, s.log)
	}
	replace(t, a.KeyFile, other.KeyFile)
	if err := s.Look(); err != nil {
		t.Fatal(err)
	}
	if trusts(a.Pool) || !trusts(other.Pool) {
		t.Error("a new connection does not get the new certificate")
	}
}

func TestServerFollowsClientAuthorities(t *testing.T) {
	a, other := gatewaytest.NewAuthority(t), gatewaytest.NewAuthority(t)
	s := open(t)
	address := server(t, s, a, a.CAFile)
	old := &tls.Config{RootCAs: a.Pool, Certificates: []tls.Certificate{a.Client}, ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	fresh := &tls.Config{RootCAs: a.Pool, Certificates: []tls.Certificate{other.Client}}
	if _, err := greet(address, old); err != nil {
		t.Fatal(err)
	}
	if resumed, err := greet(address, old); err != nil || !resumed {
		t.Errorf("sessions are not resumed: %v %v", resumed, err)
	}
	if _, err := greet(address, fresh); err == nil {
		t.Error("a stranger was let in")
	}
	replace(t, a.CAFile, other.CAFile)
	if err := s.Look(); err != nil {
		t.Fatal(err)
	}
	if _, err := greet(address, fresh); err != nil {
		t.Errorf("of the new authority: %v", err)
	}
	if _, err := greet(address, old); err == nil {
		t.Error("a session of one who is not trusted any more was resumed")
	}
}

func TestClientFollowsItsFiles(t *testing.T) {
	a, other := gatewaytest.NewAuthority(t), gatewaytest.NewAuthority(t)
	pool := x509.NewCertPool()
	data, _ := os.ReadFile(other.CAFile)
	pool.AppendCertsFromPEM(data)
	address := listen(t, &tls.Config{
		Certificates: []tls.Certificate{other.Server}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2"},
	})
	s := open(t)
	c, err := s.Client(certs.ClientFiles{CA: a.CAFile, Cert: a.ClientCertFile, Key: a.ClientKeyFile})
	if err != nil {
		t.Fatal(err)
	}
	creds := c.Credentials()
	handshake := func() error {
		raw, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer raw.Close()
		secured, _, err := creds.ClientHandshake(context.Background(), address, raw)
		if err != nil {
			return err
		}
		_, err = secured.Read(make([]byte, 1))
		return err
	}
	if handshake() == nil {
		t.Error("a server of another authority was trusted")
	}
	replace(t, a.CAFile, other.CAFile)
	if err := s.Look(); err != nil {
		t.Fatal(err)
	}
	if handshake() == nil {
		t.Error("the server took a certificate of another authority")
	}
	replace(t, a.ClientCertFile, other.ClientCertFile)
	replace(t, a.ClientKeyFile, other.ClientKeyFile)
	if err := s.Look(); err != nil {
		t.Fatal(err)
	}
	if err := handshake(); err != nil {
		t.Errorf("with all three renewed: %v", err)
	}
	// The name is checked, also where it is an address.
	wrong, err := s.Client(certs.ClientFiles{CA: a.CAFile, Cert: a.ClientCertFile, Key: a.ClientKeyFile, ServerName: "elsewhere.example"})
	if err != nil {
		t.Fatal(err)
	}
	for _, conf := range []*tls.Config{wrong.Config()} {
		if _, err := greet(address, conf); err == nil {
			t.Error("a server by another name was trusted")
		}
	}
}

// series are all values told, by metric and file.
func (k kept) series(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := k.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			all[f.GetName()+" "+m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	return all
}

func TestMetrics(t *testing.T) {
	a := gatewaytest.NewAuthority(t)
	s := open(t)
	c, err := s.Client(certs.ClientFiles{CA: a.CAFile, Cert: a.ClientCertFile, Key: a.ClientKeyFile})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.CAFile, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Look(); err == nil {
		t.Error("a file without a certificate was taken")
	}
	leaf, err := x509.ParseCertificate(a.Client.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	ends := float64(leaf.NotAfter.Unix())
	got := s.series(t)
	for name, want := range map[string]float64{
		"gatehouse_certificate_last_result " + a.CAFile: 0, "gatehouse_certificate_last_result " + a.ClientCertFile: 1,
		"gatehouse_certificate_expiry_timestamp_seconds " + a.ClientCertFile: ends,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
	c.Release()
	if got := s.series(t); len(got) != 0 {
		t.Errorf("told of what nobody uses: %v", got)
	}
}

func TestWrongFiles(t *testing.T) {
	a := gatewaytest.NewAuthority(t)
	s := open(t)
	for _, f := range []certs.ServerFiles{
		{Cert: a.CertFile, Key: a.ClientKeyFile}, {Cert: "/nowhere", Key: a.KeyFile}, {Cert: a.CertFile, Key: a.KeyFile, ClientCA: a.KeyFile},
	} {
		if _, err := s.Server(f); err == nil {
			t.Errorf("%+v was taken", f)
		}
	}
	if _, err := s.Client(certs.ClientFiles{CA: a.CAFile, Cert: a.CertFile, Key: a.CAFile}); err == nil {
		t.Error("a key that is none was taken")
	}
	if got := s.series(t); len(got) != 0 {
		t.Errorf("told of what was refused: %v", got)
	}
}
