package auth_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/test/authtest"
)

// TestHostileTokens sends the table past the policy, with a new clock that stands
// still: a token that is late or early by a second is so by exactly one.
func TestHostileTokens(t *testing.T) {
	for name, more := range map[string][]string{
		"algorithms of the issuer": nil,
		"and those of secrets":     {"HS256", "HS384", "HS512"}, // so that confusing keys is what must fail
	} {
		t.Run(name, func(t *testing.T) { driveHostile(t, more) })
	}
}

func driveHostile(t *testing.T, more []string) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		now := time.Now()
		a := fromFile(t, i)
		jwtOf(a).Algorithms = append(jwtOf(a).Algorithms, more...)
		g := newGate(t, newAuth(t, auth.Options{}, a), accept("jwt"))
		for _, tok := range i.Valid(now) {
			if err := g.do(t.Context(), "authorization", tok.Value); err != nil || !g.reached || g.id() != "alice" {
				t.Errorf("valid token %q: %v, reached %t as %q", tok.Name, err, g.reached, g.id())
			}
		}
		hostile := i.Hostile(now)
		for _, tok := range hostile {
			err := g.do(t.Context(), "authorization", tok.Value)
			wantCode(t, tok.Name, err, codes.Unauthenticated)
			if g.reached || g.call.Caller() != nil {
				t.Errorf("hostile token %q got in", tok.Name)
			}
			if len(g.challenges()) != 1 {
				t.Errorf("hostile token %q: challenges %q", tok.Name, g.challenges())
			}
		}
		// They were refused for what they are, not because all are.
		for _, tok := range i.Valid(now) {
			if err := g.do(t.Context(), "authorization", tok.Value); err != nil {
				t.Errorf("valid token %q, again: %v", tok.Name, err)
			}
		}
		t.Logf("%d hostile tokens, %d of them sendable", len(hostile), count(hostile))
	})
}

func count(list []authtest.Token) (n int) {
	for _, t := range list {
		if t.Sendable() {
			n++
		}
	}
	return n
}

func TestHostileTableIsLarge(t *testing.T) {
	i := newIssuer(t)
	names, values := map[string]bool{}, map[string]bool{}
	list := i.Hostile(time.Now())
	for _, tok := range list {
		if names[tok.Name] {
			t.Errorf("two are named %q", tok.Name)
		}
		names[tok.Name], values[tok.Value] = true, true
	}
	if len(values) < 300 || len(values) < len(list) {
		t.Errorf("%d hostile tokens, %d of them distinct; want 300, all of them", len(list), len(values))
	}
	if n := count(list); n < 200 {
		t.Errorf("%d can be sent in a header, want 200", n)
	}
}
