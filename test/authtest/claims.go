package authtest

import (
	"fmt"
	"strings"
)

// addTimes has tokens that do not hold now.
func (t *table) addTimes() {
	now := t.now.Unix()
	t.without("never expires", "exp")
	for name, exp := range map[string]any{
		"now": now, "a second ago": now - 1, "an hour ago": now - 3600, "in 1970": 0, "before 1970": -1, "in milliseconds": (now + 300) * 1000,
		"in a string": fmt.Sprint(now + 300), "null": nil, "true": true, "a list": []int64{now + 300}, "beyond all time": 1e300,
	} {
		t.with("expires "+name, map[string]any{"exp": exp})
	}
	for _, claim := range []string{"nbf", "iat"} {
		for name, v := range map[string]any{"in a second": now + 1, "in an hour": now + 3600, "a string": "0", "null": nil, "negative": -5, "beyond all time": 1e300} {
			t.with(claim+" "+name, map[string]any{claim: v})
		}
	}
	claims := t.Claims(t.now)
	claims["exp"] = now - 1
	for _, alg := range each() {
		t.token(alg+" expired by a second", t.Sign(alg, claims))
	}
}

// addClaims has tokens of somebody else or for somebody else.
func (t *table) addClaims() {
	t.without("no issuer", "iss")
	for name, iss := range map[string]any{
		"with a slash": t.Name + "/", "in upper case": strings.ToUpper(t.Name), "with a space behind": t.Name + " ", "with a space before": " " + t.Name,
		"with a NUL": t.Name + "\x00", "with a line break": t.Name + "\n", "with a port": t.Name + ":443", "with a query": t.Name + "?", "with a fragment": t.Name + "#",
		"with a look-alike": strings.Replace(t.Name, "e", "е", 1), "with a full-width letter": strings.Replace(t.Name, "s", "ｓ", 1),
		"with a joiner": t.Name + "\u200d", "over plain http": strings.Replace(t.Name, "https:", "http:", 1) + ".", "as a prefix": t.Name + ".evil.example",
		"cut short": t.Name[:len(t.Name)-1], "empty": "", "null": nil, "a list": []string{t.Name}, "an object": map[string]any{"iss": t.Name}, "a number": 1, "another": "https://evil.example",
	} {
		t.with("issuer "+name, map[string]any{"iss": iss})
	}
	t.without("no audience", "aud")
	for name, aud := range map[string]any{
		"another": "other", "in upper case": strings.ToUpper(t.Audience), "with a space": t.Audience + " ", "as a prefix": t.Audience + ".evil",
		"cut short": t.Audience[:len(t.Audience)-1], "empty": "", "null": nil, "an empty list": []string{}, "a list of others": []string{"a", "b"},
		"a list in a list": []any{[]string{t.Audience}}, "a list with a number": []any{t.Audience, 1}, "an object": map[string]any{t.Audience: true},
		"joined by commas": "other," + t.Audience, "joined by spaces": "other " + t.Audience, "a star": "*",
	} {
		t.with("audience "+name, map[string]any{"aud": aud})
	}
	t.with("subject that is a number", map[string]any{"sub": 1})
	t.with("subject that is a list", map[string]any{"sub": []string{"alice"}})
}

// addPayloads has claims that a reader may understand in two ways, or at great
// cost.
func (t *table) addPayloads() {
	good := strings.TrimSuffix(strings.TrimPrefix(t.payload, "{"), "}")
	for name, payload := range map[string]string{
		"subject twice":                     `{` + good + `,"sub":"root"}`,
		"subject twice, first the other":    `{"sub":"root",` + good + `}`,
		"subject twice, escaped":            `{` + good + `,"\u0073ub":"root"}`,
		"expiry twice":                      `{"exp":9999999999,` + good + `}`,
		"issuer twice":                      `{"iss":"https://evil.example",` + good + `}`,
		"audience twice":                    `{"aud":"other",` + good + `}`,
		"claim twice, deep inside":          `{` + good + `,"a":[{"b":{"c":1,"c":2}}]}`,
		"claims with something behind them": `{` + good + `}x`,
		"claims twice":                      `{` + good + `}{` + good + `}`,
		"claims with a byte order mark":     "\ufeff{" + good + `}`,
		"claims that are not UTF-8":         `{` + good + ",\"x\":\"\xc0\xaf\"}",
		"claims in UTF-16":                  utf16("{" + good + "}"),
		"claims with a lone surrogate":      `{` + good + `,"x":"\udfff"}`,
		"claims with half a pair":           `{` + good + `,"x":"\ud83d\u0041"}`,
		"claims with a raw line break":      `{` + good + ",\"x\":\"a\nb\"}",
		"claims with a NUL behind":          `{` + good + "}\x00",
		"claims in a list":                  `[{` + good + `}]`,
		"claims in a string":                encode(t.payload),
		"claims that are null":              `null`,
		"claims that are true":              `true`,
		"claims that are empty":             ``,
		"claims in another format":          "iss: " + t.Name + "\n",
		"claims that are a token":           t.base["ES256"],
		"integer that would be rounded":     `{` + good + `,"uid":9007199254740993}`,
		"number out of range":               `{` + good + `,"uid":1e400}`,
		"number that is none":               `{` + good + `,"uid":NaN}`,
		"number with a zero before it":      `{` + good + `,"uid":01}`,
		"lists that nest deeply":            `{` + good + `,"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`,
		"objects that nest deeply":          `{` + good + `,"x":` + strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100) + `}`,
		"claims that are huge":              `{` + good + `,"x":"` + strings.Repeat("x", 64<<10) + `"}`,
		"claims that are many":              `{` + good + strings.Repeat(`,"":0`, 10) + `}`,
	} {
		t.written(name, payload)
	}
}

// utf16 is ASCII in UTF-16.
func utf16(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteByte(0)
		b.WriteByte(c)
	}
	return b.String()
}
