package auth_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
)

// FuzzToken looks for a token that is let in and that the issuer did not sign: the
// fuzzer has no key, so it can make none of another header or other claims.
func FuzzToken(f *testing.F) {
	i := newIssuer(f)
	signed := map[string]bool{}
	part := func(token string) string { return token[:strings.LastIndexByte(token, '.')+1] }
	for _, v := range i.Valid(time.Now()) {
		token := strings.TrimPrefix(v.Value, "Bearer ")
		signed[part(token)] = true
		f.Add(token)
	}
	for _, h := range i.Hostile(time.Now()) {
		if len(h.Value) < 2000 && !strings.Contains(h.Name, "well signed") {
			f.Add(strings.TrimPrefix(h.Value, "Bearer "))
			if auth.VerifySignature(i.JWKS(), nil, strings.TrimPrefix(h.Value, "Bearer ")) == nil { // its claims are what is hostile
				signed[part(strings.TrimPrefix(h.Value, "Bearer "))] = true
			}
		}
	}
	f.Fuzz(func(t *testing.T, token string) {
		if auth.VerifySignature(i.JWKS(), nil, token) == nil && !signed[part(token)] {
			t.Errorf("%q is let in", token)
		}
	})
}

// FuzzKeys looks for key sets that panic, and for ones that are taken though they
// are not JSON.
func FuzzKeys(f *testing.F) {
	i := newIssuer(f)
	f.Add(i.JWKS())
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AA","use":"sig"},{"kty":"RSA","n":"AQ","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"","y":""}]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"\ud83d\ude00"}],"keys":1}`))
	token := i.Sign("ES256", nil)
	f.Fuzz(func(t *testing.T, set []byte) {
		if err := auth.VerifySignature(set, nil, token); err == nil && !json.Valid(set) {
			t.Errorf("%q was taken", set)
		}
	})
}
