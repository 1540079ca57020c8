package auth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

func TestWrongRules(t *testing.T) {
	a := newAuth(t, auth.Options{}, fromFile(t, newIssuer(t)), keysOf("partners", file(t, "[]")))
	for _, tc := range []struct {
		name string
		rule *policyv1.Auth
		want string
	}{
		{"no rule", nil, method + " has no rule that says who may call it, and by default nobody may"},
		{"empty rule", &policyv1.Auth{}, "by default nobody may"},
		{"nobody but nobody", &policyv1.Auth{Anonymous: yes()}, "by default nobody may"},
		{"scopes of nobody", &policyv1.Auth{Anonymous: yes(), Accept: []string{"jwt"}, Scopes: []string{"a"}}, "anonymous: "},
		{"unknown name", accept("jwt", "partner"), `accept[1]: there is no authenticator "partner": did you mean "partners"?`},
		{"name twice", accept("jwt", "jwt"), `accept[1]: "jwt" is there twice`},
		{"scope that is two", &policyv1.Auth{Accept: []string{"jwt"}, Scopes: []string{"a", "b c"}}, "scopes[1]: "},
		{"unlike any name", accept("zzzzzzzzzzzz"), "there are jwt, partners"},
		{"public and accept", &policyv1.Auth{Public: yes(), Accept: []string{"jwt"}}, "public: "},
		{"public and anonymous", &policyv1.Auth{Public: yes(), Anonymous: yes()}, "public: "},
		{"public and scopes", &policyv1.Auth{Public: yes(), Scopes: []string{"a"}}, "public: "},
		{"public and allow", &policyv1.Auth{Public: yes(), Allow: new("true")}, "public: "},
		{"forward under a protocol's key", &policyv1.Auth{Accept: []string{"jwt"}, Forward: map[string]string{"grpc-user": "sub"}}, `forward: "grpc-user"`},
		{"forward as a credential", &policyv1.Auth{Accept: []string{"jwt"}, Forward: map[string]string{"authorization": "sub"}}, `forward: "authorization"`},
		{"forward nothing", &policyv1.Auth{Accept: []string{"jwt"}, Forward: map[string]string{"x-user": ""}}, `forward: "x-user"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := policytest.TryBuild(a, interceptors.Method{Name: method, Policy: &policyv1.Policy{Auth: tc.rule}})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("err = %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestWrongAuthenticators(t *testing.T) {
	jwt := func(change func(*policyv1.Jwt)) *policyv1.Authenticator {
		a := fromURL()
		change(jwtOf(a))
		return a
	}
	mtls := func(m *policyv1.Mtls) *policyv1.Authenticator {
		return &policyv1.Authenticator{Name: "mtls", Kind: &policyv1.Authenticator_Mtls{Mtls: m}}
	}
	for _, tc := range []struct {
		name string
		one  *policyv1.Authenticator
		want string
	}{
		{"no name", &policyv1.Authenticator{}, "authenticators[0].name: "},
		{"no kind", &policyv1.Authenticator{Name: "x"}, "authenticators[0].kind: "},
		{"unknown algorithm", jwt(func(j *policyv1.Jwt) { j.Algorithms = []string{"none"} }), `jwt.algorithms: algorithm "none" is not known`},
		{"not a URL", jwt(func(j *policyv1.Jwt) { j.Keys = &policyv1.Jwt_JwksUrl{JwksUrl: "keys"} }), "jwt.jwks_url: "},
		{"URL of a file", jwt(func(j *policyv1.Jwt) { j.Keys = &policyv1.Jwt_JwksUrl{JwksUrl: "file:///keys"} }), "jwt.jwks_url: "},
		{"issuer that is no URL", jwt(func(j *policyv1.Jwt) { j.Issuer, j.Keys = "me", &policyv1.Jwt_Discovery{Discovery: true} }), "jwt.issuer: "},
		{"no file", jwt(func(j *policyv1.Jwt) { j.Keys = &policyv1.Jwt_JwksFile{JwksFile: "/nowhere"} }), "jwt.jwks_file: "},
		{"empty key set", jwt(func(j *policyv1.Jwt) { j.Keys = &policyv1.Jwt_JwksFile{JwksFile: file(t, `{"keys":[]}`)} }), "no key can be used"},
		{"no key that can be used", jwt(func(j *policyv1.Jwt) {
			j.Keys = &policyv1.Jwt_JwksFile{JwksFile: file(t, `{"keys":[{"kty":"EC","use":"enc"}]}`)}
		}), `keys[0]: its use is "enc"`},
		{"key header of another meaning", &policyv1.Authenticator{Name: "k", Kind: &policyv1.Authenticator_ApiKeys{
			ApiKeys: &policyv1.ApiKeys{Header: "authorization", File: file(t, "[]")},
		}}, "api_keys.header: "},
		{"mtls with nobody", mtls(&policyv1.Mtls{}), "mtls: subjects, names or spiffe_ids: "},
		{"spiffe of any domain", mtls(&policyv1.Mtls{SpiffeIds: []string{"spiffe://*"}}), "mtls.spiffe_ids[0]: "},
		{"spiffe of domains alike", mtls(&policyv1.Mtls{SpiffeIds: []string{"spiffe://example.org*"}}), "mtls.spiffe_ids[0]: "},
		{"spiffe with a star within", mtls(&policyv1.Mtls{SpiffeIds: []string{"spiffe://example.org/*/shop"}}), "mtls.spiffe_ids[0]: "},
		{"not spiffe", mtls(&policyv1.Mtls{SpiffeIds: []string{"https://example.org/a"}}), "mtls.spiffe_ids[0]: "},
		{"realm", &policyv1.Authenticator{Name: "b", Kind: &policyv1.Authenticator_Basic{Basic: &policyv1.Basic{Realm: "a\nb", File: file(t, "")}}}, "basic.realm: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := auth.New([]*policyv1.Authenticator{tc.one}, auth.Options{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("err = %v, want %q in it", err, tc.want)
			}
		})
	}
	path := file(t, "[]")
	if _, err := auth.New(policytest.Authenticators(t, []*policyv1.Authenticator{keysOf("a", path), keysOf("a", path)}), auth.Options{}); err == nil || !strings.Contains(err.Error(), "authenticators[1].name: ") {
		t.Errorf("the same name twice: %v", err)
	}
}

func TestScopesAndAllow(t *testing.T) {
	i := newIssuer(t)
	a := newAuth(t, auth.Options{}, fromFile(t, i))
	token := "Bearer " + i.Sign("ES256", i.Claims(time.Now()))
	check := healthpb.File_grpc_health_v1_health_proto.Services().ByName("Health").Methods().ByName("Check")
	for _, tc := range []struct {
		name, reason string
		scopes       []string
		allow        string
		want         codes.Code
		challenges   int
	}{
		{"one scope", "", []string{"read"}, "", codes.OK, 0},
		{"all scopes", "", []string{"write", "read"}, "", codes.OK, 0},
		{"one missing", "SCOPE_MISSING", []string{"read", "admin"}, "", codes.PermissionDenied, 1},
		{"part of one", "SCOPE_MISSING", []string{"rea"}, "", codes.PermissionDenied, 1},
		{"allowed", "", nil, "true", codes.OK, 0},
		{"not allowed", "NOT_ALLOWED", nil, "false", codes.PermissionDenied, 0},
		{"cannot be evaluated", "NOT_ALLOWED", nil, `headers["x-none"] == "a"`, codes.PermissionDenied, 0},
		{"request cannot be read", "", nil, `request.service == "a"`, codes.InvalidArgument, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rule := &policyv1.Auth{Accept: []string{"jwt"}, Scopes: tc.scopes}
			if tc.allow != "" {
				rule.Allow = &tc.allow
			}
			g := behind(policytest.Build(t, a, interceptors.Method{Name: method, Desc: check, Policy: &policyv1.Policy{Auth: rule}}))
			g.call = &call.Call{Method: method, Start: time.Now()}
			ctx := metadata.NewOutgoingContext(call.With(t.Context(), g.call), metadata.Pairs("authorization", token))
			down := &calltest.ServerStream{Ctx: ctx}
			if tc.want == codes.InvalidArgument {
				down.RecvErr = call.Refuse(call.Client, codes.InvalidArgument, "bad")
			}
			err := call.Forward(&call.Method{Name: method, Conn: g.conn}, down)
			wantCode(t, tc.name, err, tc.want)
			if len(g.challenges()) != tc.challenges || g.reached != (tc.want == codes.OK) {
				t.Errorf("challenges %q, reached %t", g.challenges(), g.reached)
			}
			if tc.challenges > 0 && !strings.Contains(g.challenges()[0], `error="insufficient_scope", scope="`+strings.Join(tc.scopes, " ")+`"`) {
				t.Errorf("challenge %q", g.challenges()[0])
			}
			reason := ""
			for _, d := range call.StatusOf(err).Details() {
				if info, ok := d.(*errdetails.ErrorInfo); ok {
					reason = info.GetReason()
				}
			}
			if reason != tc.reason {
				t.Errorf("reason %q, want %q", reason, tc.reason)
			}
		})
	}
}

// TestAllowSeesTheCaller, also nobody, who is asked for credentials rather than
// told that they are forbidden.
func TestAllowSeesTheCaller(t *testing.T) {
	i := newIssuer(t)
	a := newAuth(t, auth.Options{}, fromFile(t, i))
	g := newGate(t, a, &policyv1.Auth{Accept: []string{"jwt"}, Anonymous: yes(), Allow: new(`caller.id != ""`)})
	wantCode(t, "alice", g.do(t.Context(), "authorization", "Bearer "+i.Sign("ES256", i.Claims(time.Now()))), codes.OK)
	wantCode(t, "nobody", g.do(t.Context()), codes.Unauthenticated)
	if len(g.challenges()) != 1 {
		t.Errorf("challenges %q", g.challenges())
	}
}

// TestPublicLooksAtNothing: neither at what is wrong, nor does anybody become known.
func TestPublicLooksAtNothing(t *testing.T) {
	a := newAuth(t, auth.Options{}, fromFile(t, newIssuer(t)))
	g := newGate(t, a, &policyv1.Auth{Public: yes()}, "x-user")
	wantCode(t, "public", g.do(t.Context(), "authorization", "Bearer x", "x-user", "root"), codes.OK)
	if g.call.Caller() != nil || !slices.Equal(g.outgoing["authorization"], []string{"Bearer x"}) || g.outgoing["x-user"] != nil {
		t.Errorf("caller %v, outgoing %v", g.call.Caller(), g.outgoing)
	}
}

func TestStreamsAndCallsFromInside(t *testing.T) {
	i := newIssuer(t)
	g := newGate(t, newAuth(t, auth.Options{}, fromFile(t, i)), accept("jwt"))
	good := metadata.Pairs("authorization", "Bearer "+i.Sign("ES256", i.Claims(time.Now())))
	for name, ctx := range map[string]context.Context{"inside": t.Context(), "call": call.With(t.Context(), &call.Call{Method: method})} {
		wantCode(t, name+" without", g.conn.Invoke(ctx, method, nil, nil), codes.Unauthenticated)
		if _, err := g.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method); call.CodeOf(err) != codes.Unauthenticated || g.reached {
			t.Errorf("%s: stream without: %v", name, err)
		}
		ctx = metadata.NewOutgoingContext(ctx, good)
		wantCode(t, name, g.conn.Invoke(ctx, method, nil, nil), codes.OK)
		if g.id() != "alice" {
			t.Errorf("%s: caller %q", name, g.id())
		}
		g.call, g.reached = nil, false
		if _, err := g.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method); err != nil || g.id() != "alice" {
			t.Errorf("%s: stream: %v by %q", name, err, g.id())
		}
		g.reached = false
	}
}

func TestUnverifiedCertificateIsNone(t *testing.T) {
	a := newAuth(t, auth.Options{}, &policyv1.Authenticator{Name: "mtls", Kind: &policyv1.Authenticator_Mtls{Mtls: &policyv1.Mtls{Names: []string{"x"}}}})
	g := newGate(t, a, accept("mtls"))
	leaf := &x509.Certificate{DNSNames: []string{"x"}, NotAfter: time.Now().Add(time.Hour)}
	for name, state := range map[string]*tls.ConnectionState{"none": nil, "unverified": {PeerCertificates: []*x509.Certificate{leaf}}} {
		wantCode(t, name, g.doAs(t.Context(), &call.Call{TLS: state}), codes.Unauthenticated)
	}
}
