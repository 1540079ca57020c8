package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth/authtest"
)

func TestTokensHoldToTheSecond(t *testing.T) {
	for _, tc := range []struct {
		name   string
		leeway float64
		claims map[string]any // seconds from now
		after  time.Duration
		want   codes.Code
	}{
		{"no leeway by default", 0, map[string]any{"exp": 10}, 10 * time.Second, codes.Unauthenticated},
		{"a moment before", 0, map[string]any{"exp": 10}, 10*time.Second - 1, codes.OK},
		{"leeway for exp", 5, map[string]any{"exp": 10}, 15*time.Second - 1, codes.OK},
		{"no more than that", 5, map[string]any{"exp": 10}, 15 * time.Second, codes.Unauthenticated},
		{"leeway for nbf", 5, map[string]any{"nbf": 5}, 0, codes.OK},
		{"no more for nbf", 5, map[string]any{"nbf": 6}, 0, codes.Unauthenticated},
		{"leeway for iat", 5, map[string]any{"iat": 5}, 0, codes.OK},
		{"no more for iat", 5, map[string]any{"iat": 6}, 0, codes.Unauthenticated},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newIssuer(t)
				a := fromFile(t, i)
				if tc.leeway > 0 {
					jwtOf(a).Leeway = seconds(tc.leeway)
				}
				g := newGate(t, newAuth(t, auth.Options{}, a), accept("jwt"), auth.Rule{})
				claims := i.Claims(time.Now())
				for k, v := range tc.claims {
					claims[k] = time.Now().Unix() + int64(v.(int))
				}
				token := "Bearer " + i.Sign("ES256", claims)
				if tc.after > 0 { // so that the second use is of a kept verification
					wantCode(t, "at first", g.do(t.Context(), "authorization", token), codes.OK)
					time.Sleep(tc.after)
				}
				wantCode(t, "then", g.do(t.Context(), "authorization", token), tc.want)
			})
		})
	}
}

func TestExpiredTokensSayWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		g := newGate(t, newAuth(t, auth.Options{}, fromFile(t, i)), accept("jwt"), auth.Rule{})
		token := i.Sign("EdDSA", i.Claims(time.Now()))
		time.Sleep(time.Hour)
		err := g.do(t.Context(), "authorization", "Bearer "+token)
		if err == nil || err.Error() != "the bearer token has expired" {
			t.Errorf("err = %v", err)
		}
		// A token that is not the issuer's is not told that it has expired.
		err = g.do(t.Context(), "authorization", "Bearer "+token[:len(token)-2])
		if err == nil || err.Error() != "the bearer token is not valid" {
			t.Errorf("err = %v", err)
		}
	})
}

func TestWhatTokensTell(t *testing.T) {
	i := newIssuer(t)
	a := fromFile(t, i)
	jwtOf(a).RequiredClaims = []string{"tenant.id"}
	g := newGate(t, newAuth(t, auth.Options{}, a), accept("jwt"), auth.Rule{})
	for _, tc := range []struct {
		name   string
		claims map[string]any
		want   codes.Code
		id     string
		scopes []string
	}{
		{"scope", map[string]any{"tenant": map[string]any{"id": "t"}}, codes.OK, "alice", []string{"read", "write"}},
		{"scp as a list", map[string]any{"tenant": map[string]any{"id": "t"}, "scope": nil, "scp": []string{"a", "b"}}, codes.OK, "alice", nil},
		{"no scope", map[string]any{"tenant": map[string]any{"id": "t"}, "scope": 5}, codes.OK, "alice", nil},
		{"required claim missing", map[string]any{}, codes.Unauthenticated, "", nil},
		{"required claim null", map[string]any{"tenant": map[string]any{"id": nil}}, codes.Unauthenticated, "", nil},
		{"required claim elsewhere", map[string]any{"tenant": "t"}, codes.Unauthenticated, "", nil},
		{"name with a dot", map[string]any{"tenant.id": "t"}, codes.OK, "alice", []string{"read", "write"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			claims := i.Claims(time.Now())
			for k, v := range tc.claims {
				claims[k] = v
			}
			wantCode(t, tc.name, g.do(t.Context(), "authorization", "Bearer "+i.Sign("ES256", claims)), tc.want)
			if g.id() != tc.id {
				t.Errorf("caller %q, want %q", g.id(), tc.id)
			}
			if who := g.call.Caller(); who != nil && (fmt.Sprint(who.Scopes) != fmt.Sprint(tc.scopes) || who.Authenticator != "jwt" || who.Claims["iss"] != issuer) {
				t.Errorf("caller %+v, want scopes %q", who, tc.scopes)
			}
		})
	}
}

func TestScpCountsWhereScopeIsMissing(t *testing.T) {
	i := newIssuer(t)
	g := newGate(t, newAuth(t, auth.Options{}, fromFile(t, i)), &policyv1.Auth{Accept: []string{"jwt"}, Scopes: []string{"b"}}, auth.Rule{})
	claims := i.Claims(time.Now())
	delete(claims, "scope")
	claims["scp"] = []string{"a", "b"}
	wantCode(t, "list", g.do(t.Context(), "authorization", "Bearer "+i.Sign("ES256", claims)), codes.OK)
	claims["scp"] = "b c"
	wantCode(t, "string", g.do(t.Context(), "authorization", "Bearer "+i.Sign("ES256", claims)), codes.OK)
	claims["scp"] = "bb"
	wantCode(t, "another", g.do(t.Context(), "authorization", "Bearer "+i.Sign("ES256", claims)), codes.PermissionDenied)
}

// TestDefaultAlgorithms: RS256, PS256, ES256, EdDSA, and no others.
func TestDefaultAlgorithms(t *testing.T) {
	i := newIssuer(t)
	a := fromFile(t, i)
	jwtOf(a).Algorithms = nil
	g := newGate(t, newAuth(t, auth.Options{}, a), accept("jwt"), auth.Rule{})
	for alg, want := range map[string]codes.Code{
		"RS256": codes.OK, "PS256": codes.OK, "ES256": codes.OK, "EdDSA": codes.OK, "ES512": codes.Unauthenticated, "RS512": codes.Unauthenticated,
	} {
		wantCode(t, alg, g.do(t.Context(), "authorization", "Bearer "+i.Sign(alg, i.Claims(time.Now()))), want)
	}
}

func TestSeveralIssuers(t *testing.T) {
	ours := newIssuer(t)
	other, err := authtest.New("https://other.example", audience)
	if err != nil {
		t.Fatal(err)
	}
	b := fromFile(t, other)
	b.Name = "other"
	jwtOf(b).Issuer = other.Name
	third := fromFile(t, ours)
	third.Name = "same"
	jwtOf(third).Audiences = []string{"billing"}
	a := newAuth(t, auth.Options{}, fromFile(t, ours), b, third)
	both, one := newGate(t, a, accept("jwt", "other", "same"), auth.Rule{}), newGate(t, a, accept("jwt"), auth.Rule{})
	header := "Bearer " + other.Sign("ES256", other.Claims(time.Now()))
	for range 2 { // the second time it is known already
		wantCode(t, "both", both.do(t.Context(), "authorization", header), codes.OK)
		if who := both.call.Caller(); who == nil || who.Authenticator != "other" {
			t.Errorf("caller %+v", who)
		}
		wantCode(t, "one", one.do(t.Context(), "authorization", header), codes.Unauthenticated)
	}
	claims := ours.Claims(time.Now())
	claims["aud"] = "billing"
	wantCode(t, "same issuer, other audience", both.do(t.Context(), "authorization", "Bearer "+ours.Sign("ES256", claims)), codes.OK)
	if who := both.call.Caller(); who == nil || who.Authenticator != "same" {
		t.Errorf("caller %+v", who)
	}
	// One issuer's key does not speak for another.
	forged := other.Claims(time.Now())
	forged["iss"] = issuer
	wantCode(t, "forged", both.do(t.Context(), "authorization", "Bearer "+other.Sign("ES256", forged)), codes.Unauthenticated)
}

// TestKeyFileChanges: new keys serve, what withdrawn keys signed is refused though
// it was verified before, and contents that are wrong change nothing.
func TestKeyFileChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := newIssuer(t), newStranger(t)
		path := write(t, filepath.Join(t.TempDir(), "jwks.json"), string(before.JWKS()))
		a := fromFile(t, before)
		jwtOf(a).Keys = &policyv1.Jwt_JwksFile{JwksFile: path}
		g := newGate(t, newAuth(t, auth.Options{}, a), accept("jwt"), auth.Rule{})
		old, young := "Bearer "+before.Sign("ES256", before.Claims(time.Now())), "Bearer "+after.Sign("ES256", after.Claims(time.Now()))
		check := func(what string, oldWant, youngWant codes.Code) {
			t.Helper()
			time.Sleep(2 * time.Second)
			wantCode(t, what+": old", g.do(t.Context(), "authorization", old), oldWant)
			wantCode(t, what+": young", g.do(t.Context(), "authorization", young), youngWant)
		}
		check("at first", codes.OK, codes.Unauthenticated)
		write(t, path, "{")
		check("broken", codes.OK, codes.Unauthenticated)
		write(t, path, `{"keys":[]}`)
		check("empty", codes.OK, codes.Unauthenticated)
		write(t, path, string(before.JWKS())+"\n")
		check("the same", codes.OK, codes.Unauthenticated)
		write(t, path, string(after.JWKS()))
		check("others", codes.Unauthenticated, codes.OK)
	})
}

func TestVerifySignature(t *testing.T) {
	i := newIssuer(t)
	token := i.Sign("RS256", map[string]any{"no": "claims"})
	if err := auth.VerifySignature(i.JWKS(), nil, token); err != nil {
		t.Error(err)
	}
	head, _, _ := strings.Cut(token, ".")
	for name, err := range map[string]error{
		"algorithm not listed": auth.VerifySignature(i.JWKS(), []string{"ES256"}, token),
		"algorithm unknown":    auth.VerifySignature(i.JWKS(), []string{"none"}, token),
		"no set":               auth.VerifySignature([]byte(`{}`), nil, token),
		"not JSON":             auth.VerifySignature([]byte(`x`), nil, token),
		"not compact":          auth.VerifySignature(i.JWKS(), nil, head),
		"another set":          auth.VerifySignature(newStranger(t).JWKS(), nil, token),
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
				c := map[string]any{}
				for name, v := range k {
					c[name] = v
				}
				if kidFor[tc.alg] == k["kid"] {
					for name, v := range tc.with {
						c[name] = v
					}
				}
				keys = append(keys, c)
			}
			set, err := json.Marshal(map[string]any{"keys": keys})
			if err != nil {
				t.Fatal(err)
			}
			if err := auth.VerifySignature(set, nil, i.Sign(tc.alg, nil)); err == nil {
				t.Error("the key was taken")
			}
			for alg := range kidFor {
				if alg != tc.alg {
					if err := auth.VerifySignature(set, nil, i.Sign(alg, nil)); err != nil {
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
		if err := auth.VerifySignature([]byte(tc.set), tc.algs, token); (err == nil) != tc.ok {
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
	if err := auth.VerifySignature(set(3), nil, token); err != nil {
		t.Errorf("one of four: %v", err)
	}
	if err := auth.VerifySignature(set(4), nil, token); err == nil {
		t.Error("one of five keys was found without a name")
	}
}

func TestCancelledWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		web := &web{respond: func(ctx context.Context, _ string) (int, string) { <-ctx.Done(); return 200, "" }}
		g := newGate(t, newAuth(t, auth.Options{Transport: web}, fromURL()), accept("jwt"), auth.Rule{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := g.do(ctx, "authorization", "Bearer "+i.Sign("ES256", i.Claims(time.Now())))
		wantCode(t, "cancelled", err, codes.DeadlineExceeded)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
	})
}
