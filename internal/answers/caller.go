package answers

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Who tells whose an answer is, as parts of a key.
type Who struct {
	Kind, Authenticator, ID string
}

// CallerOf is who calls, as far as a policy proved it; callers of whom nothing
// is known are one. It is not known if the call has a credential of its own
// ([Credentials]), for then the backend may answer each caller differently (RFC
// 9111, section 3.5, of shared caches).
func CallerOf(ctx context.Context) (_ Who, known bool) {
	if len(Credentials(ctx)) > 0 {
		return Who{}, false
	}
	c := call.From(ctx)
	if c == nil || c.Caller() == nil {
		return Who{Kind: "nobody"}, true
	}
	id, known := c.Caller().Identity()
	switch {
	case !known:
		return Who{}, false
	case id.ByCredential:
		return Who{"credential", id.Authenticator, id.ID}, true
	default:
		return Who{"caller", id.Authenticator, id.ID}, true
	}
}

// Credentials are the headers of a call that say who calls ([SaysWho]) and do not
// belong to the caller that a policy proved: their keys and values, in pairs, sorted.
// The backend may tell end users apart by them, for example behind an application's
// API key. A token or password that proved the caller leaves none: cookies beside it
// belong to the same user. What the gateway itself tells backends is none either.
func Credentials(ctx context.Context) []string {
	if c := call.From(ctx); c != nil {
		if _, known := c.Caller().Identity(); known && c.Caller().ByAuthorization {
			return nil
		}
	}
	var keys []string
	for key := range call.Sent(ctx) { // what was not sent is the gateway's word
		if SaysWho(key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var pairs []string
	for _, key := range keys {
		for _, value := range metadata.ValueFromOutgoingContext(ctx, key) { // nothing, where it stays here
			pairs = append(pairs, key, value)
		}
	}
	return pairs
}

// SaysWho tells a header by which a backend may know who calls, by its name: one that
// carries a credential, or names a user or tenant. Backends name such headers as they
// like, so the words decide that these names are made of in practice: authorization,
// x-api-key, x-auth-token, cf-access-jwt-assertion, x-user-id. A header that is none
// but has such a word costs a cached answer; one that is missed would give one caller's
// answer to another.
func SaysWho(key string) bool {
	if strings.Contains(key, "idempotency") || strings.HasSuffix(key, "user-agent") {
		return false
	}
	found, last := false, ""
	for rest := key; rest != ""; {
		last, rest = word(rest)
		switch last {
		case "csrf", "xsrf": // such a token proves a page, not a caller
			return false
		case "auth", "authorization", "authentication", "token", "jwt", "apikey", "secret", "password", "passwd",
			"session", "sessionid", "cookie", "credential", "credentials", "assertion", "identity", "principal",
			"user", "userid", "username", "email", "tenant", "account", "customer":
			found = true
		}
	}
	return found || last == "key"
}

// word takes the first word off a key of metadata.
func word(key string) (first, rest string) {
	for i := range len(key) {
		if c := key[i]; c == '-' || c == '_' || c == '.' {
			return key[:i], key[i+1:]
		}
	}
	return key, ""
}
