package gatewaytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// Authority is a certificate authority with one server's and one client's
// certificate, in files and ready to use.
type Authority struct {
	CAFile, CertFile, KeyFile string // the server's
	ClientCertFile            string
	ClientKeyFile             string
	Pool                      *x509.CertPool
	Client, Server            tls.Certificate
}

// NewAuthority makes an authority whose server is 127.0.0.1.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	folder := t.TempDir()
	caKey, ca := newKey(t), template(1)
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER := sign(t, ca, ca, caKey, caKey)
	a := &Authority{
		CAFile: filepath.Join(folder, "ca.pem"), CertFile: filepath.Join(folder, "cert.pem"), KeyFile: filepath.Join(folder, "key.pem"),
		ClientCertFile: filepath.Join(folder, "client.pem"), ClientKeyFile: filepath.Join(folder, "client-key.pem"),
		Pool: x509.NewCertPool(),
	}
	caPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	a.Pool.AppendCertsFromPEM(caPEM)
	writeFile(t, a.CAFile, caPEM)
	certPEM, keyPEM := leaf(t, 2, x509.ExtKeyUsageServerAuth, ca, caKey)
	writeFile(t, a.CertFile, certPEM)
	writeFile(t, a.KeyFile, keyPEM)
	a.Server = pair(t, certPEM, keyPEM)
	certPEM, keyPEM = leaf(t, 3, x509.ExtKeyUsageClientAuth, ca, caKey)
	writeFile(t, a.ClientCertFile, certPEM)
	writeFile(t, a.ClientKeyFile, keyPEM)
	a.Client = pair(t, certPEM, keyPEM)
	return a
}

// ServerTLS makes a backend speak TLS.
func ServerTLS(conf *tls.Config) grpc.ServerOption { return grpc.Creds(credentials.NewTLS(conf)) }

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func template(serial int64) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "gatehouse test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
}

func leaf(t testing.TB, serial int64, usage x509.ExtKeyUsage, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (certPEM, keyPEM []byte) {
	t.Helper()
	key, cert := newKey(t), template(serial)
	cert.KeyUsage, cert.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{usage}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sign(t, cert, ca, key, caKey)}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

func sign(t testing.TB, cert, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pair(t testing.TB, certPEM, keyPEM []byte) tls.Certificate {
	t.Helper()
	c, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func writeFile(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
