package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/test/authtest"
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
				g := newGate(t, newAuth(t, auth.Options{}, a), accept("jwt"))
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
		g := newGate(t, newAuth(t, auth.Options{}, fromFile(t, i)), accept("jwt"))
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
	g := newGate(t, newAuth(t, auth.Options{}, a), accept("jwt"))
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
		{"numbers", map[string]any{"tenant": map[string]any{"id": "t"}, "n": json.RawMessage(`[1e21,-2.5E-09,3.141592653589793238462643383]`)}, codes.OK, "alice", []string{"read", "write"}},
		{"a number that is slow to read", map[string]any{"tenant": map[string]any{"id": "t"}, "n": json.RawMessage(`1e-320`)}, codes.Unauthenticated, "", nil},
		{"a long number", map[string]any{"tenant": map[string]any{"id": "t"}, "n": json.RawMessage(`0.` + strings.Repeat("1", 39))}, codes.Unauthenticated, "", nil},
		{"name with a dot", map[string]any{"tenant.id": "t"}, codes.OK, "alice", []string{"read", "write"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			claims := i.Claims(time.Now())
			maps.Copy(claims, tc.claims)
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
	g := newGate(t, newAuth(t, auth.Options{}, fromFile(t, i)), &policyv1.Auth{Accept: []string{"jwt"}, Scopes: []string{"b"}})
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
	g := newGate(t, newAuth(t, auth.Options{}, a), accept("jwt"))
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
	both, one := newGate(t, a, accept("jwt", "other", "same")), newGate(t, a, accept("jwt"))
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
		g := newGate(t, newAuth(t, auth.Options{}, a), accept("jwt"))
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

func TestCancelledWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		web := &web{respond: func(ctx context.Context, _ string) (int, string) { <-ctx.Done(); return 200, "" }}
		g := newGate(t, newAuth(t, auth.Options{Transport: web}, fromURL()), accept("jwt"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := g.do(ctx, "authorization", "Bearer "+i.Sign("ES256", i.Claims(time.Now())))
		wantCode(t, "cancelled", err, codes.DeadlineExceeded)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
	})
}
