package live_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// listening is a backend that keeps the metadata of each call.
func listening() (*shopBackend, <-chan metadata.MD) {
	seen := make(chan metadata.MD, 10)
	return &shopBackend{see: func(ctx context.Context) {
		md, _ := metadata.FromIncomingContext(ctx)
		seen <- md
	}}, seen
}

// guarded lets in who has a key, tells backends of it, and has one RPC that is
// public.
func guarded(t *testing.T) func(*configv1.Config) {
	t.Helper()
	keys := keysOf(t, "ada")
	return func(c *configv1.Config) {
		keys(c)
		public := c.GetExpose()[0]
		c.Expose = append(c.Expose, proto.Clone(public).(*configv1.Exposure))
		public.Select = "shop.catalog.v1.CatalogService.CreateProduct"
		c.Expose[1].Select = "shop.catalog.v1.CatalogService.GetShelf"
		c.Expose[1].Policy.Auth = &policyv1.Auth{Accept: []string{"keys"}, Forward: map[string]string{"x-user": "sub", "x-user-team": "team"}}
	}
}

func TestCredentialsAreReadOneWay(t *testing.T) {
	b, seen := listening()
	g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), guarded(t)))
	for _, tc := range []struct {
		headers string
		code    string
	}{
		{"X-Api-Key: key-of-ada", "200"},
		{"x-API-key: key-of-ada", "200"},
		{"X-Api-Key:   key-of-ada  ", "200"}, // RFC 9112, section 5: no part of the value
		{"Grpc-Metadata-X-Api-Key: key-of-ada", "200"},
		{"X-Api-Key: wrong\nGrpc-Metadata-X-Api-Key: key-of-ada", "401"},
		{"X_Api_Key: key-of-ada", "401"},
		{"X-Api_Key: key-of-ada", "401"},
		{"X.Api.Key: key-of-ada", "401"},
		{"X-Api-Key: key-of-ada\nX-Api-Key: key-of-ada", "401"},
		{"X-Api-Key: wrong\nX-Api-Key: key-of-ada", "401"},
		{"X-Api-Key: key-of-ada, key-of-ada", "401"},
		{"X-Api-Key: key-of-ada\x01", "400"},
		{"X-Api-Key: key-of-ada\x00", "400"},
		{"X-Api-Key: key-of-ad\xc3\xa0", "401"},               // dropped, as no metadata
		{"X-Api-Key: key-of-ada\nX-Api-Key: \xc3\xa0", "401"}, // dropped whole
		{"X-Api-Key : key-of-ada", "400"},
		{"X-Api-Key: key-of-\n ada", "40"}, // an obsolete fold
		{"X-Api-Key:", "401"},
		{"X-Api-Key: \"key-of-ada\"", "401"},
		{"X-Api-Key: KEY-OF-ADA", "401"},
		{"X-Api-Key: " + strings.Repeat("a", 60_000), "401"},
		{"X-Api-Key: " + strings.Repeat("a", 100_000), "431"},
		{"Connection: x-api-key\nX-Api-Key: key-of-ada", "401"},
		{"Authorization: ApiKey key-of-ada", "401"},
		{"Cookie: x-api-key=key-of-ada", "401"},
	} {
		text := "GET /v1/shelves/tents HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + strings.ReplaceAll(tc.headers, "\n", "\r\n") + "\r\n\r\n"
		got := gatewaytest.Raw(t, g.HTTP, text, true)
		if !strings.HasPrefix(got, "HTTP/1.1 "+tc.code) {
			t.Errorf("%.80q: got %.200q, want %s", tc.headers, got, tc.code)
			continue
		}
		if strings.Contains(got, "of-ada") && tc.code != "200" {
			t.Errorf("%.80q: the refusal tells of who is known: %s", tc.headers, got)
		}
		if tc.code == "200" {
			md := gatewaytest.Receive(t, seen, "the call")
			for key, values := range md {
				if strings.Contains(strings.Join(values, " "), "key-of-ada") {
					t.Errorf("%q: the key reached the backend as %q", tc.headers, key)
				}
			}
		}
	}
	select {
	case md := <-seen:
		t.Errorf("a call that was refused reached the backend: %v", md)
	default:
	}
}

func TestWhoCallsIsTheGatewaysToSay(t *testing.T) {
	b, seen := listening()
	g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), guarded(t)))
	spell := []func(string) string{
		func(n string) string { return n },
		strings.ToUpper,
		http.CanonicalHeaderKey,
		func(n string) string { return strings.ReplaceAll(n, "-", "_") },
		func(n string) string { return strings.Replace(n, "-", "_", 1) },
		func(n string) string { return strings.ReplaceAll(n, "-", ".") },
		func(n string) string { return "Grpc-Metadata-" + n },
		func(n string) string { return "grpc-metadata-" + strings.ReplaceAll(n, "-", "_") },
		func(n string) string { return "X-" + strings.TrimPrefix(n, "x-") },
	}
	for _, d := range doors() {
		caller := d.open(t, g)
		for _, name := range []string{"x-user", "x-user-team"} {
			for _, s := range spell {
				spelled := s(name)
				if d.name != "REST over HTTP/1.1" {
					spelled = strings.ToLower(spelled)
				}
				for _, r := range []rpc{getShelf, createProduct} {
					headers := []string{spelled, "evil", spelled, "evil"}
					if r == getShelf {
						headers = append(headers, "x-api-key", "key-of-ada")
					}
					if got := caller.call(t.Context(), r, headers...); got.code != codes.OK {
						t.Fatalf("%s, %s: %v %s", d.name, spelled, got.code, got.message)
					}
					md := gatewaytest.Receive(t, seen, "the call")
					for key, values := range md {
						// Dots mean no other key to those inside the process, who send what they mean.
						if strings.Contains(strings.Join(values, " "), "evil") && (d.protocol != call.InProcess || strings.ContainsAny(key, "-_") && !strings.HasPrefix(key, "grpc-metadata")) {
							t.Errorf("%s, %s: the backend was told %s: %q", d.name, spelled, key, values)
						}
					}
					want := map[rpc]string{getShelf: "of-ada"}[r]
					if got := strings.Join(md["x-user-team"], ","); got != want {
						t.Errorf("%s, %s: x-user-team is %q, want %q", d.name, spelled, got, want)
					}
				}
			}
		}
	}
}

func TestCertificatesAtBothListeners(t *testing.T) {
	b, seen := listening()
	ca := gatewaytest.NewAuthority(t)
	g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), func(c *configv1.Config) {
		conf := &configv1.ServerTls{CertFile: ca.CertFile, KeyFile: ca.KeyFile, ClientCaFile: ca.CAFile}
		c.Listeners.Http.Tls, c.Listeners.Grpc.Tls = conf, conf
		c.Authenticators = []*policyv1.Authenticator{{Name: "certs", Kind: &policyv1.Authenticator_Mtls{Mtls: &policyv1.Mtls{Subjects: []string{"CN=gatehouse test"}}}}}
		c.Expose[0].Policy.Auth = &policyv1.Auth{Accept: []string{"certs"}, Forward: map[string]string{"x-cert": "subject"}}
	}))
	conf := &tls.Config{RootCAs: ca.Pool, Certificates: []tls.Certificate{ca.Client}}
	md := func() string {
		return strings.Join(gatewaytest.Receive(t, seen, "the call")["x-cert"], ",")
	}
	client := gatewaytest.Client(t, func(tr *http.Transport) { tr.TLSClientConfig = conf.Clone() })
	r := g.Request(t, "GET", "/v1/shelves/tents", "", "X-Cert: evil")
	r.URL.Scheme = "https"
	if got := gatewaytest.Do(t, client, r); got.StatusCode != http.StatusOK {
		t.Fatalf("REST: %d %s", got.StatusCode, got.Text)
	}
	if got := md(); got != "CN=gatehouse test" {
		t.Errorf("REST: x-cert is %q", got)
	}
	for _, address := range []string{g.GRPC, g.HTTP} {
		cc := gatewaytest.Dial(t, address, conf.Clone())
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-cert", "evil")
		if _, err := catalogv1.NewCatalogServiceClient(cc).GetShelf(ctx, &catalogv1.GetShelfRequest{Name: "shelves/tents"}); err != nil {
			t.Fatal(err)
		}
		if got := md(); got != "CN=gatehouse test" {
			t.Errorf("gRPC: x-cert is %q", got)
		}
	}
	// From inside the process nobody has shown one.
	inside := &grpcCaller{g.Gateway.Conn()}
	if got := inside.call(t.Context(), getShelf); got.code != codes.Unauthenticated {
		t.Errorf("inside the process: %v", got.code)
	}
}

// A condition that cannot be decided refuses the call.
func TestConditionsThatFailRefuse(t *testing.T) {
	for _, allow := range []string{
		`caller.claims.nothing == "x"`, `caller.claims.nothing != "x"`, `headers["x-absent"] != "x"`, `caller.claims.team.size() > 0 && caller.claims.team.deep == 1`,
		`1 / (size(headers) - size(headers)) == 1`, `headers["x-absent"].matches("a")`, `!(caller.claims.nothing in ["a"])`,
	} {
		atEveryDoor(t, scene{
			rpcs: []rpc{getShelf}, config: keysOf(t, "ada"),
			policy: func(p *policyv1.Policy) { p.Auth = &policyv1.Auth{Accept: []string{"keys"}, Allow: &allow} },
			play: func(t *testing.T, s *stage) {
				got := s.want(t, codes.PermissionDenied, "x-api-key", "key-of-ada")
				if strings.Contains(got.message, "nothing") || strings.Contains(got.message, "absent") {
					t.Errorf("the refusal tells of the rule: %s", got.message)
				}
				s.wantCalls(t, 0)
			},
		})
	}
}

// A request that cannot be read is refused as that, whoever wanted to look at it
// first, and leaves nothing behind.
func TestRequestsThatCannotBeRead(t *testing.T) {
	const small = 100
	keys := keysOf(t, "ada")
	for name, policy := range map[string]func(*policyv1.Policy){
		"none": func(*policyv1.Policy) {},
		"allow": func(p *policyv1.Policy) {
			p.Auth = &policyv1.Auth{Accept: []string{"keys"}, Allow: new(`request.product.display_name != ""`)}
		},
		"rate limit": func(p *policyv1.Policy) {
			p.RateLimit = []*policyv1.RateLimit{{Requests: proto.Uint32(1), Per: durationpb.New(time.Hour), Key: new("request.product.display_name")}}
		},
		"idempotency": func(p *policyv1.Policy) { p.Idempotency = &policyv1.Idempotency{} },
		"fallback":    func(p *policyv1.Policy) { p.Fallback = fixedAnswer(`{}`) },
		"retry": func(p *policyv1.Policy) {
			p.Retry = &policyv1.Retry{Safe: new(true), AttemptTimeout: durationpb.New(time.Minute)}
		},
		"breaker": func(p *policyv1.Policy) {
			p.Breaker = &policyv1.Breaker{Kind: policyv1.Breaker_KIND_THREE_STATE.Enum(), MinimumCalls: proto.Uint32(1)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := &shopBackend{}
			g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), keys, only(createProduct), func(c *configv1.Config) {
				c.Limits = &configv1.Limits{MaxBodyBytes: proto.Int64(small)}
				policy(c.GetExpose()[0].GetPolicy())
			}))
			client := gatewaytest.Client(t)
			send := func(body string, chunked bool) int {
				r := g.Request(t, "POST", "/v1/products", body, "X-Api-Key: key-of-ada", `Idempotency-Key: "one"`, "Content-Type: application/json")
				if chunked {
					r.ContentLength = -1
				}
				return gatewaytest.Do(t, client, r).StatusCode
			}
			for range 2 {
				for body, want := range map[string]int{
					`{"displayName": `:           http.StatusBadRequest,
					`{"displayName": "a"} oh`:    http.StatusBadRequest,
					`{"displayName": 1}`:         http.StatusBadRequest,
					`{"nothing": 1}`:             http.StatusBadRequest,
					strings.Repeat(" ", small+1): http.StatusRequestEntityTooLarge,
				} {
					for _, chunked := range []bool{false, true} {
						if got := send(body, chunked); got != want {
							t.Errorf("%.20q, chunked %v: got %d, want %d", body, chunked, got, want)
						}
					}
				}
			}
			if n := b.calls.Load(); n != 0 {
				t.Errorf("the backend was called %d times", n)
			}
			if got := send(`{"displayName": "Mug"}`, false); got != http.StatusOK {
				t.Errorf("a good one after them: %d", got)
			}
		})
	}
}

func TestPreflightNeedsNoCredentials(t *testing.T) {
	b := &shopBackend{}
	g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), guarded(t), func(c *configv1.Config) {
		c.Cors = &configv1.Cors{AllowOrigins: []string{"https://shop.example"}}
	}))
	client := gatewaytest.Client(t)
	got := gatewaytest.Do(t, client, g.Request(t, "OPTIONS", "/v1/shelves/tents", "", "Origin: https://shop.example", "Access-Control-Request-Method: GET"))
	if got.StatusCode != http.StatusNoContent || got.Header.Get("Access-Control-Allow-Origin") != "https://shop.example" {
		t.Errorf("preflight: %d %v", got.StatusCode, got.Header)
	}
	got = gatewaytest.Do(t, client, g.Request(t, "GET", "/v1/shelves/tents", "", "Origin: https://shop.example"))
	if got.StatusCode != http.StatusUnauthorized || got.Header.Get("Access-Control-Allow-Origin") != "https://shop.example" {
		t.Errorf("without credentials: %d %v; a page must be able to read why", got.StatusCode, got.Header)
	}
	if got := gatewaytest.Do(t, client, g.Request(t, "HEAD", "/v1/shelves/tents", "")); got.StatusCode != http.StatusUnauthorized || got.Text != "" {
		t.Errorf("HEAD: %d %q", got.StatusCode, got.Text)
	}
}

// By default nobody may call.
func TestNobodyMayCallByDefault(t *testing.T) {
	b := (&shopBackend{}).start(t)
	for _, tc := range []struct{ selects, names string }{
		{"shop.catalog.v1.CatalogService.GetShelf", "shop.catalog.v1.CatalogService.GetShelf"},
		{"shop.catalog.*", "shop.catalog.v1.CatalogService.CreateProduct"},
	} {
		file, err := config.New(gatewaytest.Config(b, func(c *configv1.Config) {
			c.Expose[0].Select = tc.selects
			c.Expose[0].Policy.Auth = &policyv1.Auth{}
		}))
		if err == nil {
			_, err = live.New(t.Context(), live.Options{Config: file, LogTo: new(gatewaytest.Log)})
		}
		if err == nil || !strings.Contains(err.Error(), tc.names) || !strings.Contains(err.Error(), "expose[0].policy.auth") {
			t.Errorf("%s: error %v, want one that names the field and %s", tc.selects, err, tc.names)
		}
	}
}

func TestBreakersAreShown(t *testing.T) {
	b := &shopBackend{fail: func(int64) error { return down }}
	g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), func(c *configv1.Config) {
		c.Expose[0].Policy.Breaker = &policyv1.Breaker{Kind: policyv1.Breaker_KIND_THREE_STATE.Enum(), MinimumCalls: proto.Uint32(1), OpenTime: durationpb.New(time.Hour)}
	}))
	s := &stage{caller: doors()[0].open(t, g), backend: b, rpc: getShelf}
	s.want(t, codes.Unavailable)
	if got := s.want(t, codes.Unavailable); got.first("retry-after") == "" {
		t.Errorf("an open breaker says nothing of when: %v", got.header)
	}
	r := g.Request(t, "GET", "/breakers", "")
	r.URL.Host = g.Admin
	got := gatewaytest.Do(t, gatewaytest.Client(t), r)
	var states []map[string]any
	if err := json.Unmarshal([]byte(got.Text), &states); err != nil {
		t.Fatalf("%v: %s", err, got.Text)
	}
	open := 0
	for _, state := range states {
		if state["state"] == "open" {
			open++
		}
	}
	if open != 1 {
		t.Errorf("%d breakers are open, want one: %s", open, got.Text)
	}
}
