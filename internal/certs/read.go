package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"
)

type sum = [sha256.Size]byte

func sumOf(data [][]byte) sum { return sha256.Sum256(bytes.Join(data, []byte{0})) }

// readPair makes the reader of a certificate with its chain, and its key. While
// one of them has been replaced and the other not yet, they do not fit, which is
// an error.
func readPair(certFile, keyFile string) func([][]byte) (*material, error) {
	return func(data [][]byte) (*material, error) {
		pair, err := tls.X509KeyPair(data[0], data[1])
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
		}
		m := &material{pair: &pair}
		for _, der := range pair.Certificate {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, fmt.Errorf("certificate %s: %w", certFile, err)
			}
			m.ends = sooner(m.ends, c.NotAfter)
		}
		return m, nil
	}
}

// readPool makes the reader of authorities.
func readPool(file string) func([][]byte) (*material, error) {
	return func(data [][]byte) (*material, error) {
		m := &material{pool: x509.NewCertPool()}
		n := 0
		for block, rest := pem.Decode(data[0]); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				continue
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("certificate %d in %s: %w", n+1, file, err)
			}
			m.pool.AddCert(c)
			m.ends = sooner(m.ends, c.NotAfter)
			n++
		}
		if n == 0 {
			return nil, fmt.Errorf("%s holds no certificate: want PEM", file)
		}
		return m, nil
	}
}

// sooner is the earlier of two times; none is later than any.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
