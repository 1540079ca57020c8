package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// What an RSA key may measure. Shorter ones can be broken; longer ones cost the
// verifier more than they protect.
const (
	minRSA = 2048
	maxRSA = 8192
)

// minSecret is the shortest secret that any HMAC algorithm takes.
const minSecret = 32

// secret is a key for HMAC.
type secret []byte

// parseKey reads one key of a set (RFC 7517, section 4) and refuses what is not
// there to verify signatures.
func parseKey(m map[string]any) (*key, error) {
	k := &key{}
	for _, f := range [...]struct {
		name string
		to   *string
	}{{"kty", &k.kty}, {"kid", &k.kid}, {"alg", &k.alg}, {"crv", &k.crv}} {
		v, there := m[f.name]
		s, ok := v.(string)
		if there && !ok {
			return nil, fmt.Errorf("%q is not a string", f.name)
		}
		*f.to = s
	}
	_, k.hasKid = m["kid"]
	if err := checkPurpose(k, m); err != nil {
		return nil, err
	}
	parse := map[string]func(*key, map[string]any) error{"RSA": parseRSA, "EC": parseEC, "OKP": parseOKP, "oct": parseOct}[k.kty]
	if parse == nil {
		return nil, fmt.Errorf("its type %q is not one of RSA, EC, OKP, oct", k.kty)
	}
	if err := parse(k, m); err != nil {
		return nil, err
	}
	if _, ok := m["d"]; ok {
		return nil, errors.New("it is a private key: only its public half belongs here")
	}
	k.seal()
	return k, nil
}

// checkPurpose wants a key that is for signatures, and for an algorithm that its
// type can do.
func checkPurpose(k *key, m map[string]any) error {
	if use, ok := m["use"]; ok && use != "sig" {
		return fmt.Errorf("its use is %q and not \"sig\"", use)
	}
	if ops, ok := m["key_ops"]; ok {
		list, _ := ops.([]any)
		if !slices.Contains(list, any("verify")) {
			return errors.New("its key_ops do not have \"verify\"")
		}
	}
	if k.alg == "Ed25519" { // RFC 9864 has this name for the same
		k.alg = "EdDSA"
	}
	if k.alg == "" {
		return nil
	}
	a := algorithms[k.alg]
	if a == nil || a.kty != k.kty || a.crv != k.crv {
		return fmt.Errorf("its algorithm %q is not for signatures with its type", k.alg)
	}
	return nil
}

func parseRSA(k *key, m map[string]any) error {
	n, err := member(m, "n")
	if err != nil {
		return err
	}
	e, err := member(m, "e")
	if err != nil {
		return err
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	switch bits := modulus.BitLen(); {
	case bits < minRSA || bits > maxRSA:
		return fmt.Errorf("it has %d bits: from %d to %d are taken", bits, minRSA, maxRSA)
	case modulus.Bit(0) == 0 || exponent.Bit(0) == 0 || exponent.BitLen() < 2 || exponent.BitLen() > 31:
		return errors.New("its modulus or exponent is not one of RSA")
	case fromROCA(modulus):
		return errors.New("it is of those that can be factored (CVE-2017-15361)")
	}
	k.public = &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}
	return nil
}

// rocaPrimes are primes modulo which the moduli of faulty chips are powers of
// 65537 (Nemec et al., The Return of Coppersmith's Attack, 2017).
var rocaPrimes = [...]int64{
	3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
	97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
}

func fromROCA(n *big.Int) bool {
	for _, p := range rocaPrimes {
		rest := new(big.Int).Mod(n, big.NewInt(p)).Int64()
		power, found := int64(1), false
		for range p {
			found = found || power == rest
			power = power * 65537 % p
		}
		if !found {
			return false
		}
	}
	return true
}

func parseEC(k *key, m map[string]any) error {
	curve := curves[k.crv]
	if curve == nil {
		return fmt.Errorf("its curve %q is not one of P-256, P-384, P-521", k.crv)
	}
	x, err := member(m, "x")
	if err != nil {
		return err
	}
	y, err := member(m, "y")
	if err != nil {
		return err
	}
	if size := (curve.Params().BitSize + 7) / 8; len(x) != size || len(y) != size {
		return fmt.Errorf("its coordinates do not have %d bytes each", size)
	}
	public, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
	if err != nil {
		return errors.New("it is no point of its curve")
	}
	k.public = public
	return nil
}

func parseOKP(k *key, m map[string]any) error {
	if k.crv != "Ed25519" {
		return fmt.Errorf("its curve %q is not Ed25519", k.crv)
	}
	x, err := member(m, "x")
	if err != nil {
		return err
	}
	if len(x) != ed25519.PublicKeySize {
		return fmt.Errorf("it does not have %d bytes", ed25519.PublicKeySize)
	}
	k.public = ed25519.PublicKey(x)
	return nil
}

// parseOct wants a secret as long as its algorithm's hash (RFC 7518, section 3.2).
func parseOct(k *key, m map[string]any) error {
	b, err := member(m, "k")
	if err != nil {
		return err
	}
	need := minSecret
	if a := algorithms[k.alg]; a != nil {
		need = a.hash.Size()
	}
	if len(b) < need {
		return fmt.Errorf("it has %d bytes: at least %d are needed", len(b), need)
	}
	k.public = secret(b)
	return nil
}

// member is a value in base64url.
func member(m map[string]any, name string) ([]byte, error) {
	s, _ := m[name].(string)
	b, err := decodeSegment(s)
	if err != nil || len(b) == 0 {
		return nil, fmt.Errorf("its %q is not base64url without padding", name)
	}
	return b, nil
}
