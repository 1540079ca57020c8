package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
)

// The demo's API keys. They open nothing but the demo.
const (
	staffKey     = "demo-staff"     // may change everything
	warehouseKey = "demo-warehouse" // may change the stock only
)

// customer is who the demo's token is for: one of those who have bought before.
const customer = "bjorn-lund"

// credentials are what the demo's clients show, made anew at each start.
type credentials struct {
	dir   string // of the files that the configuration names
	token string // of the customer
}

// newCredentials writes the staff's keys and the key set of an issuer, and has
// the issuer sign a token. The caller removes dir.
func newCredentials(now time.Time) (*credentials, error) {
	dir, err := os.MkdirTemp("", "gatehouse-demo-")
	if err != nil {
		return nil, fmt.Errorf("a folder for the demo's credentials: %w", err)
	}
	c := &credentials{dir: dir}
	if err := c.make(now); err != nil {
		return nil, errors.Join(err, c.remove())
	}
	return c, nil
}

func (c *credentials) make(now time.Time) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	key := map[string]string{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "demo", "x": encoded(public)}
	jwks, err := json.Marshal(map[string]any{"keys": []any{key}})
	if err != nil {
		return err
	}
	keys := fmt.Sprintf("- {id: staff, sha256: %s, scopes: [catalog.write, pricing.write, inventory.write]}\n"+
		"- {id: warehouse, sha256: %s, scopes: [inventory.write]}\n", auth.HashKey(staffKey), auth.HashKey(warehouseKey))
	for name, text := range map[string][]byte{"jwks.json": jwks, "keys.yaml": []byte(keys)} {
		if err := os.WriteFile(filepath.Join(c.dir, name), text, 0o600); err != nil {
			return err
		}
	}
	c.token, err = sign(private, map[string]any{
		"iss": "https://id.shop.example", "aud": "shop", "sub": customer, "exp": now.Add(24 * time.Hour).Unix(),
	})
	return err
}

func (c *credentials) remove() error { return os.RemoveAll(c.dir) }

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

// config is where the demo's configuration is written.
func (c *credentials) config() string { return filepath.Join(c.dir, "gatehouse.yaml") }
