package hostile_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/hostile"
)

const promiseKeys = "No caller gets, uses up or drops what is another's"

// keysAttacks are about answers that reach the wrong caller. What they break shows
// in no number: they end with an error.
func keysAttacks() []hostile.Attack {
	return []hostile.Attack{{
		Name: "seventy large answers under keys of a stranger's own", Door: hostile.REST1, Promise: promiseKeys,
		Policies: map[string]string{"Once": "auth: {public: true}, idempotency: {at_most_once: true}"},
		Play:     fillKeys,
	}, {
		Name: "an answer for another whose token has no subject", Door: hostile.REST1, Promise: promiseKeys,
		Policies: map[string]string{"Get": "auth: {accept: [idp], anonymous: true}, cache: {ttl: 1h, vary: caller.id}"},
		Config:   issuer(),
		Play: func(t *hostile.Target) error {
			return wantOwn(t, authorized(bearer("alice")), authorized(bearer("bob")))
		},
	}, {
		Name: "the limit of another whose token has no subject", Door: hostile.REST1, Promise: promiseKeys,
		Policies: map[string]string{"Update": "auth: {accept: [idp]}, rate_limit: [{requests: 1, per: 1h, key: caller.id}]"},
		Config:   issuer(),
		Play:     useUp,
	}, {
		Name: "an answer for a host that the client made up", Door: hostile.REST1, Promise: promiseKeys,
		Policies: map[string]string{"Get": `auth: {public: true}, cache: {ttl: 1h, vary: ""}`},
		Play: func(t *hostile.Target) error {
			return wantOwn(t, func(r *http.Request) { r.Host = "evil.example" }, func(*http.Request) {})
		},
	}, {
		Name: "an answer for another's API key that only the backend knows", Door: hostile.REST1, Promise: promiseKeys,
		Policies: map[string]string{"Get": "auth: {public: true}, cache: {ttl: 1h}"},
		Play: func(t *hostile.Target) error {
			return wantOwn(t, func(r *http.Request) { r.Header.Set("X-Api-Key", "alice") }, func(r *http.Request) { r.Header.Set("X-Api-Key", "bob") })
		},
	}}
}

// moreKeysAttacks have answers kept that differ by more than their requests.
func moreKeysAttacks() []hostile.Attack {
	return []hostile.Attack{{
		Name: "the idempotent answer to another whose token has no subject", Door: hostile.REST1, Promise: promiseKeys,
		Policies: map[string]string{"Once": "auth: {accept: [idp]}, idempotency: {}"}, Config: issuer(),
		Play: replay,
	}, {
		Name: "an answer that differs by what the backend's Vary names", Door: hostile.REST1, Promise: promiseKeys,
		Policies: map[string]string{"Get": `auth: {public: true}, cache: {ttl: 1h, vary: ""}`},
		Play: func(t *hostile.Target) error {
			t.Backend.VaryBy("accept-language")
			return wantOwnKept(t, "/v1/things/page", header("Accept-Language", "de"), header("Accept-Language", "fr"))
		},
	}, {
		Name: "a kept page one of whose steps is for another tenant's backend", Door: hostile.REST1, Promise: promiseKeys,
		Policies: map[string]string{"Page": `auth: {public: true}, cache: {ttl: 1h, vary: ""}`},
		Steps:    fmt.Sprintf(`      - {name: thing, call: %s.Get, request: {name: request.name}, into: child}`, hostile.Service),
		Routes:   map[string]string{"Get": "{upstream: others, headers: {x-tenant: acme}}"},
		Play: func(t *hostile.Target) error {
			return wantOwnKept(t, "/v1/pages/page", header("X-Tenant", "main"), header("X-Tenant", "acme"))
		},
	}, {
		Name: "a call for a host that is not served", Door: hostile.REST1, Promise: promiseKeys,
		Config: "listeners: {http: {hosts: [127.0.0.1]}}", Play: misdirected,
	}, {
		Name: "a call for a host that is not served", Door: hostile.Native, Promise: promiseKeys,
		Config: "listeners: {http: {hosts: [127.0.0.1]}}",
		Play: func(t *hostile.Target) error {
			code, err := callGet(t, hostile.Thing{}) // for the host "gatehouse"
			return errors.Join(err, wanted(code, "9"))
		},
	}}
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// wantOwnKept is wantOwn where the answers are kept for those who asked.
func wantOwnKept(t *hostile.Target, path string, callers ...func(*http.Request)) error {
	if err := wantOwnOf(t, path, callers...); err != nil {
		return err
	}
	again, err := ask(t, "127.0.0.1", http.MethodGet, path, nil, callers[0])
	if err == nil && again.header.Get("Age") == "" {
		err = errors.New("no answer is kept: the attack tells nothing")
	}
	return err
}

// replay has two callers make one call with one key.
func replay(t *hostile.Target) error {
	for _, who := range []string{"alice", "bob"} {
		answer, err := ask(t, "127.0.0.1", http.MethodPost, "/v1/things", hostile.Thing{Name: "order"}.JSON(), func(r *http.Request) {
			authorized(bearer(who))(r)
			r.Header.Set("Idempotency-Key", "order-1")
		})
		if err != nil || answer.status != http.StatusOK {
			return fmt.Errorf("%s got %d: %s %w", who, answer.status, answer.body, err)
		}
	}
	if n := t.Backend.Calls("Once"); n != 2 {
		return fmt.Errorf("the calls of two were executed %d times: the second got the first one's answer", n)
	}
	return nil
}

// misdirected asks for a host that is not served, and for one that is.
func misdirected(t *hostile.Target) error {
	for host, want := range map[string]int{"evil.example": http.StatusMisdirectedRequest, t.HTTP: http.StatusOK} {
		answer, err := ask(t, "127.0.0.1", http.MethodGet, "/v1/things/page", nil, func(r *http.Request) { r.Host = host })
		if err != nil || answer.status != want {
			return fmt.Errorf("for %s: %d %s %w, want %d", host, answer.status, answer.body, err, want)
		}
	}
	return nil
}

// fillKeys has a stranger at another address try to push out a victim's key.
func fillKeys(t *hostile.Target) error {
	once := func(from, key string, size int) (int, error) {
		body := hostile.Thing{Name: key, Orders: hostile.Orders{Size: size}}.JSON()
		answer, err := ask(t, from, http.MethodPost, "/v1/things", body, func(r *http.Request) { r.Header.Set("Idempotency-Key", key) })
		return answer.status, err
	}
	if status, err := once("127.0.0.1", "victim", 10); err != nil || status != http.StatusOK {
		return fmt.Errorf("the victim's call: %d %w", status, err)
	}
	refused := 0
	if err := each(70, func(i int) error {
		status, err := once("127.0.0.2", fmt.Sprint("stranger-", i), hostile.MiB)
		if status != http.StatusOK {
			refused++
		}
		return err
	}); err != nil {
		return err
	}
	before := t.Backend.Calls("Once")
	status, err := once("127.0.0.1", "victim", 10)
	switch again := t.Backend.Calls("Once") - before; {
	case err != nil:
		return err
	case again != 0 || status != http.StatusOK:
		return fmt.Errorf("the victim's repetition: %d, executed %d times more; %d of the stranger's calls were refused", status, again, refused)
	}
	if status, err := once("127.0.0.1", "next", 10); err != nil || status != http.StatusOK {
		return fmt.Errorf("the victim's next call: %d %w", status, err)
	}
	return nil
}

// wantOwn wants that two callers are not given one answer.
func wantOwn(t *hostile.Target, callers ...func(*http.Request)) error {
	return wantOwnOf(t, "/v1/things/page", callers...)
}

func wantOwnOf(t *hostile.Target, path string, callers ...func(*http.Request)) error {
	return each(len(callers), func(i int) error {
		switch answer, err := ask(t, "127.0.0.1", http.MethodGet, path, nil, callers[i]); {
		case err != nil:
			return err
		case answer.status != http.StatusOK:
			return fmt.Errorf("status %d: %s", answer.status, answer.body)
		case answer.header.Get("Age") != "":
			return errors.New("got an answer that was kept for another")
		}
		return nil
	})
}

// useUp has one caller use a limit up, and another call then.
func useUp(t *hostile.Target) error {
	for _, call := range []struct {
		who  string
		want int
	}{{"alice", http.StatusOK}, {"alice", http.StatusTooManyRequests}, {"bob", http.StatusOK}} {
		answer, err := ask(t, "127.0.0.1", http.MethodPatch, "/v1/things/page", []byte("{}"), authorized(bearer(call.who)))
		if err != nil || answer.status != call.want {
			return fmt.Errorf("%s got %d, want %d: %s %w", call.who, answer.status, call.want, answer.body, err)
		}
	}
	return nil
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// ask makes a request from an address of the loopback network.
func ask(t *hostile.Target, from, method, path string, body []byte, change func(*http.Request)) (a answer, err error) {
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+t.HTTP+path, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	r.Header.Set("Content-Type", "application/json")
	change(r)
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialer.DialContext}}
	got, err := web.Do(r)
	if err != nil {
		return a, err
	}
	defer got.Body.Close()
	a.status, a.header = got.StatusCode, got.Header
	a.body, err = io.ReadAll(got.Body)
	return a, err
}

// issuer is an authenticator whose key testdata has.
func issuer() string {
	file, err := filepath.Abs(filepath.Join("testdata", "jwks.json"))
	if err != nil {
		panic(err) // there is no working directory
	}
	return fmt.Sprintf("authenticators: [{name: idp, jwt: {issuer: idp, audiences: [things], algorithms: [HS256], jwks_file: %q}}]", file)
}

// bearer is a token without a subject. Each value of apart makes another token.
func bearer(apart string) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	signed := part(`{"alg":"HS256","kid":"test","typ":"JWT"}`) + "." +
		part(fmt.Sprintf(`{"iss":"idp","aud":"things","exp":%d,"jti":%q}`, time.Now().Add(time.Hour).Unix(), apart))
	mac := hmac.New(sha256.New, []byte("a key for tests, which all may know"))
	_, _ = mac.Write([]byte(signed)) // never fails
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func authorized(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}
