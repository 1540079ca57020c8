package server_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// secured serves TLS everywhere, with client certificates if clientCA is set.
func secured(a *gatewaytest.Authority, clientCA string, version configv1.ServerTls_Version) gatewaytest.Change {
	return func(c *configv1.Config) {
		files := &configv1.ServerTls{CertFile: a.CertFile, KeyFile: a.KeyFile, ClientCaFile: clientCA, MinVersion: version}
		c.Listeners.Http.Tls, c.Listeners.Grpc.Tls, c.Listeners.Admin.Tls = files, files, files
	}
}

// over makes a client speak TLS with conf, and HTTP/2 if that is what both like.
func over(conf *tls.Config) func(*http.Transport) {
	return func(tr *http.Transport) { tr.TLSClientConfig, tr.ForceAttemptHTTP2 = conf, true }
}

func TestTLS(t *testing.T) {
	t.Parallel()
	a := gatewaytest.NewAuthority(t)
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, taking), secured(a, "", 0)))
	for name, tc := range map[string]struct {
		protocols []string
		want      string
	}{"h2": {[]string{"h2", "http/1.1"}, "HTTP/2.0"}, "http/1.1": {[]string{"http/1.1"}, "HTTP/1.1"}} {
		conf := &tls.Config{RootCAs: a.Pool, NextProtos: tc.protocols}
		client := gatewaytest.Client(t, over(conf), func(tr *http.Transport) { tr.ForceAttemptHTTP2 = name == "h2" })
		for _, address := range []string{g.HTTP, g.Admin} {
			r := g.Request(t, "GET", "/v1/products/boots", "")
			if address == g.Admin {
				r.URL.Path = "/livez"
			}
			r.URL.Scheme, r.URL.Host = "https", address
			if got := gatewaytest.Do(t, client, r); got.StatusCode != 200 || got.Proto != tc.want {
				t.Errorf("%s %s: got %s %s", name, r.URL.Path, got.Proto, got.Status)
			}
		}
	}
	if got := gatewaytest.Raw(t, g.HTTP, "GET /v1/products/boots HTTP/1.1\r\nHost: a\r\n\r\n", true); strings.Contains(got, "200 OK") {
		t.Errorf("served in the clear: %q", got)
	}
}

func TestTLSVersions(t *testing.T) {
	t.Parallel()
	a := gatewaytest.NewAuthority(t)
	backend := gatewaytest.Backend(t, taking)
	old := gatewaytest.Start(t, gatewaytest.Config(backend, secured(a, "", 0)))
	strict := gatewaytest.Start(t, gatewaytest.Config(backend, secured(a, "", configv1.ServerTls_VERSION_1_3)))
	for _, tc := range []struct {
		g       *gatewaytest.Gateway
		version uint16
		ok      bool
	}{{old, tls.VersionTLS11, false}, {old, tls.VersionTLS12, true}, {old, tls.VersionTLS13, true}, {strict, tls.VersionTLS12, false}, {strict, tls.VersionTLS13, true}} {
		for _, address := range []string{tc.g.HTTP, tc.g.GRPC, tc.g.Admin} {
			c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: a.Pool, MinVersion: tc.version, MaxVersion: tc.version, NextProtos: []string{"h2"}})
			if (err == nil) != tc.ok {
				t.Errorf("%s: %v, want ok %v", tls.VersionName(tc.version), err, tc.ok)
			}
			if err == nil {
				_ = c.Close()
			}
		}
	}
}

// TestClientCertificates: with client_ca_file a client must show a certificate
// of that authority.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	a, other := gatewaytest.NewAuthority(t), gatewaytest.NewAuthority(t)
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, taking), secured(a, a.CAFile, 0)))
	for _, tc := range []struct {
		name string
		cert []tls.Certificate
		ok   bool
	}{{"none", nil, false}, {"of another authority", []tls.Certificate{other.Client}, false}, {"of this authority", []tls.Certificate{a.Client}, true}} {
		t.Run(tc.name, func(t *testing.T) {
			conf := &tls.Config{RootCAs: a.Pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(tc.cert) == 0 {
					return new(tls.Certificate), nil
				}
				return &tc.cert[0], nil
			}}
			r := g.Request(t, "GET", "/v1/products/boots", "")
			r.URL.Scheme = "https"
			resp, err := gatewaytest.Client(t, over(conf)).Do(r)
			if (err == nil) != tc.ok {
				t.Errorf("REST: %v, want ok %v", err, tc.ok)
			}
			if err == nil {
				_ = resp.Body.Close()
			}
			for _, address := range []string{g.GRPC, g.HTTP} {
				_, err := catalogv1.NewCatalogServiceClient(gatewaytest.Dial(t, address, conf)).GetProduct(t.Context(), &catalogv1.GetProductRequest{})
				if code := status.Code(err); (code == codes.OK) != tc.ok {
					t.Errorf("gRPC: %v, want ok %v", err, tc.ok)
				}
			}
		})
	}
}

// TestUpstreamTLS speaks TLS to a backend that asks for a certificate.
func TestUpstreamTLS(t *testing.T) {
	t.Parallel()
	a := gatewaytest.NewAuthority(t)
	backend := gatewaytest.Backend(t, taking, gatewaytest.ServerTLS(&tls.Config{
		Certificates: []tls.Certificate{a.Server}, ClientCAs: a.Pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}))
	for _, tc := range []struct {
		name string
		tls  *configv1.UpstreamTls
		want int
	}{
		{"both certificates", &configv1.UpstreamTls{CaFile: a.CAFile, CertFile: a.ClientCertFile, KeyFile: a.ClientKeyFile, ServerName: "127.0.0.1"}, 200},
		{"none of our own", &configv1.UpstreamTls{CaFile: a.CAFile, ServerName: "127.0.0.1"}, 503},
		{"an authority that is not known", &configv1.UpstreamTls{CertFile: a.ClientCertFile, KeyFile: a.ClientKeyFile, ServerName: "127.0.0.1"}, 503},
		{"another name", &configv1.UpstreamTls{CaFile: a.CAFile, CertFile: a.ClientCertFile, KeyFile: a.ClientKeyFile, ServerName: "catalog"}, 503},
		{"in the clear", nil, 503},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := gatewaytest.Start(t, gatewaytest.Config(backend, func(c *configv1.Config) { c.Upstreams[0].Tls = tc.tls }))
			got := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", "/v1/products/boots", ""))
			if got.StatusCode != tc.want || strings.Contains(got.Text, "x509") || strings.Contains(got.Text, "tls") {
				t.Errorf("got %d %s, want %d", got.StatusCode, got.Text, tc.want)
			}
		})
	}
}
