package auth_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/test/authtest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

// What has not changed keeps its keys, and lives as long as anybody uses it.
func TestPreviousAuthenticators(t *testing.T) {
	i := newIssuer(t)
	w := &web{respond: says(200, i.JWKS())}
	o := auth.Options{Transport: w}
	first, err := auth.New(policytest.Authenticators(t, []*policyv1.Authenticator{fromURL()}), o)
	if err != nil {
		t.Fatal(err)
	}
	token := func() string { return "Bearer " + i.Sign("ES256", i.Claims(time.Now())) }
	rule := accept("jwt")
	if err := newGate(t, first, rule).do(context.Background(), "authorization", token()); err != nil {
		t.Fatal(err)
	}
	asked := w.count()
	o.Previous = first
	second, err := auth.New(policytest.Authenticators(t, []*policyv1.Authenticator{basicOf("basic", file(t, "ada:"+secretHash)), fromURL()}), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := newGate(t, second, rule).do(context.Background(), "authorization", token()); err != nil {
		t.Error(err)
	}
	if got := w.count(); got != asked {
		t.Errorf("keys were fetched %d times more", got-asked)
	}
	// A changed one begins anew, with keys of its own.
	other, err := authtest.New(issuer, audience)
	if err != nil {
		t.Fatal(err)
	}
	w.becomes(says(200, other.JWKS()))
	changed := fromURL()
	changed.GetJwt().Leeway = durationpb.New(time.Second)
	o.Previous = second
	third := newAuth(t, o, changed)
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	g := newGate(t, third, rule)
	wantCode(t, "a token of the keys before", g.do(context.Background(), "authorization", token()), codes.Unauthenticated)
	if err := g.do(context.Background(), "authorization", "Bearer "+other.Sign("ES256", other.Claims(time.Now()))); err != nil {
		t.Errorf("a token of the new keys: %v", err)
	}
}
