package auth_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
)

// TestManyCredentials: what is there must be right, and the first accepted counts.
func TestManyCredentials(t *testing.T) {
	i := newIssuer(t)
	a := newAuth(t, auth.Options{}, fromFile(t, i), keysOf("keys", file(t, oneKey)), basicOf("basic", file(t, oneUser)))
	token, basic := "Bearer "+i.Sign("ES256", i.Claims(time.Now())), "Basic "+basicAlice
	for _, tc := range []struct {
		name   string
		accept []string
		pairs  []string
		want   codes.Code
		id     string
	}{
		{"token", []string{"keys", "jwt"}, []string{"authorization", token}, codes.OK, "alice"},
		{"key", []string{"jwt", "keys"}, []string{"x-api-key", theKey}, codes.OK, "partner"},
		{"both, token first", []string{"jwt", "keys"}, []string{"x-api-key", theKey, "authorization", token}, codes.OK, "alice"},
		{"both, key first", []string{"keys", "jwt"}, []string{"x-api-key", theKey, "authorization", token}, codes.OK, "partner"},
		{"right token, wrong key", []string{"jwt", "keys"}, []string{"x-api-key", "x", "authorization", token}, codes.Unauthenticated, ""},
		{"right key, wrong token", []string{"jwt", "keys"}, []string{"x-api-key", theKey, "authorization", token + "A"}, codes.Unauthenticated, ""},
		{"right key, empty authorization", []string{"jwt", "keys"}, []string{"x-api-key", theKey, "authorization", ""}, codes.Unauthenticated, ""},
		{"right token, empty key", []string{"jwt", "keys"}, []string{"x-api-key", "", "authorization", token}, codes.Unauthenticated, ""},
		{"two tokens", []string{"jwt"}, []string{"authorization", token, "authorization", token}, codes.Unauthenticated, ""},
		{"token and password", []string{"jwt", "basic"}, []string{"authorization", token, "authorization", basic}, codes.Unauthenticated, ""},
		{"two keys", []string{"keys"}, []string{"x-api-key", theKey, "x-api-key", theKey}, codes.Unauthenticated, ""},
		{"password where tokens are accepted", []string{"jwt"}, []string{"authorization", basic}, codes.Unauthenticated, ""},
		{"token where passwords are accepted", []string{"basic"}, []string{"authorization", token}, codes.Unauthenticated, ""},
		{"password", []string{"jwt", "basic"}, []string{"authorization", basic}, codes.OK, "alice"},
		{"authorization that is for the backend", []string{"keys"}, []string{"x-api-key", theKey, "authorization", "Custom x"}, codes.OK, "partner"},
		{"nothing", []string{"jwt", "keys", "basic"}, nil, codes.Unauthenticated, ""},
		{"key in another header", []string{"keys"}, []string{"x_api_key", theKey}, codes.Unauthenticated, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newGate(t, a, accept(tc.accept...))
			wantCode(t, tc.name, g.do(t.Context(), tc.pairs...), tc.want)
			if g.id() != tc.id || g.reached != (tc.want == codes.OK) {
				t.Errorf("caller %q, reached %t; want %q", g.id(), g.reached, tc.id)
			}
			anonymous := newGate(t, a, &policyv1.Auth{Accept: tc.accept, Anonymous: yes()})
			want := tc.want
			if len(tc.pairs) == 0 || strings.Contains(tc.pairs[0], "_") {
				want = codes.OK
			}
			wantCode(t, "anonymous", anonymous.do(t.Context(), tc.pairs...), want)
		})
	}
}

func TestChallenges(t *testing.T) {
	i := newIssuer(t)
	basic := basicOf("basic", file(t, oneUser))
	basic.GetBasic().Realm = `the "shop"`
	a := newAuth(t, auth.Options{}, fromFile(t, i), keysOf("keys", file(t, oneKey)), basicOf("plain", file(t, oneUser)), basic,
		&policyv1.Authenticator{Name: "mtls", Kind: &policyv1.Authenticator_Mtls{Mtls: &policyv1.Mtls{Names: []string{"x"}}}})
	all := []string{`Bearer realm="gatehouse"`, `ApiKey realm="gatehouse", header="x-api-key"`, `Basic realm="gatehouse", charset="UTF-8"`, `Basic realm="the \"shop\"", charset="UTF-8"`, `ClientCertificate realm="gatehouse"`}
	g := newGate(t, a, accept("jwt", "keys", "plain", "basic", "mtls"))
	wantCode(t, "nothing", g.do(t.Context()), codes.Unauthenticated)
	if !slices.Equal(g.challenges(), all) {
		t.Errorf("challenges %q", g.challenges())
	}
	wantCode(t, "wrong key", g.do(t.Context(), "x-api-key", "x"), codes.Unauthenticated)
	if !slices.Equal(g.challenges(), all) {
		t.Errorf("challenges of a wrong key %q", g.challenges())
	}
	wantCode(t, "wrong token", g.do(t.Context(), "authorization", "Bearer x"), codes.Unauthenticated)
	all[0] += `, error="invalid_token"`
	if !slices.Equal(g.challenges(), all) {
		t.Errorf("challenges of a wrong token %q", g.challenges())
	}
}
