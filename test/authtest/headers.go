package authtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"hash"
	"strings"
)

// addAlgorithms has tokens without a signature, and with algorithms that are not
// allowed or none at all.
func (t *table) addAlgorithms() {
	for _, none := range []string{"none", "None", "NONE", "nOnE", "none ", "", "null"} {
		head := encode(map[string]any{"alg": none, "kid": kidRSA})
		signed := b64([]byte(head)) + "." + b64([]byte(t.payload))
		t.token(fmt.Sprintf("alg %q without signature", none), signed+".")
		_, _, sig := t.segments("RS256")
		t.token(fmt.Sprintf("alg %q with another's signature", none), signed+"."+sig)
	}
	t.token("alg none, escaped", b64([]byte(`{"alg":"\u006eone"}`))+"."+b64([]byte(t.payload))+".")
	t.token("alg none without the last dot", b64([]byte(`{"alg":"none"}`))+"."+b64([]byte(t.payload)))
	t.token("alg that is not allowed, well signed",
		t.own.sign("RS512", `{"alg":"RS512","kid":"`+kidRSA+`"}`, t.payload))
	for _, alg := range []string{
		`"es256"`, `"ES256 "`, `" ES256"`, `"ES256\u0000"`, `"ＥS256"`, `"ES２56"`, `"ΕS256"`, `"SHA256withECDSA"`, `"ES256K"`,
		`["ES256"]`, `{"name":"ES256"}`, `null`, `256`, `true`,
	} {
		t.headed("alg written "+alg, `{"alg":`+alg+`,"kid":"`+kidEC+`"}`)
	}
	t.headed("no alg", `{"kid":"`+kidEC+`"}`)
	t.headed("alg under another case", `{"ALG":"ES256","kid":"`+kidEC+`"}`)
	t.headed("alg with a look-alike in its name", `{"аlg":"ES256","kid":"`+kidEC+`"}`)
	for _, pair := range [][2]string{{"RS256", "PS256"}, {"PS256", "RS256"}, {"RS256", "ES256"}, {"ES256", "EdDSA"}, {"EdDSA", "ES256"}, {"ES512", "ES256"}, {"ES256", "ES512"}} {
		said, used := pair[0], pair[1]
		t.token("says "+said+" and is signed with "+used, t.own.sign(used, header(said), t.payload))
		t.token("says "+said+" and names the key of "+used, t.own.sign(used, `{"alg":"`+said+`","kid":"`+kidOf(used)+`"}`, t.payload))
	}
}

// addConfusion has tokens whose HMAC is keyed with what is public.
func (t *table) addConfusion() {
	for name, public := range t.publics() {
		for _, alg := range []struct {
			name string
			hash func() hash.Hash
		}{{"HS256", sha256.New}, {"HS384", sha512.New384}, {"HS512", sha512.New}} {
			if alg.name != "HS256" && !strings.HasPrefix(name, "RSA as PEM") {
				continue
			}
			signed := b64([]byte(`{"alg":"`+alg.name+`","kid":"`+kidOfPublic(name)+`"}`)) + "." + b64([]byte(t.payload))
			mac := hmac.New(alg.hash, public)
			mac.Write([]byte(signed))
			t.token(alg.name+" keyed with "+name, signed+"."+b64(mac.Sum(nil)))
		}
	}
}

func kidOfPublic(name string) string {
	kind, _, _ := strings.Cut(name, " ")
	return map[string]string{"RSA": kidRSA, "EC": kidEC, "Ed25519": kidEd}[kind]
}

// publics are the public keys in the forms in which they go about.
func (t *table) publics() map[string][]byte {
	m := map[string][]byte{
		"RSA as an empty secret": {},
		"RSA as JWK":             encodeBytes(t.own.jwkRSA()),
		"RSA as a key set":       t.JWKS(),
		"RSA modulus":            t.own.rsa.N.Bytes(),
		"RSA modulus in base64":  []byte(b64(t.own.rsa.N.Bytes())),
		"RSA as PKCS 1":          x509.MarshalPKCS1PublicKey(&t.own.rsa.PublicKey),
		"Ed25519 bytes":          t.own.publicEd(),
	}
	m["RSA as PEM of PKCS 1"] = pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: m["RSA as PKCS 1"]})
	m["EC point"], _ = t.own.ec.PublicKey.Bytes()
	m["RSA as DER"], _ = x509.MarshalPKIXPublicKey(&t.own.rsa.PublicKey)
	m["EC as DER"], _ = x509.MarshalPKIXPublicKey(&t.own.ec.PublicKey)
	m["RSA as PEM"] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: m["RSA as DER"]})
	m["RSA as PEM without its last line break"] = []byte(strings.TrimSpace(string(m["RSA as PEM"])))
	m["EC as PEM"] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: m["EC as DER"]})
	return m
}

// addHeaders has headers that a reader may understand in two ways.
func (t *table) addHeaders() {
	const good = `"alg":"ES256","kid":"` + kidEC + `"`
	for name, head := range map[string]string{
		"alg twice":                            `{"alg":"none",` + good + `}`,
		"alg twice, escaped":                   `{"\u0061lg":"none",` + good + `}`,
		"kid twice":                            `{` + good + `,"kid":"other"}`,
		"jwk twice, deep inside":               `{` + good + `,"jwk":{"kty":"EC","kty":"oct"}}`,
		"critical member":                      `{` + good + `,"crit":["exp"],"exp":1}`,
		"critical b64":                         `{` + good + `,"crit":["b64"],"b64":false}`,
		"critical and empty":                   `{` + good + `,"crit":[]}`,
		"critical null":                        `{` + good + `,"crit":null}`,
		"b64 true":                             `{` + good + `,"b64":true}`,
		"compressed":                           `{` + good + `,"zip":"DEF"}`,
		"encrypted":                            `{` + good + `,"enc":"A256GCM"}`,
		"typ of a logout token":                `{` + good + `,"typ":"logout+jwt"}`,
		"typ of a proof":                       `{` + good + `,"typ":"dpop+jwt"}`,
		"typ that is no string":                `{` + good + `,"typ":1}`,
		"header with something behind it":      `{` + good + `}{}`,
		"header with a byte order mark":        "\ufeff{" + good + `}`,
		"header that is not UTF-8":             `{` + good + ",\"x\":\"\xff\"}",
		"header with a lone surrogate":         `{` + good + `,"x":"\ud800"}`,
		"header with a comment":                `{` + good + `/**/}`,
		"header with a comma too many":         `{` + good + `,}`,
		"header with single quotes":            `{'alg':'ES256','kid':'` + kidEC + `'}`,
		"header that is a list":                `[{` + good + `}]`,
		"header that is a string":              `"ES256"`,
		"header that is null":                  `null`,
		"header that is empty":                 ``,
		"header that nests deeply":             `{` + good + `,"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`,
		"header that nests a little too deep":  `{` + good + `,"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
		"header that is huge":                  `{` + good + `,"x":"` + strings.Repeat("x", 20<<10) + `"}`,
		"header with a number out of range":    `{` + good + `,"x":1e999}`,
		"header with a name that has been cut": `{` + good + `,"x`,
	} {
		t.headed(name, head)
	}
}

// addForeignKeys has tokens of an attacker's that name or bring a key.
func (t *table) addForeignKeys() {
	for _, alg := range each() {
		t.token(alg+" of a foreign key under a known kid", t.foreign.sign(alg, header(alg), t.payload))
		t.token(alg+" of a foreign key without kid", t.foreign.sign(alg, `{"alg":"`+alg+`"}`, t.payload))
	}
	jwk := encode(jwkEC(t.foreign.ec, "P-256", kidEC))
	for name, member := range map[string]string{
		"jwk":  `"jwk":` + jwk,
		"jku":  `"jku":"https://evil.example/jwks.json"`,
		"x5u":  `"x5u":"https://evil.example/cert.pem"`,
		"x5c":  `"x5c":["` + b64([]byte("certificate")) + `"]`,
		"keys": `"keys":[` + jwk + `]`,
		"file": `"jku":"file:///etc/passwd"`,
		"here": `"jku":"data:application/json,%7B%7D"`,
	} {
		t.token("foreign key by "+name, t.foreign.sign("ES256", `{"alg":"ES256","kid":"`+kidEC+`",`+member+`}`, t.payload))
		t.token("foreign key by "+name+" and no kid", t.foreign.sign("ES256", `{"alg":"ES256",`+member+`}`, t.payload))
	}
	for _, kid := range []string{
		`"../../../../dev/null"`, `"/dev/null"`, `"file:///proc/sys/kernel/hostname"`, `"ec-2026' OR '1'='1"`,
		`"x' UNION SELECT 'AA'; --"`, `"ec-2026\u0000"`, `"ec-2026\u0000.pem"`, `"$(id)"`, `"|id"`, `"https://evil.example/key"`, `""`,
		`"EC-2026"`, `" ec-2026"`, `"ec-2026 "`, `"ес-2026"`, `"*"`, `0`, `null`, `["ec-2026"]`, `{"$ne":null}`,
	} {
		t.headed("kid "+kid, `{"alg":"ES256","kid":`+kid+`}`)
	}
}
