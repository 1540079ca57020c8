package auth_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

// kept is a call with a token that was verified before, as all but the first are.
func kept(tb testing.TB, rule *policyv1.Auth, strip ...string) (grpc.ClientConnInterface, context.Context) {
	tb.Helper()
	i := newIssuer(tb)
	policy := policytest.Build(tb, newAuth(tb, auth.Options{}, fromFile(tb, i)), interceptors.Method{Name: method, Policy: &policyv1.Policy{Auth: rule}, Strip: strip})
	claims := i.Claims(time.Now())
	claims["exp"] = time.Now().Unix() + 3600
	md := metadata.Pairs("authorization", "Bearer "+i.Sign("RS256", claims), "x-request-id", "r", "x-forwarded-for", "192.0.2.1", "accept-language", "de")
	ctx := metadata.NewOutgoingContext(call.With(tb.Context(), &call.Call{Method: method}), md)
	return interceptors.Chain(calltest.Conn{}, policy), ctx
}

func BenchmarkKeptToken(b *testing.B) {
	for name, tc := range map[string]struct {
		rule  *policyv1.Auth
		strip []string
	}{
		"plain":   {accept("jwt"), nil},
		"strip":   {&policyv1.Auth{Accept: []string{"jwt"}, Scopes: []string{"read"}}, []string{"x-user", "x-tenant-id"}},
		"forward": {&policyv1.Auth{Accept: []string{"jwt"}, Forward: map[string]string{"x-user": "sub"}}, nil},
	} {
		b.Run(name, func(b *testing.B) {
			conn, ctx := kept(b, tc.rule, tc.strip...)
			b.ReportAllocs()
			for b.Loop() {
				if err := conn.Invoke(ctx, method, nil, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestKeptTokenAllocates holds the benchmark's promise: the values of one header.
func TestKeptTokenAllocates(t *testing.T) {
	conn, ctx := kept(t, accept("jwt"))
	if n := testing.AllocsPerRun(100, func() { _ = conn.Invoke(ctx, method, nil, nil) }); n > 2 {
		t.Errorf("%v allocations, want 2 at most", n)
	}
}

func BenchmarkNewToken(b *testing.B) {
	i := newIssuer(b)
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		b.Run(alg, func(b *testing.B) {
			token, set := i.Sign(alg, i.Claims(time.Now())), i.JWKS()
			b.ReportAllocs()
			for b.Loop() {
				if err := verifySignature(set, nil, token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
