package auth_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// fixedKeys are published ones, of RFC 8037, appendix A, and of Wycheproof: what
// one worker of the fuzzer finds must mean the same to another.
const fixedKeys = `{"keys":[
	{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
	{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"kid-ec-sign","x":"04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY","y":"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw"}]}`

// FuzzToken looks for a token that is let in and that nobody has signed: the
// fuzzer has no key, so it can make none of another header or payload.
func FuzzToken(f *testing.F) {
	signed := []string{
		"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
		"eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.5cA0OHyMP7ezamUd5c9kV-FrGxdx4hbGXOdplQkutrqWrte5P-pAvsE3Ve6xSyU3YDQwUHjVVOtvcrEbbnZ8yA",
	}
	for _, token := range signed {
		if err := verifySignature([]byte(fixedKeys), nil, token); err != nil {
			f.Fatal(err)
		}
		f.Add(token)
	}
	for _, h := range newIssuer(f).Hostile(time.Now()) {
		if len(h.Value) < 1000 {
			f.Add(strings.TrimPrefix(h.Value, "Bearer "))
		}
	}
	f.Fuzz(func(t *testing.T, token string) {
		if verifySignature([]byte(fixedKeys), nil, token) != nil {
			return
		}
		for _, s := range signed {
			if token[:strings.LastIndexByte(token, '.')] == s[:strings.LastIndexByte(s, '.')] {
				return
			}
		}
		t.Errorf("%q is let in", token)
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
		if err := verifySignature(set, nil, token); err == nil && !json.Valid(set) {
			t.Errorf("%q was taken", set)
		}
	})
}
