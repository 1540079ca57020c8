package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
)

func TestDiscovery(t *testing.T) {
	i := newIssuer(t)
	at := issuer + "/.well-known/openid-configuration"
	doc := func(issuer, keys string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, issuer, keys) }
	for _, tc := range []struct {
		name  string
		pages map[string]string // a page that begins with "to " leads elsewhere
		want  codes.Code
	}{
		{"found", map[string]string{at: doc(issuer, jwksURL), jwksURL: string(i.JWKS())}, codes.OK},
		{"redirected", map[string]string{at: doc(issuer, jwksURL), jwksURL: "to https://keys.example/2", "https://keys.example/2": string(i.JWKS())}, codes.OK},
		{"about another", map[string]string{at: doc("https://evil.example", jwksURL), jwksURL: string(i.JWKS())}, codes.Unavailable},
		{"about another by a slash", map[string]string{at: doc(issuer+"/", jwksURL), jwksURL: string(i.JWKS())}, codes.Unavailable},
		{"about nobody", map[string]string{at: `{"jwks_uri":"` + jwksURL + `"}`, jwksURL: string(i.JWKS())}, codes.Unavailable},
		{"keys in the clear", map[string]string{at: doc(issuer, "http://keys.example/jwks"), "http://keys.example/jwks": string(i.JWKS())}, codes.Unavailable},
		{"keys in a file", map[string]string{at: doc(issuer, "file:///etc/keys")}, codes.Unavailable},
		{"no keys", map[string]string{at: `{"issuer":"` + issuer + `"}`}, codes.Unavailable},
		{"issuer twice", map[string]string{at: `{"issuer":"x",` + doc(issuer, jwksURL)[1:], jwksURL: string(i.JWKS())}, codes.Unavailable},
		{"redirected into the clear", map[string]string{at: doc(issuer, jwksURL), jwksURL: "to http://keys.example/2", "http://keys.example/2": string(i.JWKS())}, codes.Unavailable},
		{"redirected in a circle", map[string]string{at: "to " + at}, codes.Unavailable},
		{"too large", map[string]string{at: doc(issuer, jwksURL), jwksURL: string(i.JWKS()) + strings.Repeat(" ", 1<<20)}, codes.Unavailable},
		{"not JSON", map[string]string{at: "<html>"}, codes.Unavailable},
		{"keys are not JSON", map[string]string{at: doc(issuer, jwksURL), jwksURL: "<html>"}, codes.Unavailable},
		{"a secret", map[string]string{at: doc(issuer, jwksURL), jwksURL: `{"keys":[{"kty":"oct","kid":"ec-2026","k":"` + strings.Repeat("A", 86) + `"}]}`}, codes.Unavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &web{respond: func(_ context.Context, url string) (int, string) {
					page, ok := tc.pages[url]
					if to, elsewhere := strings.CutPrefix(page, "to "); elsewhere {
						return http.StatusFound, to
					}
					if !ok {
						return 404, ""
					}
					return 200, page
				}}
				g := newGate(t, newAuth(t, auth.Options{Transport: w}, discovered()), accept("jwt"))
				wantCode(t, tc.name, g.do(t.Context(), "authorization", "Bearer "+i.Sign("ES256", i.Claims(time.Now()))), tc.want)
			})
		})
	}
}

// TestDefaultTransport discovers an issuer over a network. One in the clear may
// have its keys in the clear.
func TestDefaultTransport(t *testing.T) {
	i := newIssuer(t)
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			w.Write(i.JWKS())
			return
		}
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, server.URL, server.URL+"/keys")
	}))
	defer server.Close()
	one := discovered()
	jwtOf(one).Issuer = server.URL
	g := newGate(t, newAuth(t, auth.Options{}, one), accept("jwt"))
	claims := i.Claims(time.Now())
	claims["iss"] = server.URL
	wantCode(t, "over HTTP", g.do(t.Context(), "authorization", "Bearer "+i.Sign("ES256", claims)), codes.OK)
}
