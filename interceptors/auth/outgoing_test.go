package auth_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
)

func TestForwardedClaims(t *testing.T) {
	i := newIssuer(t)
	a := newAuth(t, auth.Options{}, fromFile(t, i))
	for _, tc := range []struct {
		name  string
		key   string
		path  string
		claim any
		want  []string
	}{
		{"string", "x-user", "sub", "alice", []string{"alice"}},
		{"string with a space within", "x-user", "name", "Alice A.", []string{"Alice A."}},
		{"string that is not ASCII", "x-user", "name", "Alïce", nil},
		{"the same as bytes", "x-user-bin", "name", "Alïce", []string{"Alïce"}},
		{"line break", "x-user", "name", "a\r\nx-admin: 1", nil},
		{"NUL", "x-user", "name", "a\x00", nil},
		{"space at the end", "x-user", "name", "alice ", nil},
		{"empty", "x-user", "name", "", nil},
		{"null", "x-user", "name", nil, nil},
		{"integer", "x-user", "uid", 9007199254740991, []string{"9007199254740991"}},
		{"negative", "x-user", "uid", -1.5, []string{"-1.5"}},
		{"large", "x-user", "uid", 1.5e15, []string{"1500000000000000"}},
		{"bool", "x-user", "admin", false, []string{"false"}},
		{"list", "x-user", "roles", []string{"a", "b"}, []string{`["a","b"]`}},
		{"list that is not ASCII", "x-user", "roles", []string{"ü", "😀"}, []string{`["\u00fc","\ud83d\ude00"]`}},
		{"object", "x-user", "address", map[string]any{"city": "Bern"}, []string{`{"city":"Bern"}`}},
		{"path", "x-user", "address.city", nil, []string{"Bern"}},
		{"path that is a name", "x-user", "https://example.org/roles.all", "r", []string{"r"}},
		{"path into a name with dots", "x-user", "https://example.org/x.role", nil, []string{"deep"}},
		{"path into a string", "x-user", "sub.x", nil, nil},
		{"nothing there", "x-user", "nothing", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			claims := i.Claims(time.Now())
			claims["address"] = map[string]any{"city": "Bern"}
			claims["https://example.org/x"] = map[string]any{"role": "deep"}
			if tc.claim != nil {
				claims[tc.path] = tc.claim
			}
			g := newGate(t, a, &policyv1.Auth{Accept: []string{"jwt"}, Forward: map[string]string{tc.key: tc.path}})
			header := "Bearer " + i.Sign("ES256", claims)
			for _, sent := range [][]string{nil, {tc.key, "root"}} { // whether or not there is something to take away
				wantCode(t, tc.name, g.do(t.Context(), append(sent, "authorization", header, "x-other", "y")...), codes.OK)
				if !slices.Equal(g.outgoing[tc.key], tc.want) {
					t.Errorf("%s = %q, want %q", tc.key, g.outgoing[tc.key], tc.want)
				}
				if g.outgoing["authorization"][0] != header || g.outgoing["x-other"][0] != "y" {
					t.Errorf("lost: %v", g.outgoing)
				}
			}
		})
	}
}

// TestStripped: what the gateway says of callers, nobody else says, in no spelling,
// under whatever rule.
func TestStripped(t *testing.T) {
	i := newIssuer(t)
	a := newAuth(t, auth.Options{}, fromFile(t, i), keysOf("keys", file(t, oneKey)), basicOf("basic", file(t, oneUser)))
	many := []string{"x-user", "X-Tenant_Id"}
	for n := range 10 {
		many = append(many, fmt.Sprintf("x-very-long-key-%d", n))
	}
	spellings := []string{"x-user", "X-User", "x_user", "X_USER", "x-tenant-id", "x-tenant_id", "x_tenant-id", "x_tenant_id", "X_Tenant-ID", "x.user", "X.User", "x.tenant_id", "x-tenant.id", "x.tenant.id"}
	token := "Bearer " + i.Sign("ES256", i.Claims(time.Now()))
	for _, strip := range [][]string{{"x-user", "x-tenant-id"}, {"x_user", "X-TENANT-ID"}, many} {
		for name, rule := range map[string]*policyv1.Auth{
			"jwt": accept("jwt"), "public": {Public: yes()}, "anonymous": {Accept: []string{"jwt"}, Anonymous: yes()},
			"forwarding": {Accept: []string{"jwt"}, Forward: map[string]string{"x-user": "nothing"}},
		} {
			g := newGate(t, a, rule, strip...)
			for _, key := range spellings {
				pairs := []string{key, "root", "x-other", "y"}
				if name != "public" && name != "anonymous" {
					pairs = append(pairs, "authorization", token)
				}
				wantCode(t, name, g.do(t.Context(), pairs...), codes.OK)
				left := slices.Sorted(maps.Keys(g.outgoing))
				if !slices.Equal(left, []string{"authorization", "x-other"}) && !slices.Equal(left, []string{"x-other"}) {
					t.Errorf("%s, strip %q, sent %q: backend got %v", name, strip, key, g.outgoing)
				}
			}
		}
	}
}

// TestSecretsStayHere: API keys and passwords are the gateway's, tokens are for
// the backend too.
func TestSecretsStayHere(t *testing.T) {
	i := newIssuer(t)
	a := newAuth(t, auth.Options{}, fromFile(t, i), keysOf("keys", file(t, oneKey)), basicOf("basic", file(t, oneUser)))
	token := "Bearer " + i.Sign("ES256", i.Claims(time.Now()))
	for name, rule := range map[string]*policyv1.Auth{"accepted": accept("jwt", "keys", "basic"), "public": {Public: yes()}} {
		g := newGate(t, a, rule)
		wantCode(t, name, g.do(t.Context(), "x-api-key", theKey), codes.OK)
		if len(g.outgoing) != 0 {
			t.Errorf("%s: backend got %v", name, g.outgoing)
		}
		wantCode(t, name, g.do(t.Context(), "authorization", basicHeader("alice", "secret")), codes.OK)
		if len(g.outgoing) != 0 {
			t.Errorf("%s: backend got %v", name, g.outgoing)
		}
		wantCode(t, name, g.do(t.Context(), "authorization", token), codes.OK)
		if !slices.Equal(g.outgoing["authorization"], []string{token}) {
			t.Errorf("%s: backend got %v", name, g.outgoing)
		}
	}
	g := newGate(t, a, &policyv1.Auth{Public: yes()})
	wantCode(t, "two", g.do(t.Context(), "authorization", token, "authorization", basicHeader("alice", "secret")), codes.OK)
	if len(g.outgoing) != 0 {
		t.Errorf("backend got %v", g.outgoing)
	}
}

// TestMetadataIsCopied: what others hold of the call's metadata does not change.
func TestMetadataIsCopied(t *testing.T) {
	a := newAuth(t, auth.Options{}, keysOf("keys", file(t, oneKey)))
	g := newGate(t, a, &policyv1.Auth{Accept: []string{"keys"}, Forward: map[string]string{"x-user": "sub", "x-tier": "tier"}})
	md := metadata.Pairs("x-api-key", theKey, "x-user", "root")
	before := md.Copy()
	if err := g.conn.Invoke(metadata.NewOutgoingContext(t.Context(), md), method, nil, nil); err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(md, before, slices.Equal) {
		t.Errorf("metadata became %v", md)
	}
	if !slices.Equal(g.outgoing["x-user"], []string{"partner"}) || !slices.Equal(g.outgoing["x-tier"], []string{"gold"}) || g.outgoing["x-api-key"] != nil {
		t.Errorf("backend got %v", g.outgoing)
	}
}
