package token_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/token"
)

// TestSign verifies a token with nothing but its key set, as RFC 7515 and RFC
// 8037 have it.
func TestSign(t *testing.T) {
	now := time.Date(2026, time.March, 2, 8, 30, 0, 0, time.UTC)
	signed, err := token.Sign(now)
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []struct{ Kty, Crv, Alg, Kid, X string }
	}
	if err := json.Unmarshal(signed.KeySet, &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%v in %s", err, signed.KeySet)
	}
	key := set.Keys[0]
	if key.Kty != "OKP" || key.Crv != "Ed25519" || key.Alg != "EdDSA" {
		t.Errorf("the key is %+v", key)
	}
	parts := strings.Split(signed.Compact, ".")
	if len(parts) != 3 {
		t.Fatalf("the token has %d parts: %s", len(parts), signed.Compact)
	}
	if !ed25519.Verify(decode(t, key.X), []byte(parts[0]+"."+parts[1]), decode(t, parts[2])) {
		t.Error("the signature is not the key's")
	}
	var header struct{ Alg, Kid string }
	if err := json.Unmarshal(decode(t, parts[0]), &header); err != nil || header.Alg != "EdDSA" || header.Kid != key.Kid {
		t.Errorf("header %+v, %v", header, err)
	}
	var claims struct {
		Iss, Aud, Sub string
		Nbf, Exp      int64
	}
	if err := json.Unmarshal(decode(t, parts[1]), &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Iss != token.Issuer || claims.Aud != token.Audience || claims.Sub == "" {
		t.Errorf("claims %+v", claims)
	}
	if claims.Nbf > now.Unix() || claims.Exp < now.Add(time.Hour).Unix() {
		t.Errorf("the token holds from %d to %d, at %d", claims.Nbf, claims.Exp, now.Unix())
	}
}

func decode(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
