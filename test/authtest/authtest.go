// Package authtest has an issuer of tokens for tests, and the table of hostile
// tokens that no gateway may take. It knows nothing of the policy: tests drive
// it with the table in place and over any protocol.
package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"time"
)

// The kids of an issuer's keys.
const (
	kidRSA = "rsa-2026"
	kidEC  = "ec-2026"
	kid521 = "ec521-2026"
	kidEd  = "ed-2026"
)

const rsaBits = 2048

// keys are one of each kind.
type keys struct {
	rsa     *rsa.PrivateKey
	ec, big *ecdsa.PrivateKey // P-256, P-521
	ed      ed25519.PrivateKey
}

// Issuer signs tokens. It is immutable and safe for concurrent use.
type Issuer struct {
	// Name is its claim iss, and Audience whom its tokens are for.
	Name, Audience string

	own keys
	// foreign are an attacker's: of the same kinds, and in nobody's set.
	foreign keys
}

// New makes an issuer with keys of its own.
func New(name, audience string) (*Issuer, error) {
	own, err := newKeys()
	if err != nil {
		return nil, err
	}
	foreign, err := newKeys()
	if err != nil {
		return nil, err
	}
	return &Issuer{Name: name, Audience: audience, own: own, foreign: foreign}, nil
}

func newKeys() (k keys, err error) {
	if k.rsa, err = rsa.GenerateKey(rand.Reader, rsaBits); err != nil {
		return k, err
	}
	if k.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return k, err
	}
	if k.big, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader); err != nil {
		return k, err
	}
	_, k.ed, err = ed25519.GenerateKey(rand.Reader)
	return k, err
}

// Algorithms are those that the issuer signs with. An authenticator must allow
// all of them for the table to mean what it says.
func Algorithms() []string { return []string{"RS256", "PS256", "ES256", "ES512", "EdDSA"} }

// Claims are those of a token that holds at now and for five minutes.
func (i *Issuer) Claims(now time.Time) map[string]any {
	return map[string]any{
		"iss": i.Name, "aud": i.Audience, "sub": "alice", "scope": "read write",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Unix() + 300,
	}
}

// Sign signs claims with one of Algorithms. The token of another has no
// signature.
func (i *Issuer) Sign(alg string, claims map[string]any) string {
	return i.own.sign(alg, header(alg), encode(claims))
}

// JWKS is the issuer's public key set. No key names its algorithm.
func (i *Issuer) JWKS() []byte { return encodeBytes(map[string]any{"keys": i.own.jwks()}) }

func (k *keys) jwks() []any {
	return []any{
		k.jwkRSA(),
		jwkEC(k.ec, "P-256", kidEC),
		jwkEC(k.big, "P-521", kid521),
		map[string]any{"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kidEd, "x": b64(k.publicEd())},
	}
}

func (k *keys) jwkRSA() map[string]any {
	return map[string]any{
		"kty": "RSA", "use": "sig", "kid": kidRSA, "n": b64(k.rsa.N.Bytes()), "e": b64(big.NewInt(int64(k.rsa.E)).Bytes()),
	}
}

func jwkEC(k *ecdsa.PrivateKey, crv, kid string) map[string]any {
	point, _ := k.PublicKey.Bytes() // fails for no key that was generated
	size := (len(point) - 1) / 2
	return map[string]any{"kty": "EC", "crv": crv, "use": "sig", "kid": kid, "x": b64(point[1 : 1+size]), "y": b64(point[1+size:])}
}

func (k *keys) publicEd() []byte {
	public, _ := k.ed.Public().(ed25519.PublicKey)
	return public
}

// header is the plain one of an algorithm.
func header(alg string) string {
	return encode(map[string]any{"alg": alg, "kid": kidOf(alg), "typ": "JWT"})
}

func kidOf(alg string) string {
	switch alg {
	case "ES256":
		return kidEC
	case "ES512":
		return kid521
	case "EdDSA":
		return kidEd
	default:
		return kidRSA
	}
}

// sign makes a token of any header and payload.
func (k *keys) sign(alg, header, payload string) string {
	signed := b64([]byte(header)) + "." + b64([]byte(payload))
	return signed + "." + b64(k.signature(alg, signed))
}

// signature is nil for an algorithm that is none.
func (k *keys) signature(alg, signed string) []byte {
	var sig []byte
	sum, long := sha256.Sum256([]byte(signed)), sha512.Sum512([]byte(signed))
	switch alg {
	case "RS256":
		sig, _ = rsa.SignPKCS1v15(nil, k.rsa, crypto.SHA256, sum[:]) // a test of valid tokens sees if one fails
	case "RS512":
		sig, _ = rsa.SignPKCS1v15(nil, k.rsa, crypto.SHA512, long[:])
	case "PS256":
		sig, _ = rsa.SignPSS(rand.Reader, k.rsa, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	case "ES256":
		r, s := k.ecdsa(k.ec, sum[:])
		sig = pair(r, s, 32)
	case "ES512":
		r, s := k.ecdsa(k.big, long[:])
		sig = pair(r, s, 66)
	case "EdDSA":
		sig = ed25519.Sign(k.ed, []byte(signed))
	}
	return sig
}

func (k *keys) ecdsa(key *ecdsa.PrivateKey, digest []byte) (r, s *big.Int) {
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		return new(big.Int), new(big.Int)
	}
	return r, s
}

// pair is a signature of ECDSA as JWS has it.
func pair(r, s *big.Int, size int) []byte {
	sig := make([]byte, 2*size)
	r.FillBytes(sig[:size])
	s.FillBytes(sig[size:])
	return sig
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func encode(v any) string { return string(encodeBytes(v)) }

func encodeBytes(v any) []byte {
	b, _ := json.Marshal(v) // of strings and numbers
	return b
}
