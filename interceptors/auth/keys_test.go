package auth_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

const jwksURL = "https://keys.example/jwks"

// web is all issuers' servers in one.
type web struct {
	respond func(ctx context.Context, url string) (status int, body string)

	mu   sync.Mutex
	asks []string
	at   []time.Time
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.asks, w.at = append(w.asks, r.URL.String()), append(w.at, time.Now())
	respond := w.respond
	w.mu.Unlock()
	status, body := respond(r.Context(), r.URL.String())
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	resp := &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader(body))}
	if status == http.StatusFound {
		resp.Header.Set("Location", body)
	}
	return resp, nil
}

// becomes another.
func (w *web) becomes(respond func(context.Context, string) (int, string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.respond = respond
}

// says answers everything with a body.
func says(status int, body []byte) func(context.Context, string) (int, string) {
	return func(context.Context, string) (int, string) { return status, string(body) }
}

func (w *web) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asks)
}

func fromURL() *policyv1.Authenticator {
	return &policyv1.Authenticator{Name: "jwt", Kind: &policyv1.Authenticator_Jwt{Jwt: &policyv1.Jwt{
		Issuer: issuer, Audiences: []string{audience}, Keys: &policyv1.Jwt_JwksUrl{JwksUrl: jwksURL},
	}}}
}

func discovered() *policyv1.Authenticator {
	a := fromURL()
	jwtOf(a).Keys = &policyv1.Jwt_Discovery{Discovery: true}
	return a
}

// TestDefaultRefresh: keys are fetched every 15 minutes, and for unknown kids at
// most every 10 seconds, however many tokens ask.
func TestDefaultRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, stranger := newIssuer(t), newStranger(t)
		w := &web{respond: says(200, i.JWKS())}
		g := newGate(t, newAuth(t, auth.Options{Transport: w}, fromURL()), accept("jwt"))
		synctest.Wait()
		if w.count() != 1 {
			t.Fatalf("%d fetches at the start", w.count())
		}
		unknown := func() {
			for n := range 100 {
				head := strings.ReplaceAll(unknownKid, "N", fmt.Sprint(n))
				err := g.do(t.Context(), "authorization", "Bearer "+withHeader(stranger.Sign("ES256", stranger.Claims(time.Now())), head))
				wantCode(t, "unknown kid", err, codes.Unauthenticated)
			}
		}
		time.Sleep(9 * time.Second)
		unknown()
		if w.count() != 1 {
			t.Errorf("%d fetches within 10s, want 1", w.count())
		}
		time.Sleep(time.Second)
		unknown()
		if w.count() != 2 {
			t.Errorf("%d fetches after 10s, want 2", w.count())
		}
		time.Sleep(15*time.Minute - time.Second)
		if w.count() != 2 {
			t.Errorf("%d fetches before 15m, want 2", w.count())
		}
		time.Sleep(2 * time.Second)
		if w.count() != 3 {
			t.Errorf("%d fetches after 15m, want 3", w.count())
		}
	})
}

const unknownKid = `{"alg":"ES256","kid":"kN"}`

// TestIssuerWithoutKeys: a set in which no key can be used does not log everybody
// out; for a day the keys of before stay.
func TestIssuerWithoutKeys(t *testing.T) {
	for _, nothing := range []string{`{"keys":[]}`, `{"keys":[{"kty":"new","kid":"k1"}]}`, `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`} {
		synctest.Test(t, func(t *testing.T) {
			i := newIssuer(t)
			reg := prometheus.NewRegistry()
			w := &web{respond: says(200, i.JWKS())}
			g := newGate(t, newAuth(t, auth.Options{Transport: w, Registerer: reg}, fromURL()), accept("jwt"))
			synctest.Wait()
			claims := i.Claims(time.Now())
			claims["exp"] = time.Now().Add(100 * time.Hour).Unix()
			header := "Bearer " + i.Sign("ES256", claims)
			wantCode(t, "with keys", g.do(t.Context(), "authorization", header), codes.OK)
			w.becomes(says(200, []byte(nothing)))
			time.Sleep(23 * time.Hour)
			wantCode(t, "with the keys of before", g.do(t.Context(), "authorization", header), codes.OK)
			if n := fetches(t, reg, "empty"); n < 2 {
				t.Errorf("%v fetches of an empty set are counted", n)
			}
			time.Sleep(2 * time.Hour)
			wantCode(t, "a day later", g.do(t.Context(), "authorization", header), codes.Unauthenticated)
			w.becomes(says(200, i.JWKS()))
			time.Sleep(time.Hour)
			wantCode(t, "with keys again", g.do(t.Context(), "authorization", header), codes.OK)
		})
	}
}

// TestIssuerWithoutKeysAfterAnOutage: the day begins with the first answer without
// keys, however long the issuer was away before.
func TestIssuerWithoutKeysAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		w := &web{respond: says(200, i.JWKS())}
		g := newGate(t, newAuth(t, auth.Options{Transport: w}, fromURL()), accept("jwt"))
		synctest.Wait()
		claims := i.Claims(time.Now())
		claims["exp"] = time.Now().Add(100 * time.Hour).Unix()
		header := "Bearer " + i.Sign("ES256", claims)
		w.becomes(says(503, nil))
		time.Sleep(30 * time.Hour)
		w.becomes(says(200, []byte(`{"keys":[]}`)))
		time.Sleep(20 * time.Hour)
		wantCode(t, "within a day of the first empty set", g.do(t.Context(), "authorization", header), codes.OK)
	})
}

// TestIssuerWithoutKeysEver: who has never had keys is not to be told from who is
// down.
func TestIssuerWithoutKeysEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		w := &web{respond: says(200, []byte(`{"keys":[]}`))}
		g := newGate(t, newAuth(t, auth.Options{Transport: w}, fromURL()), accept("jwt"))
		synctest.Wait()
		header := "Bearer " + i.Sign("ES256", i.Claims(time.Now()))
		wantCode(t, "without keys", g.do(t.Context(), "authorization", header), codes.Unavailable)
		w.becomes(says(200, i.JWKS()))
		time.Sleep(20 * time.Second)
		wantCode(t, "with keys", g.do(t.Context(), "authorization", header), codes.OK)
	})
}

// fetches is how many ended so.
func fetches(t *testing.T, reg *prometheus.Registry, outcome string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "gatehouse_auth_key_fetches_total" && strings.Contains(m.String(), `"`+outcome+`"`) {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

func TestIssuerThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		reg := prometheus.NewRegistry()
		w := &web{respond: says(503, nil)}
		a := fromURL()
		jwtOf(a).Refresh, jwtOf(a).MinRefresh = seconds(60), seconds(5)
		g := newGate(t, newAuth(t, auth.Options{Transport: w, Registerer: reg}, a), accept("jwt"))
		claims := i.Claims(time.Now())
		claims["exp"] = time.Now().Unix() + 36000
		header := "Bearer " + i.Sign("ES256", claims)
		err := g.do(t.Context(), "authorization", header)
		wantCode(t, "never fetched", err, codes.Unavailable)
		if call.FaultOf(err) != call.Gateway || call.PolicyOf(err) != "auth" {
			t.Errorf("fault %v, policy %q", call.FaultOf(err), call.PolicyOf(err))
		}
		if d := call.StatusOf(err).Details(); len(d) != 1 || d[0].(*errdetails.RetryInfo).GetRetryDelay().AsDuration() <= 0 {
			t.Errorf("details %v", d)
		}
		w.becomes(says(200, i.JWKS()))
		time.Sleep(6 * time.Second)
		wantCode(t, "fetched", g.do(t.Context(), "authorization", header), codes.OK)
		w.becomes(says(503, nil))
		time.Sleep(2 * time.Hour)
		wantCode(t, "stale", g.do(t.Context(), "authorization", header), codes.OK)
		fresh := i.Claims(time.Now())
		wantCode(t, "stale, a new token", g.do(t.Context(), "authorization", "Bearer "+i.Sign("RS256", fresh)), codes.OK)
		if n := w.count(); n > 150 {
			t.Errorf("%d fetches of an issuer that is down", n)
		}
		families, err := reg.Gather()
		if err != nil || len(families) != 1 || families[0].GetName() != "gatehouse_auth_key_fetches_total" || len(families[0].GetMetric()) != 3 {
			t.Errorf("%v, %v; want fetches by three outcomes", families, err)
		}
	})
}

// TestWithdrawnKey: what a key has signed goes with it, though it was verified.
func TestWithdrawnKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, young := newIssuer(t), newStranger(t)
		w := &web{respond: says(200, old.JWKS())}
		a := fromURL()
		jwtOf(a).Refresh = seconds(60)
		g := newGate(t, newAuth(t, auth.Options{Transport: w}, a), accept("jwt"))
		header := "Bearer " + old.Sign("ES256", old.Claims(time.Now()))
		wantCode(t, "old", g.do(t.Context(), "authorization", header), codes.OK)
		time.Sleep(61 * time.Second)
		wantCode(t, "old, fetched again", g.do(t.Context(), "authorization", header), codes.OK)
		w.becomes(says(200, young.JWKS()))
		time.Sleep(60 * time.Second)
		wantCode(t, "withdrawn", g.do(t.Context(), "authorization", header), codes.Unauthenticated)
		wantCode(t, "young", g.do(t.Context(), "authorization", "Bearer "+young.Sign("ES256", young.Claims(time.Now()))), codes.OK)
	})
}

// TestOneFetchForAll: while a fetch is under way, all wait for it.
func TestOneFetchForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		w := &web{respond: func(context.Context, string) (int, string) { time.Sleep(3 * time.Second); return 200, string(i.JWKS()) }}
		a := newAuth(t, auth.Options{Transport: w}, fromURL())
		header := "Bearer " + i.Sign("ES256", i.Claims(time.Now()))
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				wantCode(t, "waiting", newGate(t, a, accept("jwt")).do(t.Context(), "authorization", header), codes.OK)
			})
		}
		wg.Wait()
		if w.count() != 1 {
			t.Errorf("%d fetches, want 1", w.count())
		}
	})
}

// TestSlowIssuer: a fetch ends after five seconds, and Close ends one under way.
func TestSlowIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		w := &web{respond: func(ctx context.Context, _ string) (int, string) { <-ctx.Done(); return 200, "" }}
		a, err := auth.New(policytest.Authenticators(t, []*policyv1.Authenticator{fromURL()}), auth.Options{Transport: w})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		wantCode(t, "slow", newGate(t, a, accept("jwt")).do(t.Context(), "authorization", "Bearer "+i.Sign("ES256", i.Claims(time.Now()))), codes.Unavailable)
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("waited %v", took)
		}
		time.Sleep(6 * time.Second) // the next one is under way
		begin = time.Now()
		if err := a.Close(); err != nil || time.Since(begin) != 0 {
			t.Errorf("Close: %v, took %v", err, time.Since(begin))
		}
	})
}
