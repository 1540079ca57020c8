package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// The demo's API keys. They open nothing but the demo.
const (
	staffKey     = "demo-staff"     // may change everything
	warehouseKey = "demo-warehouse" // may change the stock only
)

// credentials are what the demo's clients show, made anew at each start.
type credentials struct {
	dir   string // of the files that the configuration names
	token string // of the customer Ada
}

// newCredentials writes the staff's keys and the key set of an issuer, and has
// the issuer sign a token. The caller removes dir.
func newCredentials(now time.Time) (*credentials, error) {
	dir, err := os.MkdirTemp("", "gatehouse-demo-")
	if err != nil {
		return nil, fmt.Errorf("a folder for the demo's credentials: %w", err)
	}
	c := &credentials{dir: dir}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	key := map[string]string{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "demo", "x": encoded(public)}
	jwks, err := json.Marshal(map[string]any{"keys": []any{key}})
	if err != nil {
		return nil, err
	}
	keys := fmt.Sprintf("- {id: staff, sha256: %s, scopes: [catalog.write, pricing.write, inventory.write]}\n- {id: warehouse, sha256: %s, scopes: [inventory.write]}\n",
		hashed(staffKey), hashed(warehouseKey))
	for name, text := range map[string][]byte{"jwks.json": jwks, "keys.yaml": []byte(keys)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	c.token, err = sign(private, map[string]any{
		"iss": "https://id.shop.example", "aud": "shop", "sub": "ada-lovelace", "exp": now.Add(24 * time.Hour).Unix(),
	})
	return c, err
}

func (c *credentials) remove() { _ = os.RemoveAll(c.dir) }

// sign makes a token (RFC 7519).
func sign(key ed25519.PrivateKey, claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := encoded([]byte(`{"alg":"EdDSA","kid":"demo"}`)) + "." + encoded(payload)
	return text + "." + encoded(ed25519.Sign(key, []byte(text))), nil
}

func encoded(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func hashed(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}
