package auth_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc/codes"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

const (
	theKey = "k-0123456789abcdef"
	// oneUser is alice with the password "secret", as `htpasswd -nbBC 4` has it.
	oneUser = "# users\n\nalice:" + secretHash + ":read write\n"
)

var (
	oneKey     = "- {id: partner, sha256: " + auth.HashKey(theKey) + ", scopes: [read], claims: {tier: gold, seats: 3}}\n"
	basicAlice = base64.StdEncoding.EncodeToString([]byte("alice:secret"))
)

func TestHashKey(t *testing.T) {
	sum := sha256.Sum256([]byte(theKey))
	if got, want := auth.HashKey(theKey), hex.EncodeToString(sum[:]); got != want {
		t.Errorf("HashKey = %s, want %s", got, want)
	}
}

func TestAPIKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := write(t, filepath.Join(t.TempDir(), "keys.yaml"), oneKey+"- {id: passing, sha256: "+auth.HashKey("old")+", expires: "+time.Now().Add(time.Minute).Format(time.RFC3339)+"}\n")
		g := newGate(t, newAuth(t, auth.Options{}, keysOf("keys", path)), accept("keys"))
		wantCode(t, "right", g.do(t.Context(), "x-api-key", theKey), codes.OK)
		who := g.call.Caller()
		if who == nil || who.ID != "partner" || who.Authenticator != "keys" || fmt.Sprint(who.Scopes) != "[read]" || who.Claims["tier"] != "gold" || who.Claims["seats"] != 3.0 || who.Claims["sub"] != "partner" {
			t.Errorf("caller %+v", who)
		}
		wantCode(t, "not expired yet", g.do(t.Context(), "x-api-key", "old"), codes.OK)
		time.Sleep(time.Minute)
		expired := g.do(t.Context(), "x-api-key", "old")
		wantCode(t, "expired", expired, codes.Unauthenticated)
		unknown := g.do(t.Context(), "x-api-key", "new")
		wantCode(t, "unknown", unknown, codes.Unauthenticated)
		if expired.Error() != unknown.Error() {
			t.Errorf("%q and %q tell which keys there are", expired, unknown)
		}
		for _, wrong := range []string{theKey + " ", " " + theKey, theKey[1:], strings.ToUpper(theKey), auth.HashKey(theKey), strings.Repeat("x", 5000)} {
			wantCode(t, wrong, g.do(t.Context(), "x-api-key", wrong), codes.Unauthenticated)
		}
		write(t, path, "- {id: other, sha256: "+auth.HashKey("new")+"}\n")
		time.Sleep(2 * time.Second)
		wantCode(t, "after the change", g.do(t.Context(), "x-api-key", "new"), codes.OK)
		wantCode(t, "withdrawn", g.do(t.Context(), "x-api-key", theKey), codes.Unauthenticated)
		write(t, path, "- {id: other")
		time.Sleep(2 * time.Second)
		wantCode(t, "after a mistake", g.do(t.Context(), "x-api-key", "new"), codes.OK)
	})
}

func TestKeyHeader(t *testing.T) {
	one := keysOf("keys", file(t, oneKey))
	one.GetApiKeys().Header = "x-token"
	g := newGate(t, newAuth(t, auth.Options{}, one), accept("keys"))
	wantCode(t, "configured header", g.do(t.Context(), "x-token", theKey), codes.OK)
	wantCode(t, "default header", g.do(t.Context(), "x-api-key", theKey), codes.Unauthenticated)
}

func TestWrongKeyFiles(t *testing.T) {
	sum := auth.HashKey("a")
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "it is empty"},
		{"not a list", "id: a", "want a list of"},
		{"unknown field", "- {id: a, sha256: " + sum + ", scope: [a]}", "field scope not found"},
		{"field twice", "- {id: a, sha256: " + sum + ", id: b}", "already defined"},
		{"no id", "- {sha256: " + sum + "}", "key 1 (\"\"): id"},
		{"no hash", "- {id: a}", "key 1 (\"a\"): sha256"},
		{"hash too short", "- {id: a, sha256: " + sum[2:] + "}", "sha256"},
		{"not a hash", "- {id: a, sha256: " + strings.Repeat("z", 64) + "}", "sha256"},
		{"hash of nothing", "- {id: a, sha256: " + auth.HashKey("") + "}", "hash of nothing"},
		{"id twice", "- {id: a, sha256: " + sum + "}\n- {id: a, sha256: " + auth.HashKey("b") + "}", "key 2 (\"a\"): id"},
		{"hash twice", "- {id: a, sha256: " + sum + "}\n- {id: b, sha256: " + sum + "}", "key 2 (\"b\"): sha256"},
		{"expires", "- {id: a, sha256: " + sum + ", expires: tomorrow}", "expires"},
		{"claim that is no JSON", "- {id: a, sha256: " + sum + ", claims: {a: .nan, b: 2026-01-01}}", "claims"},
		{"claim too large", "- {id: a, sha256: " + sum + ", claims: {a: 9007199254740993}}", "claims"},
		{"two documents", "[]\n---\n[]", "something follows"},
	} {
		if _, err := auth.New(policytest.Authenticators(t, []*policyv1.Authenticator{keysOf("keys", file(t, tc.text))}), auth.Options{}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q in it", tc.name, err, tc.want)
		}
	}
}

func basicHeader(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

func TestBasic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := write(t, filepath.Join(t.TempDir(), "htpasswd"), oneUser)
		g := newGate(t, newAuth(t, auth.Options{}, basicOf("basic", path)), accept("basic"))
		for range 2 {
			wantCode(t, "right", g.do(t.Context(), "authorization", basicHeader("alice", "secret")), codes.OK)
			if who := g.call.Caller(); who == nil || who.ID != "alice" || who.Authenticator != "basic" || fmt.Sprint(who.Scopes) != "[read write]" || who.Claims["sub"] != "alice" {
				t.Errorf("caller %+v", who)
			}
		}
		texts := map[string]bool{}
		for _, wrong := range []string{
			basicHeader("alice", "Secret"), basicHeader("bob", "secret"), basicHeader("", "secret"), basicHeader("alice", ""), basicHeader("alic", "esecret"),
			basicHeader("alice", "secret\x00"), basicHeader("alice", "secret"+strings.Repeat("x", 100)), basicHeader("alice\n", "secret"),
			basicHeader("alice", "secret") + "=", strings.TrimRight(basicHeader("alice", "secret1"), "="), "Basic", "Basic ", "Basic  " + basicAlice,
			"Basic " + base64.StdEncoding.EncodeToString([]byte("alice")), "Basic " + base64.StdEncoding.EncodeToString([]byte("alice:\xff")),
		} {
			err := g.do(t.Context(), "authorization", wrong)
			wantCode(t, wrong, err, codes.Unauthenticated)
			texts[err.Error()] = true
		}
		if len(texts) != 1 {
			t.Errorf("the texts %v tell what is wrong", texts)
		}
		write(t, path, "bob:"+secretHash+"\n")
		time.Sleep(2 * time.Second)
		wantCode(t, "new user", g.do(t.Context(), "authorization", basicHeader("bob", "secret")), codes.OK)
		wantCode(t, "user who is gone", g.do(t.Context(), "authorization", basicHeader("alice", "secret")), codes.Unauthenticated)
	})
}

func TestWrongUserFiles(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"plain", "alice:secret", "line 1: the password is not hashed with bcrypt"},
		{"MD5", oneUser + "bob:$apr1$zLXVzk1a$Jb9rVbnNNHJYMVyuwbXtQ1", "line 4: the password is not hashed with bcrypt"},
		{"SHA-1", "bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "line 1: "},
		{"no password", "alice", "line 1: "},
		{"no name", ":" + secretHash, "line 1: want a name"},
		{"cut hash", "alice:" + secretHash[:59], "line 1: "},
		{"too costly", "alice:" + strings.Replace(secretHash, "$04$", "$17$", 1), "cost 17"},
		{"twice", oneUser + oneUser, `the user "alice" is there twice`},
	} {
		if _, err := auth.New([]*policyv1.Authenticator{basicOf("b", file(t, tc.text))}, auth.Options{}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q in it", tc.name, err, tc.want)
		}
	}
}

// TestUnknownUsersTakeAsLong compares what bcrypt is made to do, in its own time.
func TestUnknownUsersTakeAsLong(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("x"), 9)
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, newAuth(t, auth.Options{}, basicOf("basic", file(t, "alice:"+string(hash)))), accept("basic"))
	took := func(name string) time.Duration {
		best := time.Hour
		for range 3 {
			begin := time.Now()
			wantCode(t, name, g.do(t.Context(), "authorization", basicHeader(name, "wrong")), codes.Unauthenticated)
			best = min(best, time.Since(begin))
		}
		return best
	}
	known, unknown := took("alice"), took("nobody")
	const noise = 20 // without a hash to compare with, it would be ten thousand
	if known > noise*unknown || unknown > noise*known {
		t.Errorf("a known user takes %v, an unknown one %v", known, unknown)
	}
}

// TestFloodOfPasswords: those who cannot be checked soon are told so at once.
func TestFloodOfPasswords(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("x"), 10)
	if err != nil {
		t.Fatal(err)
	}
	a := newAuth(t, auth.Options{}, basicOf("basic", file(t, "alice:"+string(hash))))
	var wg sync.WaitGroup
	var mu sync.Mutex
	outcomes := map[codes.Code]int{}
	policy := newGate(t, a, accept("basic")).policy
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	for range 300 {
		g := behind(policy)
		wg.Go(func() {
			err := g.do(ctx, "authorization", basicHeader("alice", "wrong"))
			mu.Lock()
			defer mu.Unlock()
			outcomes[codeOf(err)]++
		})
	}
	wg.Wait()
	if outcomes[codes.Unavailable] == 0 || outcomes[codes.OK] != 0 {
		t.Errorf("outcomes %v, want some told to come again", outcomes)
	}
}
