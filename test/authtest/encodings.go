package authtest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// addEncodings has valid tokens that are written in another way.
func (t *table) addEncodings() {
	for _, alg := range each() {
		head, payload, sig := t.segments(alg)
		parts := [3]string{head, payload, sig}
		for i, part := range [...]string{"header", "payload", "signature"} {
			put := func(name, s string) {
				with := parts
				with[i] = s
				t.token(alg+" "+part+" "+name, strings.Join(with[:], "."))
			}
			s := parts[i]
			put("padded", s+strings.Repeat("=", max(1, (4-len(s)%4)%4)))
			put("padded too much", s+"====")
			put("with an escaped padding", s+"%3D")
			put("with a line break", s[:8]+"\n"+s[8:])
			put("with a line break of two", s[:8]+"\r\n"+s[8:])
			put("with a space", s[:8]+" "+s[8:])
			put("with a tab at its end", s+"\t")
			put("with a NUL", s[:8]+"\x00"+s[8:])
			put("with a star", s[:8]+"*"+s[8:])
			put("with a plus", s[:8]+"+"+s[9:])
			put("with a slash", s[:8]+"/"+s[9:])
			put("with a letter from elsewhere", s[:8]+"Ａ"+s[9:])
			if part != "signature" { // which addSignatures makes longer
				put("with a letter too many", s+"A")
			}
			if len(s)%4 != 0 {
				last := strings.IndexByte(alphabet, s[len(s)-1])
				put("with bits left over", s[:len(s)-1]+string(alphabet[last^1]))
			}
		}
		raw, _ := base64.RawURLEncoding.DecodeString(sig)
		t.token(alg+" signature in hexadecimal", fmt.Sprintf("%s.%s.%x", head, payload, raw))
		t.token(alg+" payload as it is", head+"."+t.payload+"."+sig)
	}
}

// addSegments has valid tokens with more or fewer of them.
func (t *table) addSegments() {
	for _, alg := range each() {
		head, payload, sig := t.segments(alg)
		for name, s := range map[string]string{
			"four segments": t.base[alg] + ".AA", "a dot behind": t.base[alg] + ".", "a dot before": "." + t.base[alg], "two segments": head + "." + payload,
			"payload and signature": payload + "." + sig, "two dots": head + ".." + payload + "." + sig, "payload detached": head + ".." + sig,
			"one segment": head, "segments in another order": payload + "." + head + "." + sig, "other dots": strings.ReplaceAll(t.base[alg], ".", "。"),
			"escaped dots": strings.ReplaceAll(t.base[alg], ".", "%2E"), "commas for dots": strings.ReplaceAll(t.base[alg], ".", ","),
		} {
			t.token(alg+" "+name, s)
		}
	}
	t.token("dots only", "..")
	t.token("many dots", strings.Repeat(".", 10000))
	t.token("huge", strings.Repeat("A", 1<<20))
	t.token("huge in three segments", strings.Repeat("A", 1<<18)+"."+strings.Repeat("A", 1<<18)+"."+strings.Repeat("A", 1<<18))
}

// addSerialisations has what is no compact JWS.
func (t *table) addSerialisations() {
	for _, alg := range each() {
		head, payload, sig := t.segments(alg)
		signature := map[string]any{"protected": head, "signature": sig}
		general := map[string]any{"payload": payload, "signatures": []any{signature}}
		flattened := map[string]any{"payload": payload, "protected": head, "signature": sig}
		both := map[string]any{"payload": payload, "signatures": []any{signature}, "protected": head, "signature": sig}
		for name, v := range map[string]map[string]any{"general JSON": general, "flattened JSON": flattened, "both JSON forms": both} {
			text, _ := json.Marshal(v)
			t.token(alg+" in "+name, string(text))
			t.token(alg+" in "+name+", encoded", b64(text))
		}
	}
	for _, head := range []string{
		`{"alg":"dir","enc":"A256GCM"}`, `{"alg":"RSA-OAEP","enc":"A256GCM","kid":"` + kidRSA + `"}`, `{"alg":"ECDH-ES","enc":"A128CBC-HS256","kid":"` + kidEC + `"}`,
		`{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":2147483647,"p2s":"AAAA"}`, `{"alg":"A256KW","enc":"A256GCM","zip":"DEF"}`,
	} {
		parts := []string{b64([]byte(head)), b64([]byte("key")), b64(make([]byte, 12)), b64([]byte(t.payload)), b64(make([]byte, 16))}
		t.token("encrypted with "+head, strings.Join(parts, "."))
	}
	inner := b64([]byte(t.base["ES256"]))
	t.token("a token in a token", t.own.sign("ES256", `{"alg":"ES256","kid":"`+kidEC+`","cty":"JWT"}`, t.base["ES256"]))
	t.token("a token, encoded once more", inner)
	t.token("a token behind a byte order mark", "\ufeff"+t.base["ES256"])
}

// addSchemes has headers that a reader may take for one with a token.
func (t *table) addSchemes() {
	v := t.base["ES256"]
	claims := t.Claims(t.now)
	claims["sub"] = "bob"
	other := t.Sign("RS256", claims)
	for name, value := range map[string]string{
		"empty": "", "space": " ", "no scheme": v, "scheme only": "Bearer", "scheme and a space": "Bearer ", "two spaces": "Bearer  " + v,
		"tab": "Bearer\t" + v, "no space": "Bearer" + v, "colon": "Bearer:" + v, "equals": "Bearer=" + v, "comma": "Bearer," + v, "quoted": `Bearer "` + v + `"`,
		"single quotes": "Bearer '" + v + "'", "angle brackets": "Bearer <" + v + ">", "parameter": "Bearer token=" + v, "token68 name": `Bearer access_token="` + v + `"`,
		"scheme twice": "Bearer Bearer " + v, "space before": " Bearer " + v, "space behind": "Bearer " + v + " ", "line break before": "\nBearer " + v,
		"line break behind": "Bearer " + v + "\n", "header within": "Bearer " + v + "\r\nX-User: root", "NUL behind": "Bearer " + v + "\x00", "semicolon behind": "Bearer " + v + ";",
		"comma behind": "Bearer " + v + ",", "two tokens": "Bearer " + v + " " + other, "two tokens with a comma": "Bearer " + v + "," + other,
		"two credentials": "Bearer " + v + ", Bearer " + other, "two tokens, one empty": "Bearer ," + v, "another scheme": "Token " + v, "JWT": "JWT " + v, "DPoP": "DPoP " + v, "MAC": "MAC " + v,
		"Basic": "Basic " + v, "Negotiate": "Negotiate " + v, "scheme with a look-alike": "Веarer " + v, "scheme with a full-width letter": "Ｂearer " + v,
		"scheme cut": "Beare " + v, "scheme longer": "Bearers " + v, "scheme with a dash": "Bearer-Token " + v, "no-break space": "Bearer\u00a0" + v, "wide space": "Bearer\u3000" + v,
		"null": "Bearer null", "undefined": "Bearer undefined", "a word": "Bearer secret", "an escaped space": "Bearer%20" + v, "an object": `Bearer {"token":"` + v + `"}`,
	} {
		t.add("header: "+name, value)
	}
}
