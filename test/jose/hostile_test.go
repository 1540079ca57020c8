package jose_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/test/authtest"
)

// headerBytes is how long the gateway lets headers be by default. What is longer
// is refused by HTTP itself, before anybody looks at the token.
const headerBytes = 64 << 10

// sentences are all that a client is told of a credential that is wrong, with
// the challenge beside each: nothing of keys, algorithms or what did not fit.
var sentences = map[string]string{
	"the bearer token is not valid":                                `Bearer realm="gatehouse", error="invalid_token"`,
	"the bearer token has expired":                                 `Bearer realm="gatehouse", error="invalid_token"`,
	"the bearer token is not valid yet":                            `Bearer realm="gatehouse", error="invalid_token"`,
	"the bearer token is for another audience":                     `Bearer realm="gatehouse", error="invalid_token"`,
	`the header "authorization" has nothing that is accepted here`: `Bearer realm="gatehouse"`,
}

// fleeting are valid tokens that need a clock that stands still, as the policy's
// own test has it.
var fleeting = []string{"in its last second", "fraction of a second left"}

// early are hostile tokens that would be valid a second later. They are taken
// from a table for an hour later.
var early = []string{"nbf in a second", "iat in a second"}

// TestHostileTokens sends the table of hostile tokens, as far as a header can
// carry them, to a gateway over both protocols.
func TestHostileTokens(t *testing.T) {
	i, err := authtest.New(issuer, audience)
	if err != nil {
		t.Fatal(err)
	}
	for name, more := range map[string][]string{
		"algorithms of the issuer": nil,
		"and those of secrets":     {"HS256", "HS384", "HS512"}, // so that confusing keys is what must fail
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, authenticator(t, i.JWKS(), slices.Concat(authtest.Algorithms(), more)))
			let := letIn(t, s, i)
			refused(t, s, hostile(t, i))
			// They were refused for what they are, not because all are.
			if let += letIn(t, s, i); s.reached.Load() != let {
				t.Errorf("the backend saw %d calls, want the %d of those let in", s.reached.Load(), let)
			}
		})
	}
}

// hostile are the tokens that can be sent and that no time makes valid.
func hostile(t *testing.T, i *authtest.Issuer) []authtest.Token {
	t.Helper()
	now := time.Now()
	list := slices.DeleteFunc(i.Hostile(now), func(tok authtest.Token) bool {
		return !tok.Sendable() || slices.Contains(early, tok.Name)
	})
	found := 0
	for _, tok := range i.Hostile(now.Add(time.Hour)) {
		if slices.Contains(early, tok.Name) {
			list = append(list, tok)
			found++
		}
	}
	if found != len(early) {
		t.Errorf("%d tokens of the table are named %q", found, early)
	}
	return list
}

// letIn makes a call with each valid token over each protocol.
func letIn(t *testing.T, s *stage, i *authtest.Issuer) (calls int64) {
	t.Helper()
	for _, tok := range i.Valid(time.Now()) {
		if slices.Contains(fleeting, tok.Name) {
			continue
		}
		calls += 2
		if got := s.rest(t, "valid", tok.Value); got.status != http.StatusOK {
			t.Errorf("REST: valid token %q: %+v", tok.Name, got)
		}
		if got := s.native(t, "valid", tok.Value); got.code != codes.OK {
			t.Errorf("gRPC: valid token %q: %+v", tok.Name, got)
		}
	}
	return calls
}

func refused(t *testing.T, s *stage, list []authtest.Token) {
	t.Helper()
	said := map[string]int{}
	tooLong := 0
	for _, tok := range list {
		before := s.reached.Load()
		rest, native := s.rest(t, "hostile", tok.Value), s.native(t, "hostile", tok.Value)
		switch {
		case s.reached.Load() != before:
			t.Errorf("hostile token %q got in: %+v, %+v", tok.Name, rest, native)
		case len(tok.Value) >= headerBytes:
			tooLong++
			// The client of gRPC knows the gateway's limit and does not even send it.
			if rest.status != http.StatusRequestHeaderFieldsTooLarge || native.code != codes.Internal {
				t.Errorf("hostile token %q, of %d bytes: %+v, %+v", tok.Name, len(tok.Value), rest, native)
			}
		default:
			said[rest.text]++
			challenge, known := sentences[rest.text]
			want := answer{code: codes.Unauthenticated, text: rest.text, challenge: challenge}
			if !known || native != want {
				t.Errorf("gRPC: hostile token %q: %+v", tok.Name, native)
			}
			if want.status = http.StatusUnauthorized; !known || rest != want {
				t.Errorf("REST: hostile token %q: %+v", tok.Name, rest)
			}
		}
	}
	for text := range sentences {
		if said[text] == 0 {
			t.Errorf("no hostile token was told %q: take it out of sentences", text)
		}
	}
	if log := s.Log.String(); slices.ContainsFunc(list, func(tok authtest.Token) bool { return len(tok.Value) > 100 && strings.Contains(log, tok.Value[7:]) }) {
		t.Error("a token is in the log")
	}
	t.Logf("%d hostile tokens, %d of them too long for a header; told: %v", len(list), tooLong, said)
}
