package auth_test

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/authtest"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

const (
	method   = "/shop.v1.Shop/Get"
	issuer   = "https://issuer.example"
	audience = "shop"
)

// Keys of RSA take time to make, so that most tests share an issuer.
var theIssuer = sync.OnceValues(func() (*authtest.Issuer, error) { return authtest.New(issuer, audience) })

func newIssuer(tb testing.TB) *authtest.Issuer {
	tb.Helper()
	i, err := theIssuer()
	if err != nil {
		tb.Fatal(err)
	}
	return i
}

// newStranger has the name of the issuer, and other keys.
func newStranger(tb testing.TB) *authtest.Issuer {
	tb.Helper()
	i, err := authtest.New(issuer, audience)
	if err != nil {
		tb.Fatal(err)
	}
	return i
}

func write(tb testing.TB, path, text string) string {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func file(tb testing.TB, text string) string {
	tb.Helper()
	return write(tb, filepath.Join(tb.TempDir(), "file"), text)
}

// fromFile is an authenticator "jwt" with the issuer's keys in a file.
func fromFile(tb testing.TB, i *authtest.Issuer) *policyv1.Authenticator {
	tb.Helper()
	return &policyv1.Authenticator{Name: "jwt", Kind: &policyv1.Authenticator_Jwt{Jwt: &policyv1.Jwt{
		Issuer: issuer, Audiences: []string{audience}, Algorithms: authtest.Algorithms(),
		Keys: &policyv1.Jwt_JwksFile{JwksFile: file(tb, string(i.JWKS()))},
	}}}
}

func jwtOf(a *policyv1.Authenticator) *policyv1.Jwt { return a.GetJwt() }

func keysOf(name, path string) *policyv1.Authenticator {
	return &policyv1.Authenticator{Name: name, Kind: &policyv1.Authenticator_ApiKeys{ApiKeys: &policyv1.ApiKeys{File: path}}}
}

func basicOf(name, path string) *policyv1.Authenticator {
	return &policyv1.Authenticator{Name: name, Kind: &policyv1.Authenticator_Basic{Basic: &policyv1.Basic{File: path}}}
}

func newAuth(tb testing.TB, o auth.Options, list ...*policyv1.Authenticator) *auth.Authenticators {
	tb.Helper()
	a, err := auth.New(policytest.Authenticators(tb, list), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := a.Close(); err != nil {
			tb.Error(err)
		}
	})
	return a
}

// gate is one RPC behind the policy.
type gate struct {
	policy interceptors.Interceptor
	conn   grpc.ClientConnInterface
	// What came of the last call.
	call     *call.Call
	reached  bool
	outgoing metadata.MD // as the backend saw it
}

func newGate(tb testing.TB, a *auth.Authenticators, rule *policyv1.Auth, strip ...string) *gate {
	tb.Helper()
	return behind(policytest.Build(tb, a, interceptors.Method{Name: method, Policy: &policyv1.Policy{Auth: rule}, Strip: strip}))
}

// behind is an RPC behind a policy.
func behind(policy interceptors.Interceptor) *gate {
	g := &gate{policy: policy}
	see := func(ctx context.Context) {
		g.reached, g.call = true, call.From(ctx)
		g.outgoing, _ = metadata.FromOutgoingContext(ctx)
	}
	g.conn = interceptors.Chain(calltest.Conn{
		OnInvoke: func(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error { see(ctx); return nil },
		OnStream: func(ctx context.Context, _ *grpc.StreamDesc, _ string) (grpc.ClientStream, error) {
			see(ctx)
			return &calltest.ClientStream{}, nil
		},
	}, policy)
	return g
}

// do makes a call with this metadata: keys and values in turn.
func (g *gate) do(ctx context.Context, pairs ...string) error {
	return g.doAs(ctx, &call.Call{Method: method, Start: time.Now()}, pairs...)
}

func (g *gate) doAs(ctx context.Context, c *call.Call, pairs ...string) error {
	g.reached, g.outgoing, g.call = false, nil, c
	ctx = metadata.NewOutgoingContext(call.With(ctx, c), metadata.Pairs(pairs...))
	return g.conn.Invoke(ctx, method, nil, nil)
}

func (g *gate) challenges() []string { return g.call.Header()["www-authenticate"] }

func (g *gate) id() string {
	if who := g.call.Caller(); who != nil {
		return who.ID
	}
	return ""
}

func accept(names ...string) *policyv1.Auth { return &policyv1.Auth{Accept: names} }

func yes() *bool { b := true; return &b }

func seconds(s float64) *durationpb.Duration {
	return durationpb.New(time.Duration(s * float64(time.Second)))
}

func wantCode(tb testing.TB, what string, err error, want codes.Code) {
	tb.Helper()
	if got := call.CodeOf(err); got != want {
		tb.Errorf("%s: %v (%v), want %v", what, call.CodeName(got), err, call.CodeName(want))
	}
}

// withHeader is a token with another header.
func withHeader(token, header string) string {
	_, rest, _ := strings.Cut(token, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + rest
}

func codeOf(err error) codes.Code { return call.CodeOf(err) }

// secretHash is of "secret", as cheap as bcrypt gets.
const secretHash = "$2y$04$HPvtf7y8./6DdfREe8o34eNyiNH3dBFHxv997wC8QUUCVE5tPWCGm"

// verifySignature verifies with the algorithms that a configuration has by default
// where none are named.
func verifySignature(set []byte, algorithms []string, token string) error {
	if algorithms == nil {
		algorithms = []string{"RS256", "PS256", "ES256", "EdDSA"}
	}
	return auth.VerifySignature(set, algorithms, token)
}
