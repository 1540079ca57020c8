package live_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// over gives one file the contents of another.
func over(t *testing.T, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		data, err := os.ReadFile(pairs[i+1])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(pairs[i], data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Listeners and upstreams go by what the files say, with no reload of the table.
func TestCertificatesFollowTheirFiles(t *testing.T) {
	f := newFolder(t)
	a, other := gatewaytest.NewAuthority(t), gatewaytest.NewAuthority(t)
	backend := func(by *gatewaytest.Authority) string {
		pool := x509.NewCertPool()
		pem, err := os.ReadFile(by.CAFile)
		if err != nil {
			t.Fatal(err)
		}
		pool.AppendCertsFromPEM(pem)
		return (&shopBackend{}).startWith(t, gatewaytest.ServerTLS(&tls.Config{
			Certificates: []tls.Certificate{by.Server}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		}))
	}
	files := `{cert_file: "` + a.CertFile + `", key_file: "` + a.KeyFile + `"}`
	client := `tls: {ca_file: "` + a.CAFile + `", cert_file: "` + a.ClientCertFile + `", key_file: "` + a.ClientKeyFile + `"}, `
	text := strings.NewReplacer(
		`http: {address: "127.0.0.1:0"}`, `http: {address: "127.0.0.1:0", tls: `+files+`}`,
		`grpc: {address: "127.0.0.1:0"}`, `grpc: {address: "127.0.0.1:0", tls: `+files+`}`, "schema:", client+"schema:",
	).Replace(f.text(backend(other)))
	f.serve(text)
	status := func(pool *x509.CertPool) int {
		c := gatewaytest.Client(t, func(tr *http.Transport) {
			tr.TLSClientConfig, tr.ForceAttemptHTTP2 = &tls.Config{RootCAs: pool}, true
		})
		r := f.Request(t, "GET", "/v1/shelves/a", "")
		r.URL.Scheme = "https"
		resp, err := c.Do(r)
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		if resp.ProtoMajor != 2 {
			t.Errorf("%s", resp.Proto)
		}
		return resp.StatusCode
	}
	if got := status(a.Pool); got != 503 { // the backend is of an authority that is not trusted
		t.Fatalf("at first: %d", got)
	}
	over(t, a.CertFile, other.CertFile) // half of a change
	gatewaytest.Eventually(t, "a certificate that is refused", func() bool {
		return sumOf(t, f.Gateway, "gatehouse_certificate_last_result") == 2
	})
	if got := status(a.Pool); got != 503 {
		t.Errorf("the last good certificate does not stay: %d", got)
	}
	if page := f.admin("/config"); !strings.Contains(page, "does not match") {
		t.Errorf("/config does not say why:\n%s", page)
	}
	over(t, a.KeyFile, other.KeyFile, a.CAFile, other.CAFile, a.ClientCertFile, other.ClientCertFile, a.ClientKeyFile, other.ClientKeyFile)
	gatewaytest.Eventually(t, "the new certificates", func() bool { return status(other.Pool) == 200 })
	if got := status(a.Pool); got != 0 {
		t.Errorf("the old certificate is served yet: %d", got)
	}
	cc := gatewaytest.Dial(t, f.GRPC, &tls.Config{RootCAs: other.Pool})
	if _, err := catalogv1.NewCatalogServiceClient(cc).GetShelf(t.Context(), &catalogv1.GetShelfRequest{Name: "shelves/a"}, grpc.WaitForReady(true)); err != nil {
		t.Errorf("gRPC: %v", err)
	}
	if s := f.status(); s.Trigger != compile.AtStart {
		t.Errorf("the table was built again: %s", s.Trigger)
	}
}
