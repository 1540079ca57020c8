package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"math/big"
	"slices"
	"strings"
)

// addSignatures has valid tokens whose signature is another.
func (t *table) addSignatures() {
	for _, alg := range each() {
		head, payload, sig := t.segments(alg)
		raw, _ := base64.RawURLEncoding.DecodeString(sig)
		signed := head + "." + payload + "."
		t.token(alg+" signature missing", signed)
		t.token(alg+" signature cut by a byte", signed+b64(raw[:len(raw)-1]))
		t.token(alg+" signature longer by a zero", signed+b64(append(slices.Clip(raw), 0)))
		t.token(alg+" signature after a zero", signed+b64(append([]byte{0}, raw...)))
		t.token(alg+" signature twice", signed+b64(append(slices.Clip(raw), raw...)))
		t.token(alg+" signature of zeros", signed+b64(make([]byte, len(raw))))
		t.token(alg+" signature of ones", signed+b64([]byte(strings.Repeat("\xff", len(raw)))))
		t.token(alg+" first bit of the signature", signed+b64(flipped(raw, 0, 0x80)))
		t.token(alg+" last bit of the signature", signed+b64(flipped(raw, len(raw)-1, 1)))
		t.token(alg+" signature of one byte", signed+"AA")
		t.token(alg+" signature of the text instead of the encoding", signed+b64(t.own.signature(alg, header(alg)+"."+t.payload)))
		t.token(alg+" signature of the payload only", signed+b64(t.own.signature(alg, payload)))
		claims := t.Claims(t.now)
		claims["sub"] = "root"
		other := strings.Split(t.Sign(alg, claims), ".")
		t.token(alg+" signature of another token", signed+other[2])
		t.token(alg+" claims of another token", head+"."+other[1]+"."+sig)
		t.token(alg+" header of another token", b64([]byte(`{"kid":"`+kidOf(alg)+`","alg":"`+alg+`"}`))+"."+payload+"."+sig)
	}
	rs, ps, ec, ed := t.base["RS256"], t.base["PS256"], t.base["ES256"], t.base["EdDSA"]
	for name, pair := range map[string][2]string{
		"RS256 with that of PS256": {rs, ps}, "PS256 with that of RS256": {ps, rs}, "ES256 with that of EdDSA": {ec, ed},
		"EdDSA with that of ES256": {ed, ec}, "RS256 with that of ES256": {rs, ec},
	} {
		to, from := strings.Split(pair[0], "."), strings.Split(pair[1], ".")
		t.token("signatures swapped: "+name, to[0]+"."+to[1]+"."+from[2])
	}
}

func flipped(b []byte, i int, bit byte) []byte {
	c := append([]byte(nil), b...)
	c[i] ^= bit
	return c
}

// addNumbers has signatures that are other numbers.
func (t *table) addNumbers() {
	head, payload, sig := t.segments("ES256")
	raw, _ := base64.RawURLEncoding.DecodeString(sig)
	signed := head + "." + payload
	n := t.own.ec.Curve.Params().N
	r, s := new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])
	zero, one, last := new(big.Int), big.NewInt(1), new(big.Int).Sub(n, big.NewInt(1))
	for name, v := range map[string][2]*big.Int{
		"r = 0": {zero, s}, "s = 0": {r, zero}, "r = s = 1": {one, one}, "r = 1, s = 0": {one, zero}, "r = s = n": {n, n},
		"r = n": {n, s}, "s = n": {r, n}, "r = s = n-1": {last, last}, "r and s swapped": {s, r}, "r negated": {new(big.Int).Sub(n, r), s},
	} {
		t.token("ES256 with "+name, signed+"."+b64(pair(v[0], v[1], 32)))
	}
	t.token("ES256 with r and s of 33 bytes", signed+"."+b64(pair(r, s, 33)))
	t.token("ES256 with s+n, which needs 33 bytes", signed+"."+b64(pair(r, new(big.Int).Add(s, n), 33)))
	digest := sha256.Sum256([]byte(signed))
	der, _ := ecdsa.SignASN1(rand.Reader, t.own.ec, digest[:])
	t.token("ES256 in DER", signed+"."+b64(der))
	t.token("ES256 of a hash with SHA-512", signed+"."+b64(wrongHash(t.own.ec, signed)))

	head, payload, sig = t.segments("ES512")
	raw, _ = base64.RawURLEncoding.DecodeString(sig)
	n = t.own.big.Curve.Params().N
	r, s = new(big.Int).SetBytes(raw[:66]), new(big.Int).SetBytes(raw[66:])
	t.token("ES512 with s+n", head+"."+payload+"."+b64(pair(r, new(big.Int).Add(s, n), 66)))
	t.token("ES512 with r+n", head+"."+payload+"."+b64(pair(new(big.Int).Add(r, n), s, 66)))
	t.token("ES512 with r = s = 0", head+"."+payload+"."+b64(make([]byte, 132)))
	t.token("ES512 in 131 bytes", head+"."+payload+"."+b64(raw[1:]))

	t.token("EdDSA with s+L", t.malleable())
	t.addRSANumbers()
}

func wrongHash(k *ecdsa.PrivateKey, signed string) []byte {
	digest := sha512.Sum512([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
	if err != nil {
		return nil
	}
	return pair(r, s, 32)
}

// malleable is the token of Ed25519 with the order of the group added to s.
func (t *table) malleable() string {
	head, payload, sig := t.segments("EdDSA")
	raw, _ := base64.RawURLEncoding.DecodeString(sig)
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := new(big.Int).Add(new(big.Int).SetBytes(reversed(raw[32:])), order)
	return head + "." + payload + "." + b64(append(raw[:32:32], reversed(s.FillBytes(make([]byte, 32)))...))
}

func reversed(b []byte) []byte {
	c := make([]byte, len(b))
	for i := range b {
		c[len(b)-1-i] = b[i]
	}
	return c
}

func (t *table) addRSANumbers() {
	size, n := rsaBits/8, t.own.rsa.N
	for _, alg := range []string{"RS256", "PS256"} {
		head, payload, sig := t.segments(alg)
		raw, _ := base64.RawURLEncoding.DecodeString(sig)
		for name, v := range map[string]*big.Int{
			"1": big.NewInt(1), "n-1": new(big.Int).Sub(n, big.NewInt(1)), "n": n, "n+1": new(big.Int).Add(n, big.NewInt(1)),
			"n minus the signature": new(big.Int).Sub(n, new(big.Int).SetBytes(raw)),
		} {
			t.token(alg+" signature is "+name, head+"."+payload+"."+b64(v.FillBytes(make([]byte, size))))
		}
		t.token(alg+" signature plus n", head+"."+payload+"."+b64(new(big.Int).Add(n, new(big.Int).SetBytes(raw)).FillBytes(make([]byte, size+1))))
	}
	head, payload, _ := t.segments("RS256")
	long := sha512.Sum512([]byte(head + "." + payload))
	sig, _ := rsa.SignPKCS1v15(nil, t.own.rsa, crypto.SHA512, long[:])
	t.token("RS256 of a hash with SHA-512", head+"."+payload+"."+b64(sig))
	head, payload, _ = t.segments("PS256")
	sum := sha256.Sum256([]byte(head + "." + payload))
	for name, salt := range map[string]int{"a salt of a byte": 1, "a salt of 20 bytes": 20, "the longest salt": rsa.PSSSaltLengthAuto} {
		sig, _ := rsa.SignPSS(rand.Reader, t.own.rsa, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: salt})
		t.token("PS256 with "+name, head+"."+payload+"."+b64(sig))
	}
}
