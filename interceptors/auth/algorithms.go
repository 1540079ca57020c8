package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// algorithm is how one signature algorithm of JWS is verified.
type algorithm struct {
	kty    string
	crv    string // "" where the type has no curves
	hash   crypto.Hash
	verify func(a *algorithm, key any, signed, signature []byte) bool
}

// algorithms are those of RFC 7518, section 3.1, and RFC 8037, but for "none".
var algorithms = map[string]*algorithm{
	"RS256": {"RSA", "", crypto.SHA256, verifyPKCS1},
	"RS384": {"RSA", "", crypto.SHA384, verifyPKCS1},
	"RS512": {"RSA", "", crypto.SHA512, verifyPKCS1},
	"PS256": {"RSA", "", crypto.SHA256, verifyPSS},
	"PS384": {"RSA", "", crypto.SHA384, verifyPSS},
	"PS512": {"RSA", "", crypto.SHA512, verifyPSS},
	"ES256": {"EC", "P-256", crypto.SHA256, verifyECDSA},
	"ES384": {"EC", "P-384", crypto.SHA384, verifyECDSA},
	"ES512": {"EC", "P-521", crypto.SHA512, verifyECDSA},
	"EdDSA": {"OKP", "Ed25519", 0, verifyEd25519},
	"HS256": {"oct", "", crypto.SHA256, verifyHMAC},
	"HS384": {"oct", "", crypto.SHA384, verifyHMAC},
	"HS512": {"oct", "", crypto.SHA512, verifyHMAC},
}

// curves are those of RFC 7518, section 6.2.1.1.
var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

// allowed are the algorithms that an authenticator takes, by name.
type allowed map[string]*algorithm

// parseAlgorithms looks names up.
func parseAlgorithms(names []string) (allowed, error) {
	list := make(allowed, len(names))
	for _, name := range names {
		a := algorithms[name]
		if a == nil {
			return nil, fmt.Errorf("algorithm %q is not known: use some of %s", name, strings.Join(slices.Sorted(maps.Keys(algorithms)), ", "))
		}
		list[name] = a
	}
	return list, nil
}

func (a *algorithm) digest(signed []byte) []byte {
	h := a.hash.New()
	h.Write(signed)
	return h.Sum(nil)
}

func verifyPKCS1(a *algorithm, key any, signed, signature []byte) bool {
	k, ok := key.(*rsa.PublicKey)
	return ok && rsa.VerifyPKCS1v15(k, a.hash, a.digest(signed), signature) == nil
}

// verifyPSS takes a salt as long as the hash, as RFC 7518, section 3.5, has it.
func verifyPSS(a *algorithm, key any, signed, signature []byte) bool {
	k, ok := key.(*rsa.PublicKey)
	return ok && rsa.VerifyPSS(k, a.hash, a.digest(signed), signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
}

// verifyECDSA takes r and s side by side, each as long as the curve's order
// (RFC 7518, section 3.4), and nothing else.
func verifyECDSA(a *algorithm, key any, signed, signature []byte) bool {
	k, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return false
	}
	size := (k.Curve.Params().BitSize + 7) / 8
	if len(signature) != 2*size {
		return false
	}
	var r, s big.Int
	r.SetBytes(signature[:size])
	s.SetBytes(signature[size:])
	return ecdsa.Verify(k, a.digest(signed), &r, &s)
}

func verifyEd25519(_ *algorithm, key any, signed, signature []byte) bool {
	k, ok := key.(ed25519.PublicKey)
	return ok && ed25519.Verify(k, signed, signature)
}

// verifyHMAC takes a secret of its own type, which no public key ever has.
func verifyHMAC(a *algorithm, key any, signed, signature []byte) bool {
	k, ok := key.(secret)
	if !ok || len(k) < a.hash.Size() {
		return false
	}
	mac := hmac.New(a.hash.New, k)
	mac.Write(signed)
	return hmac.Equal(mac.Sum(nil), signature)
}
