// Package token signs the bearer token that every request of the benchmark
// carries, so that the contender that verifies it and those that do not read the
// same bytes.
package token

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// What a verifier must be told.
const (
	Issuer   = "https://id.bench.example"
	Audience = "shop"
)

// keyID tells the key in the set.
const keyID = "bench"

// lifetime outlasts every run.
const lifetime = 24 * time.Hour

// Signed is a token with the key that it is verified with.
type Signed struct {
	Compact string // as it stands behind "Bearer "
	KeySet  []byte // the public key, a JWK Set (RFC 7517)
}

// Sign makes a key and signs one token with it: EdDSA with Ed25519 (RFC 8037),
// in the compact serialisation (RFC 7515).
func Sign(now time.Time) (Signed, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return Signed{}, fmt.Errorf("make a key for the token: %w", err)
	}
	header, err := segment(map[string]any{"alg": "EdDSA", "typ": "JWT", "kid": keyID})
	if err != nil {
		return Signed{}, err
	}
	claims, err := segment(map[string]any{
		"iss": Issuer, "aud": Audience, "sub": "customers/ada-lovelace", "scope": "catalog.read orders.write",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(lifetime).Unix(),
	})
	if err != nil {
		return Signed{}, err
	}
	set, err := json.Marshal(map[string]any{"keys": []map[string]any{{
		"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": keyID, "x": encode(public),
	}}})
	if err != nil {
		return Signed{}, fmt.Errorf("write the key of the token: %w", err)
	}
	signed := header + "." + claims
	return Signed{Compact: signed + "." + encode(ed25519.Sign(private, []byte(signed))), KeySet: set}, nil
}

func segment(members map[string]any) (string, error) {
	b, err := json.Marshal(members)
	if err != nil {
		return "", fmt.Errorf("write the token: %w", err)
	}
	return encode(b), nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
