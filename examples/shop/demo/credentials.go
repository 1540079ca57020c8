package demo

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
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

// customer is who the demo's token is for: one of those who have bought before.
const customer = "bjorn-lund"

// makeCredentials writes the staff's keys and the key set of an issuer, and has
// the issuer sign a token. All but the API keys is made anew at each start.
func (d *Demo) makeCredentials(now time.Time) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	key := map[string]string{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "demo", "x": encoded(public)}
	jwks, err := json.Marshal(map[string]any{"keys": []any{key}})
	if err != nil {
		return err
	}
	keys := fmt.Sprintf("- {id: staff, sha256: %x, scopes: [catalog.write, pricing.write, inventory.write]}\n"+
		"- {id: warehouse, sha256: %x, scopes: [inventory.write]}\n", sha256.Sum256([]byte(staffKey)), sha256.Sum256([]byte(warehouseKey)))
	for name, text := range map[string][]byte{"jwks.json": jwks, "keys.yaml": []byte(keys)} {
		if err := os.WriteFile(filepath.Join(d.dir, name), text, 0o600); err != nil {
			return err
		}
	}
	d.token, err = sign(private, map[string]any{
		"iss": "https://id.shop.example", "aud": "shop", "sub": customer, "exp": now.Add(24 * time.Hour).Unix(),
	})
	return err
}

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
