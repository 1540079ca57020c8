package authtest

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Token is one value of the header Authorization.
type Token struct {
	// Name says what is done to it.
	Name string
	// Value is the whole of the header's value.
	Value string
}

// Sendable tells whether a header can carry the value as it is: clients and
// servers of HTTP refuse control characters and trim spaces at the ends. The
// others reach the policy from inside the process only.
func (t Token) Sendable() bool {
	for _, c := range []byte(t.Value) {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return strings.Trim(t.Value, " ") == t.Value
}

// Valid are tokens that an authenticator for this issuer and audience, with
// Algorithms and no leeway, must take at now.
func (i *Issuer) Valid(now time.Time) []Token {
	t := newTable(i, now)
	for _, alg := range Algorithms() {
		t.token(alg+" plain", i.Sign(alg, i.Claims(now)))
		t.token(alg+" without kid", i.own.sign(alg, `{"alg":"`+alg+`"}`, t.payload))
		t.token(alg+" with keys in its header, which count for nothing",
			i.own.sign(alg, `{"alg":"`+alg+`","kid":"`+kidOf(alg)+`","jku":"https://evil.example/jwks","jwk":`+encode(i.foreign.jwkRSA())+`}`, t.payload))
	}
	t.add("scheme in lower case", "bearer "+t.base["ES256"])
	t.add("scheme in upper case", "BEARER "+t.base["ES256"])
	t.token("white space in the header", i.own.sign("ES256", "{ \"alg\" : \"ES256\",\n\t\"kid\" : \""+kidEC+"\" }", t.payload))
	t.token("type of RFC 9068", i.own.sign("ES256", `{"alg":"ES256","kid":"`+kidEC+`","typ":"at+jwt"}`, t.payload))
	t.with("audiences", map[string]any{"aud": []string{"other", i.Audience}})
	t.with("in its last second", map[string]any{"exp": now.Unix() + 1})
	t.with("fraction of a second left", map[string]any{"exp": float64(now.Unix()) + 0.5})
	t.with("nested claims", map[string]any{"realm": map[string]any{"roles": []string{"a", "b"}}})
	t.without("nbf and iat are not needed", "nbf", "iat")
	return t.list
}

// Hostile are tokens that no such authenticator may take at now. Each differs
// from a valid one in what its name says.
func (i *Issuer) Hostile(now time.Time) []Token {
	t := newTable(i, now)
	t.addAlgorithms()
	t.addConfusion()
	t.addHeaders()
	t.addForeignKeys()
	t.addTimes()
	t.addClaims()
	t.addPayloads()
	t.addSignatures()
	t.addNumbers()
	t.addEncodings()
	t.addSegments()
	t.addSerialisations()
	t.addSchemes()
	slices.SortFunc(t.list, func(a, b Token) int { return strings.Compare(a.Name, b.Name) })
	return t.list
}

// table grows a list of tokens out of valid ones.
type table struct {
	*Issuer

	now     time.Time
	payload string            // of valid claims
	base    map[string]string // a valid token for each algorithm
	list    []Token
}

func newTable(i *Issuer, now time.Time) *table {
	t := &table{Issuer: i, now: now, payload: encode(i.Claims(now)), base: map[string]string{}}
	for _, alg := range Algorithms() {
		t.base[alg] = i.own.sign(alg, header(alg), t.payload)
	}
	return t
}

func (t *table) add(name, value string) { t.list = append(t.list, Token{name, value}) }

func (t *table) token(name, token string) { t.add(name, "Bearer "+token) }

// with is a well signed token with other claims.
func (t *table) with(name string, other map[string]any) {
	claims := t.Claims(t.now)
	maps.Copy(claims, other)
	t.token(name, t.Sign("ES256", claims))
}

func (t *table) without(name string, gone ...string) {
	claims := t.Claims(t.now)
	for _, claim := range gone {
		delete(claims, claim)
	}
	t.token(name, t.Sign("ES256", claims))
}

// headed and written are well signed tokens with this header or payload.
func (t *table) headed(name, header string) { t.token(name, t.own.sign("ES256", header, t.payload)) }

func (t *table) written(name, payload string) {
	t.token(name, t.own.sign("ES256", header("ES256"), payload))
}

// segments are header, payload and signature of a valid token.
func (t *table) segments(alg string) (head, payload, sig string) {
	parts := strings.Split(t.base[alg], ".")
	return parts[0], parts[1], parts[2]
}

// each are the kinds of key for which a table row is repeated.
func each() []string { return []string{"RS256", "ES256", "EdDSA"} }
