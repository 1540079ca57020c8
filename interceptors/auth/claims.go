package auth

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// maxDate is the last second of the year 9999 (RFC 7519 bounds no date).
const maxDate = 253402300799

// tokenTypes are what a header may say in `typ`: tokens made for another purpose
// name another (RFC 8725, section 3.11).
var tokenTypes = []string{"", "jwt", "at+jwt", "application/jwt", "application/at+jwt"}

// token is a JWT whose signature may not have been verified yet.
type token struct {
	*compact
	claims map[string]any
	issuer string
}

func parseToken(s string) (*token, error) {
	c, err := parseCompact(s)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(tokenTypes, strings.ToLower(c.header.typ)) {
		return nil, fmt.Errorf("the token is of the type %q", c.header.typ)
	}
	claims, err := parseObject(c.payload)
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	issuer, ok := claims["iss"].(string)
	if !ok {
		return nil, errors.New("the claim iss is not a string")
	}
	return &token{c, claims, issuer}, nil
}

// period is when a token holds: from the first time to before the second.
type period struct{ from, until time.Time }

// check tells whether the token holds now.
func (p period) check(now time.Time) error {
	switch {
	case !now.Before(p.until):
		return wrongToken("the bearer token has expired", nil)
	case now.Before(p.from):
		return wrongToken("the bearer token is not valid yet", nil)
	default:
		return nil
	}
}

// periodOf reads exp, which must be there, nbf and iat.
func periodOf(claims map[string]any, leeway time.Duration) (p period, err error) {
	if _, ok := claims["exp"]; !ok {
		return p, errors.New("the claim exp is missing")
	}
	for name, v := range claims {
		switch name {
		case "exp", "nbf", "iat":
		default:
			continue
		}
		f, ok := v.(float64)
		if !ok || f < 0 || f > maxDate {
			return p, fmt.Errorf("the claim %s is not a date", name)
		}
		whole, part := math.Modf(f)
		at := time.Unix(int64(whole), int64(part*float64(time.Second)))
		if name == "exp" {
			p.until = at.Add(leeway)
		} else if at = at.Add(-leeway); at.After(p.from) {
			p.from = at
		}
	}
	return p, nil
}

// meant tells whether one of the audiences is in aud (RFC 7519, section 4.1.3).
func meant(aud any, audiences []string) bool {
	switch aud := aud.(type) {
	case string:
		return slices.Contains(audiences, aud)
	case []any:
		found := false
		for _, v := range aud {
			s, ok := v.(string)
			if !ok {
				return false
			}
			found = found || slices.Contains(audiences, s)
		}
		return found
	default:
		return false
	}
}

// callerOf is who a token is about. One without a subject is about whoever has it.
func callerOf(authenticator string, t *token) (*call.Caller, error) {
	claims := t.claims
	c := &call.Caller{Authenticator: authenticator, Claims: claims, ByAuthorization: true}
	if sub, there := claims["sub"]; there {
		id, ok := sub.(string)
		if !ok {
			return nil, errors.New("the claim sub is not a string")
		}
		if strings.ContainsRune(id, 0) { // with which no key of a policy may be confused
			return nil, errors.New("the claim sub has a NUL")
		}
		c.ID = id
	}
	if c.ID == "" {
		c.Credential = call.HashCredential([]byte(t.signed))
	}
	scopes, ok := claims["scope"]
	if !ok {
		scopes = claims["scp"]
	}
	c.Scopes = scopesOf(scopes)
	return c, nil
}

// scopesOf reads a string with spaces between (RFC 8693, section 4.2) or a list.
func scopesOf(v any) []string {
	switch v := v.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		var list []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				list = append(list, s)
			}
		}
		return list
	default:
		return nil
	}
}
