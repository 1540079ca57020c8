// Package jose_test shows running gateways tokens that others have published as
// traps, and asserts that none is let in. It is a module of its own so that the
// product does not depend on those tokens.
package jose_test

import (
	"bufio"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer   = "https://issuer.example"
	audience = "shop"
)

// every is each algorithm that an authenticator can be told to take.
var every = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"}

// authenticator takes the issuer's tokens, with keys of a file.
func authenticator(t *testing.T, jwks []byte, algorithms []string) *policyv1.Authenticator {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, jwks, 0o600); err != nil {
		t.Fatal(err)
	}
	return &policyv1.Authenticator{Name: "jwt", Kind: &policyv1.Authenticator_Jwt{Jwt: &policyv1.Jwt{
		Issuer: issuer, Audiences: []string{audience}, Algorithms: algorithms, Keys: &policyv1.Jwt_JwksFile{JwksFile: path},
	}}}
}

// stage is a gateway, the backend behind it, and a client of each protocol.
type stage struct {
	*gatewaytest.Gateway

	reached atomic.Int64 // calls that the backend saw
	http    *http.Client
	grpc    catalogv1.CatalogServiceClient
}

// newStage starts a gateway that lets in whom the authenticator knows.
func newStage(t *testing.T, a *policyv1.Authenticator) *stage {
	t.Helper()
	s := new(stage)
	backend := gatewaytest.Backend(t, gatewaytest.Script{
		"/shop.catalog.v1.CatalogService/GetShelf": gatewaytest.Unary(
			func(_ context.Context, in *catalogv1.GetShelfRequest) (*catalogv1.Shelf, error) {
				s.reached.Add(1)
				return &catalogv1.Shelf{Name: in.GetName()}, nil
			}),
	})
	s.Gateway = gatewaytest.Start(t, gatewaytest.Config(backend, func(c *configv1.Config) {
		c.Authenticators = []*policyv1.Authenticator{a}
		c.GetExpose()[0].GetPolicy().Auth = &policyv1.Auth{Accept: []string{a.GetName()}}
	}))
	s.http = gatewaytest.Client(t)
	s.grpc = catalogv1.NewCatalogServiceClient(gatewaytest.Dial(t, s.GRPC, nil))
	return s
}

// answer is how a call ended, in the same words for both protocols.
type answer struct {
	code      codes.Code
	status    int // of HTTP, 0 for gRPC
	text      string
	challenge string // all of WWW-Authenticate
	details   int
}

// rest calls over HTTP/1.1. The identifier is found again in the log.
func (s *stage) rest(t *testing.T, id, authorization string) answer {
	t.Helper()
	r := s.Request(t, http.MethodGet, "/v1/shelves/tents", "", "X-Request-Id: "+id)
	r.Header["Authorization"] = []string{authorization}
	got := gatewaytest.Do(t, s.http, r)
	a := answer{status: got.StatusCode, challenge: strings.Join(got.Header.Values("WWW-Authenticate"), " and ")}
	var told struct {
		Error struct {
			Status, Message string
			Details         []any
		}
	}
	switch err := json.Unmarshal([]byte(got.Text), &told); {
	case got.StatusCode == http.StatusOK:
		return a
	case err != nil || a.code.UnmarshalJSON([]byte(strconv.Quote(told.Error.Status))) != nil:
		a.code, a.text = codes.Unknown, got.Text
	default:
		a.text, a.details = told.Error.Message, len(told.Error.Details)
	}
	return a
}

// native calls over gRPC.
func (s *stage) native(t *testing.T, id, authorization string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "x-request-id", id, "authorization", authorization)
	var header, trailer metadata.MD
	_, err := s.grpc.GetShelf(ctx, &catalogv1.GetShelfRequest{Name: "shelves/tents"}, grpc.Header(&header), grpc.Trailer(&trailer))
	st := status.Convert(err)
	challenges := append(header.Get("www-authenticate"), trailer.Get("www-authenticate")...)
	return answer{code: st.Code(), text: st.Message(), challenge: strings.Join(challenges, " and "), details: len(st.Details())}
}

var (
	inRequestID = regexp.MustCompile(` request_id=(\S+)`)
	inCause     = regexp.MustCompile(` cause=("(?:[^"\\]|\\.)*"|\S+)`)
)

// causes are what the access log has as the cause of each refusal, by the
// identifier of the call, once the calls with these are all there.
func (s *stage) causes(t *testing.T, ids []string) map[string]string {
	t.Helper()
	found := map[string]string{}
	gatewaytest.Eventually(t, "a line in the log for each call", func() bool {
		lines := bufio.NewScanner(strings.NewReader(s.Log.String()))
		for lines.Scan() {
			id, cause := inRequestID.FindStringSubmatch(lines.Text()), inCause.FindStringSubmatch(lines.Text())
			if id == nil {
				continue
			}
			found[id[1]] = ""
			if cause == nil {
				continue
			}
			found[id[1]] = cause[1]
			if text, err := strconv.Unquote(cause[1]); err == nil {
				found[id[1]] = text
			}
		}
		return !slices.ContainsFunc(ids, func(id string) bool { _, ok := found[id]; return !ok })
	})
	maps.DeleteFunc(found, func(id, _ string) bool { return !slices.Contains(ids, id) })
	return found
}
