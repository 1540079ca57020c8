package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"
)

func TestVerifySignature(t *testing.T) {
	i := newIssuer(t)
	token := i.Sign("RS256", map[string]any{"no": "claims"})
	if err := verifySignature(i.JWKS(), nil, token); err != nil {
		t.Error(err)
	}
	head, _, _ := strings.Cut(token, ".")
	for name, err := range map[string]error{
		"algorithm not listed": verifySignature(i.JWKS(), []string{"ES256"}, token),
		"algorithm unknown":    verifySignature(i.JWKS(), []string{"none"}, token),
		"no set":               verifySignature([]byte(`{}`), nil, token),
		"not JSON":             verifySignature([]byte(`x`), nil, token),
		"not compact":          verifySignature(i.JWKS(), nil, head),
		"another set":          verifySignature(newStranger(t).JWKS(), nil, token),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestKeysThatAreNotTaken has one key of each kind of mistake. A set with a good
// key and a bad one serves with the good one only.
func TestKeysThatAreNotTaken(t *testing.T) {
	i := newIssuer(t)
	var good struct{ Keys []map[string]any }
	if err := json.Unmarshal(i.JWKS(), &good); err != nil {
		t.Fatal(err)
	}
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	for _, tc := range []struct {
		name string
		alg  string
		with map[string]any
	}{
		{"for encryption", "ES256", map[string]any{"use": "enc"}},
		{"use is no string", "ES256", map[string]any{"use": 1}},
		{"for signing only", "ES256", map[string]any{"key_ops": []string{"sign"}}},
		{"key_ops is no list", "ES256", map[string]any{"key_ops": "verify"}},
		{"another algorithm", "RS256", map[string]any{"alg": "RS512"}},
		{"algorithm of another type", "ES256", map[string]any{"alg": "RS256"}},
		{"algorithm of another curve", "ES256", map[string]any{"alg": "ES384"}},
		{"algorithm that encrypts", "RS256", map[string]any{"alg": "RSA-OAEP"}},
		{"alg is no string", "ES256", map[string]any{"alg": []string{"ES256"}}},
		{"another type", "ES256", map[string]any{"kty": "RSA"}},
		{"unknown type", "ES256", map[string]any{"kty": "EC2"}},
		{"unknown curve", "ES256", map[string]any{"crv": "P-224"}},
		{"another curve", "ES256", map[string]any{"crv": "P-384"}},
		{"off the curve", "ES256", map[string]any{"x": b64(make([]byte, 32))}},
		{"short coordinate", "ES256", map[string]any{"x": b64(make([]byte, 31))}},
		{"no coordinate", "ES256", map[string]any{"y": nil}},
		{"padded", "ES256", map[string]any{"x": "AA=="}},
		{"private", "ES256", map[string]any{"d": b64(small.X.Bytes())}},
		{"RSA of 1024 bits", "RS256", map[string]any{"n": b64(append([]byte{0xff}, make([]byte, 127)...))}},
		{"RSA of 16384 bits", "RS256", map[string]any{"n": b64(append([]byte{0xff}, make([]byte, 2047)...))}},
		{"even exponent", "RS256", map[string]any{"e": "Ag"}},
		{"exponent 1", "RS256", map[string]any{"e": "AQ"}},
		{"huge exponent", "RS256", map[string]any{"e": "AQAAAAE"}},
		{"Ed25519 too short", "EdDSA", map[string]any{"x": b64(make([]byte, 31))}},
		{"X25519", "EdDSA", map[string]any{"crv": "X25519"}},
		{"as a secret", "RS256", map[string]any{"kty": "oct", "k": b64(make([]byte, 32))}},
		{"kid is a number", "ES256", map[string]any{"kid": 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var keys []map[string]any
			for _, k := range good.Keys {
				c := maps.Clone(k)
				if kidFor[tc.alg] == k["kid"] {
					maps.Copy(c, tc.with)
				}
				keys = append(keys, c)
			}
			set, err := json.Marshal(map[string]any{"keys": keys})
			if err != nil {
				t.Fatal(err)
			}
			if err := verifySignature(set, nil, i.Sign(tc.alg, nil)); err == nil {
				t.Error("the key was taken")
			}
			for alg := range kidFor {
				if alg != tc.alg {
					if err := verifySignature(set, nil, i.Sign(alg, nil)); err != nil {
						t.Errorf("%s: %v", alg, err)
					}
				}
			}
		})
	}
}

var kidFor = map[string]string{"RS256": "rsa-2026", "ES256": "ec-2026", "EdDSA": "ed-2026"}

func TestSecrets(t *testing.T) {
	const token = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImtpZC1hZXMtc2lnbiJ9.Zm9v.TD37p4c_0jmreSrBSDmE0F3mYSPtkZ3WrSyI5wb_KTg" // of Wycheproof
	const secret = `{"kty":"oct","kid":"kid-aes-sign","k":"-ebuDNsVZ2iJtoZ-akfXTSCt4UO2cruLCsbWlBinggE"}`
	const public = `{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	for _, tc := range []struct {
		name, set string
		algs      []string
		ok        bool
	}{
		{"a secret", `{"keys":[` + secret + `]}`, []string{"HS256"}, true},
		{"not by default", `{"keys":[` + secret + `]}`, nil, false},
		{"beside a public key", `{"keys":[` + secret + `,` + public + `]}`, []string{"HS256"}, false},
		{"named twice", `{"keys":[` + secret + `,` + secret + `]}`, []string{"HS256"}, false},
		{"named twice, once not usable", `{"keys":[` + secret + `,{"kty":"oct","kid":"kid-aes-sign","k":"!"}]}`, []string{"HS256"}, false},
		{"name taken by one for encryption", `{"keys":[` + secret + `,{"kty":"oct","kid":"kid-aes-sign","use":"enc","k":"AA"}]}`, []string{"HS256"}, true},
	} {
		if err := verifySignature([]byte(tc.set), tc.algs, token); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// TestUnnamedKeys: without kid the keys that fit are tried, if they are few.
func TestUnnamedKeys(t *testing.T) {
	i := newIssuer(t)
	set := func(n int) []byte {
		var own struct{ Keys []map[string]any }
		if err := json.Unmarshal(i.JWKS(), &own); err != nil {
			t.Fatal(err)
		}
		for range n {
			var other struct{ Keys []map[string]any }
			o, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			p, err := o.PublicKey.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			b64 := base64.RawURLEncoding.EncodeToString
			other.Keys = []map[string]any{{"kty": "EC", "crv": "P-256", "x": b64(p[1:33]), "y": b64(p[33:])}}
			own.Keys = append(other.Keys, own.Keys...)
		}
		b, err := json.Marshal(map[string]any{"keys": own.Keys})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var token string
	for _, v := range i.Valid(time.Now()) {
		if v.Name == "ES256 without kid" {
			token = strings.TrimPrefix(v.Value, "Bearer ")
		}
	}
	if err := verifySignature(set(3), nil, token); err != nil {
		t.Errorf("one of four: %v", err)
	}
	if err := verifySignature(set(4), nil, token); err == nil {
		t.Error("one of five keys was found without a name")
	}
}
