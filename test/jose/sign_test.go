package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes that algorithms name
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"
	"time"
)

// neighbours are keys that the gateway can use, for beside those that it cannot:
// without any it would not start. One is for beside secrets.
var neighbours = map[bool]jwk{
	false: { // of RFC 7515, appendix A.3
		"kty": "EC", "crv": "P-256", "kid": "neighbour", "alg": "ES256",
		"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
		"d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
	},
	true: { // of RFC 7515, appendix A.1
		"kty": "oct", "kid": "neighbour", "alg": "HS256",
		"k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
	},
}

// sign makes a token with claims that the gateway takes, by a private key. The
// algorithm is the key's, or the usual one of its type.
func sign(t *testing.T, k jwk) string {
	t.Helper()
	alg, _ := k["alg"].(string)
	if alg == "" {
		alg = map[any]string{"RSA": "PS384", "EC": "ES512"}[k["kty"]]
	}
	header := encode(t, map[string]any{"alg": alg, "kid": k["kid"]})
	claims := encode(t, map[string]any{"iss": issuer, "aud": audience, "sub": "alice", "exp": time.Now().Add(time.Hour).Unix()})
	signed := header + "." + claims
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[2:]]
	h := hash.New()
	h.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature(t, k, alg, hash, h.Sum(nil), signed))
}

func signature(t *testing.T, k jwk, alg string, hash crypto.Hash, digest []byte, signed string) []byte {
	t.Helper()
	var sig []byte
	var err error
	switch alg[:2] {
	case "RS":
		sig, err = rsa.SignPKCS1v15(nil, rsaKey(t, k), hash, digest)
	case "PS":
		sig, err = rsa.SignPSS(rand.Reader, rsaKey(t, k), hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	case "ES":
		sig, err = signECDSA(t, k, digest)
	case "HS":
		mac := hmac.New(hash.New, member(t, k, "k"))
		mac.Write([]byte(signed))
		sig = mac.Sum(nil)
	default:
		t.Fatalf("the test cannot sign with %s", alg)
	}
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func rsaKey(t *testing.T, k jwk) *rsa.PrivateKey {
	t.Helper()
	number := func(name string) *big.Int { return new(big.Int).SetBytes(member(t, k, name)) }
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: number("n"), E: int(number("e").Int64())},
		D:         number("d"), Primes: []*big.Int{number("p"), number("q")},
	}
	key.Precompute()
	return key
}

func signECDSA(t *testing.T, k jwk, digest []byte) ([]byte, error) {
	t.Helper()
	curve := map[any]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[k["crv"]]
	key, err := ecdsa.ParseRawPrivateKey(curve, member(t, k, "d"))
	if err != nil {
		return nil, err
	}
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		return nil, err
	}
	size := (curve.Params().BitSize + 7) / 8
	sig := make([]byte, 2*size)
	r.FillBytes(sig[:size])
	s.FillBytes(sig[size:])
	return sig, nil
}

func member(t *testing.T, k jwk, name string) []byte {
	t.Helper()
	text, _ := k[name].(string)
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) == 0 {
		t.Fatalf("key %v: %s is not base64url", k["kid"], name)
	}
	return b
}

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}
