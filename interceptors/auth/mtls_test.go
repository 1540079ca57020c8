package auth_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// verified is a connection whose certificate TLS has verified.
func verified(leaf *x509.Certificate) *call.Call {
	return &call.Call{Method: method, TLS: &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}}}
}

func uris(tb testing.TB, list ...string) []*url.URL {
	tb.Helper()
	var out []*url.URL
	for _, s := range list {
		u, err := url.Parse(s)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, u)
	}
	return out
}

func TestCertificates(t *testing.T) {
	billing := pkix.Name{CommonName: "billing", Organization: []string{"Example"}}
	bySubject := &policyv1.Mtls{Subjects: []string{"CN=billing,O=Example"}}
	byName := &policyv1.Mtls{Names: []string{"shop.example.org", "ops@example.org"}}
	byID := &policyv1.Mtls{SpiffeIds: []string{"spiffe://example.org/one", "spiffe://example.org/ns/shop/*"}}
	for _, tc := range []struct {
		name string
		mtls *policyv1.Mtls
		leaf x509.Certificate
		id   string // "" is refused
	}{
		{"subject", bySubject, x509.Certificate{Subject: billing}, "CN=billing,O=Example"},
		{"another subject", bySubject, x509.Certificate{Subject: pkix.Name{CommonName: "billing"}}, ""},
		{"subject with more", bySubject, x509.Certificate{Subject: pkix.Name{CommonName: "billing", Organization: []string{"Example"}, Country: []string{"CH"}}}, ""},
		{"subject in the common name", bySubject, x509.Certificate{Subject: pkix.Name{CommonName: "billing,O=Example"}}, ""},
		{"no subject", &policyv1.Mtls{Subjects: []string{""}}, x509.Certificate{}, ""},
		{"DNS name", byName, x509.Certificate{Subject: billing, DNSNames: []string{"other", "shop.example.org"}}, "CN=billing,O=Example"},
		{"DNS name in another case", byName, x509.Certificate{Subject: billing, DNSNames: []string{"SHOP.example.org"}}, "CN=billing,O=Example"},
		{"DNS name below", byName, x509.Certificate{Subject: billing, DNSNames: []string{"a.shop.example.org"}}, ""},
		{"DNS wildcard", byName, x509.Certificate{Subject: billing, DNSNames: []string{"*.example.org"}}, ""},
		{"e-mail", byName, x509.Certificate{Subject: billing, EmailAddresses: []string{"ops@example.org"}}, "CN=billing,O=Example"},
		{"e-mail in another case", byName, x509.Certificate{Subject: billing, EmailAddresses: []string{"Ops@example.org"}}, ""},
		{"name in the subject", byName, x509.Certificate{Subject: pkix.Name{CommonName: "shop.example.org"}}, ""},
		{"SPIFFE id", byID, x509.Certificate{Subject: billing, URIs: uris(t, "spiffe://example.org/one")}, "spiffe://example.org/one"},
		{"SPIFFE id below", byID, x509.Certificate{URIs: uris(t, "spiffe://example.org/one/two")}, ""},
		{"SPIFFE prefix", byID, x509.Certificate{URIs: uris(t, "spiffe://example.org/ns/shop/a/B")}, "spiffe://example.org/ns/shop/a/B"},
		{"SPIFFE prefix without its slash", byID, x509.Certificate{URIs: uris(t, "spiffe://example.org/ns/shopping/a")}, ""},
		{"SPIFFE prefix left by dots", byID, x509.Certificate{URIs: uris(t, "spiffe://example.org/ns/shop/../admin")}, ""},
		{"SPIFFE prefix with a doubled slash", byID, x509.Certificate{URIs: uris(t, "spiffe://example.org/ns/shop//a")}, ""},
		{"SPIFFE prefix with an escape", byID, x509.Certificate{URIs: uris(t, "spiffe://example.org/ns/shop/%2e%2e")}, ""},
		{"SPIFFE id with a query", byID, x509.Certificate{URIs: uris(t, "spiffe://example.org/one?a=b")}, ""},
		{"SPIFFE id with a fragment", byID, x509.Certificate{URIs: uris(t, "spiffe://example.org/one#a")}, ""},
		{"SPIFFE id with a port", byID, x509.Certificate{URIs: uris(t, "spiffe://example.org:1/one")}, ""},
		{"SPIFFE id with a user", byID, x509.Certificate{URIs: uris(t, "spiffe://a@example.org/one")}, ""},
		{"SPIFFE domain in upper case", byID, x509.Certificate{URIs: uris(t, "spiffe://EXAMPLE.org/one")}, ""},
		{"another scheme", byID, x509.Certificate{URIs: uris(t, "https://example.org/one")}, ""},
		{"two URIs", byID, x509.Certificate{URIs: uris(t, "spiffe://example.org/one", "spiffe://example.org/two")}, ""},
		{"no URI", byID, x509.Certificate{Subject: billing}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.leaf.NotAfter = time.Now().Add(time.Hour)
			a := newAuth(t, auth.Options{}, &policyv1.Authenticator{Name: "mtls", Kind: &policyv1.Authenticator_Mtls{Mtls: tc.mtls}})
			g := newGate(t, a, accept("mtls"))
			want := codes.OK
			if tc.id == "" {
				want = codes.Unauthenticated
			}
			for range 2 {
				wantCode(t, tc.name, g.doAs(t.Context(), verified(&tc.leaf)), want)
				if g.id() != tc.id {
					t.Errorf("caller %q, want %q", g.id(), tc.id)
				}
			}
		})
	}
}

// TestCertificatesWithoutASubject: two clients whose certificates name nobody are not
// one caller.
func TestCertificatesWithoutASubject(t *testing.T) {
	a := newAuth(t, auth.Options{}, &policyv1.Authenticator{Name: "mtls", Kind: &policyv1.Authenticator_Mtls{Mtls: &policyv1.Mtls{Names: []string{"x"}}}})
	g := newGate(t, a, accept("mtls"))
	seen := map[call.Identity]bool{}
	for _, raw := range []string{"one", "another", "one"} {
		leaf := &x509.Certificate{Raw: []byte(raw), DNSNames: []string{"x"}, NotAfter: time.Now().Add(time.Hour)}
		c := verified(leaf)
		wantCode(t, raw, g.doAs(t.Context(), c), codes.OK)
		who, known := c.Caller().Identity()
		if !known || !who.ByCredential || c.Caller().ID != "" {
			t.Errorf("%s: %+v, known %v", raw, who, known)
		}
		seen[who] = true
	}
	if len(seen) != 2 {
		t.Errorf("%d callers, want one for each certificate", len(seen))
	}
}

// TestCertificateEndsWithTheConnectionOpen: TLS looked at the dates only once.
func TestCertificateEndsWithTheConnectionOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuth(t, auth.Options{}, &policyv1.Authenticator{Name: "mtls", Kind: &policyv1.Authenticator_Mtls{Mtls: &policyv1.Mtls{Names: []string{"x"}}}})
		g := newGate(t, a, accept("mtls"))
		leaf := &x509.Certificate{DNSNames: []string{"x"}, Subject: pkix.Name{CommonName: "x"}, NotAfter: time.Now().Add(time.Minute)}
		wantCode(t, "in time", g.doAs(t.Context(), verified(leaf)), codes.OK)
		time.Sleep(time.Minute + 1)
		wantCode(t, "too late", g.doAs(t.Context(), verified(leaf)), codes.Unauthenticated)
	})
}

// TestOneOfTwoKnowsTheCertificate, and what neither knows is refused, though the
// key is right.
func TestOneOfTwoKnowsTheCertificate(t *testing.T) {
	one := func(name, host string) *policyv1.Authenticator {
		return &policyv1.Authenticator{Name: name, Kind: &policyv1.Authenticator_Mtls{Mtls: &policyv1.Mtls{Names: []string{host}}}}
	}
	a := newAuth(t, auth.Options{}, one("a", "a.example"), one("b", "b.example"), keysOf("keys", file(t, oneKey)))
	g := newGate(t, a, accept("keys", "a", "b"))
	for host, want := range map[string]codes.Code{"a.example": codes.OK, "b.example": codes.OK, "c.example": codes.Unauthenticated} {
		leaf := &x509.Certificate{DNSNames: []string{host}, Subject: pkix.Name{CommonName: host}, NotAfter: time.Now().Add(time.Hour)}
		wantCode(t, host, g.doAs(t.Context(), verified(leaf)), want)
		wantCode(t, host+" and a key", g.doAs(t.Context(), verified(leaf), "x-api-key", theKey), want)
		if want == codes.OK && g.id() != "partner" {
			t.Errorf("caller %q, want that of the first accepted", g.id())
		}
	}
}
