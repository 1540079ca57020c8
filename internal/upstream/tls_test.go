package upstream_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"

	"github.com/gatehouse-dev/gatehouse/internal/upstream"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// secured is a server that asks for certificates of either authority, and ends
// connections soon, so that there are always new ones.
func secured(server *gatewaytest.Authority, clients *x509.CertPool) []grpc.ServerOption {
	return []grpc.ServerOption{
		gatewaytest.ServerTLS(&tls.Config{
			Certificates: []tls.Certificate{server.Server}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
		}),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 50 * time.Millisecond, MaxConnectionAgeGrace: time.Second}),
	}
}

// TestChangedCertificate: a configuration of TLS whose functions give another
// certificate, or another verdict, does so for the next connections.
func TestChangedCertificate(t *testing.T) {
	t.Parallel()
	first, second := gatewaytest.NewAuthority(t), gatewaytest.NewAuthority(t)
	clients := x509.NewCertPool()
	for _, a := range []*gatewaytest.Authority{first, second} {
		ca, err := x509.ParseCertificate(a.Client.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		clients.AddCert(ca) // the leaf itself is trusted
	}
	var shown atomic.Pointer[[]byte]
	server := append(secured(first, clients), grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		p, _ := peer.FromContext(ss.Context())
		shown.Store(&p.AuthInfo.(credentials.TLSInfo).State.PeerCertificates[0].Raw)
		return next(srv, ss)
	}))
	all := fleet(t, 2, server...)
	var certificate atomic.Pointer[tls.Certificate]
	certificate.Store(&first.Client)
	var distrust atomic.Bool
	o := options(all)
	o.Credentials = credentials.NewTLS(&tls.Config{
		RootCAs: first.Pool, MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate.Load(), nil },
		VerifyConnection: func(tls.ConnectionState) error {
			if distrust.Load() {
				return errors.New("not any more")
			}
			return nil
		},
	})
	up := dial(t, o)
	sees := func(want tls.Certificate) func() bool {
		return func() bool { return send(t.Context(), up) == nil && bytes.Equal(*shown.Load(), want.Certificate[0]) }
	}
	gatewaytest.Eventually(t, "calls with the first certificate", sees(first.Client))
	certificate.Store(&second.Client)
	gatewaytest.Eventually(t, "calls with the second certificate", sees(second.Client))
	distrust.Store(true)
	gatewaytest.Eventually(t, "the end of trust", func() bool { return fails(t.Context(), up) })
	distrust.Store(false)
	gatewaytest.Eventually(t, "trust again", sees(second.Client))
}

func fails(ctx context.Context, up *upstream.Upstream) bool {
	err := send(ctx, up)
	return err != nil && strings.Contains(err.Error(), "is unavailable")
}

// TestNamesInCertificates: replicas told one by one are each held to their own
// address, unless another name is told.
func TestNamesInCertificates(t *testing.T) {
	t.Parallel()
	a := gatewaytest.NewAuthority(t)
	all := fleet(t, 2, gatewaytest.ServerTLS(&tls.Config{Certificates: []tls.Certificate{a.Server}, MinVersion: tls.VersionTLS12}))
	o := options(all)
	o.Credentials = credentials.NewTLS(&tls.Config{RootCAs: a.Pool, MinVersion: tls.VersionTLS12})
	settle(t, dial(t, o), all, 0, 1)
	o.Credentials, o.ServerName = credentials.NewTLS(&tls.Config{RootCAs: a.Pool, MinVersion: tls.VersionTLS12}), "127.0.0.1"
	settle(t, dial(t, o), all, 0, 1)
	o.Authority = "shop.example.com" // is not what certificates are for, then
	settle(t, dial(t, o), all, 0, 1)
	if got := all[0].last().Get(":authority"); !slices.Equal(got, []string{"shop.example.com"}) {
		t.Errorf("authority = %v", got)
	}
	o.Credentials, o.ServerName = credentials.NewTLS(&tls.Config{RootCAs: a.Pool, MinVersion: tls.VersionTLS12}), "catalog.example.com"
	up := dial(t, o)
	gatewaytest.Eventually(t, "the refusal", func() bool { return fails(t.Context(), up) })
}
