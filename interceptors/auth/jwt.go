package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

const (
	// keptFor bounds how long a verification is believed without being repeated.
	keptFor = 5 * time.Minute
	// keptBytes bounds what is kept of verified tokens, in bytes of tokens.
	keptBytes = 16 << 20
	// keptOverhead is what a token weighs beside its length.
	keptOverhead = 512
)

// jwtIssuer knows callers by the tokens of one issuer.
type jwtIssuer struct {
	name      string
	issuer    string
	audiences []string
	allowed   allowed
	leeway    time.Duration
	required  []string
	keys      keySource
	verified  *otter.Cache[[sha256.Size]byte, *verification]
}

// verification is what came of verifying one token. It is immutable.
type verification struct {
	caller *call.Caller
	key    *key
	from   time.Time // when the token begins to hold
	until  time.Time // when it ends, or when it is to be verified again
	size   int       // bytes of the token
}

func (v *verification) weight() uint32 { return uint32(v.size + keptOverhead) }

func newJWT(name string, c *policyv1.Jwt, o *Options, parts *shared) (*jwtIssuer, error) {
	j := &jwtIssuer{
		name: name, issuer: c.GetIssuer(), audiences: c.GetAudiences(), required: c.GetRequiredClaims(),
		leeway: c.GetLeeway().AsDuration(), verified: newCache[[sha256.Size]byte](keptBytes, (*verification).weight),
	}
	var err error
	if j.allowed, err = parseAlgorithms(c.GetAlgorithms()); err != nil {
		return nil, interceptors.Wrong("algorithms", "%w", err)
	}
	switch from := c.GetKeys().(type) {
	case *policyv1.Jwt_JwksFile:
		if j.keys, err = newFileKeys(from.JwksFile, o.Log); err != nil {
			return nil, interceptors.Wrong("jwks_file", "%w", err)
		}
	case *policyv1.Jwt_JwksUrl:
		if err := checkURL(from.JwksUrl); err != nil {
			return nil, interceptors.Wrong("jwks_url", "%w", err)
		}
		j.keys = fetchFrom(name, c, o, parts, func(ctx context.Context) ([]byte, error) { return parts.fetcher.get(ctx, from.JwksUrl) })
	case *policyv1.Jwt_Discovery:
		if err := checkURL(j.issuer); err != nil {
			return nil, interceptors.Wrong("issuer", "%w", err)
		}
		j.keys = fetchFrom(name, c, o, parts, func(ctx context.Context) ([]byte, error) { return parts.fetcher.discover(ctx, j.issuer) })
	}
	return j, nil
}

func (j *jwtIssuer) close() { j.keys.close() }

func fetchFrom(name string, c *policyv1.Jwt, o *Options, parts *shared, get func(context.Context) ([]byte, error)) *fetchedKeys {
	f := &fetchedKeys{
		name: name, get: get, log: o.Log, refresh: c.GetRefresh().AsDuration(), minRefresh: c.GetMinRefresh().AsDuration(),
		ok: parts.fetches.WithLabelValues(name, "ok"), failed: parts.fetches.WithLabelValues(name, "failed"),
		empty: parts.fetches.WithLabelValues(name, "empty"),
	}
	f.start()
	return f
}

// bearer knows callers by the tokens of several issuers.
type bearer []*jwtIssuer

// know returns whose token it is. The verification of a token is kept; its times
// are looked at on each use, and a key that is withdrawn takes what it signed
// along.
func (b bearer) know(ctx context.Context, text string) (*call.Caller, error) {
	if len(text) > maxToken {
		return nil, wrongToken(tokenInvalid, fmt.Errorf("it has %d bytes: at most %d are taken", len(text), maxToken))
	}
	now, sum := time.Now(), sha256.Sum256([]byte(text))
	for _, j := range b {
		v, ok := j.verified.GetIfPresent(sum)
		if !ok {
			continue
		}
		if now.Before(v.until) && !now.Before(v.from) && !v.key.gone.Load() {
			return v.caller, nil
		}
		j.verified.Invalidate(sum)
	}
	t, err := parseToken(text)
	if err != nil {
		return nil, wrongToken(tokenInvalid, err)
	}
	err = wrongToken(tokenInvalid, fmt.Errorf("no issuer that is accepted here is %q", t.issuer))
	for _, j := range b {
		if j.issuer != t.issuer {
			continue
		}
		var v *verification
		if v, err = j.verify(ctx, t); err == nil {
			v.size = len(text)
			j.verified.Set(sum, v)
			return v.caller, nil
		}
		if !isWrong(err) {
			return nil, err
		}
	}
	return nil, err
}

// verify verifies a token: first who signed it, then what it says.
func (j *jwtIssuer) verify(ctx context.Context, t *token) (*verification, error) {
	k, err := j.signer(ctx, t.compact)
	if err != nil {
		return nil, err
	}
	p, err := periodOf(t.claims, j.leeway)
	if err != nil {
		return nil, wrongToken(tokenInvalid, err)
	}
	now := time.Now() // keys may have been waited for
	if err := p.check(now); err != nil {
		return nil, err
	}
	if !meant(t.claims["aud"], j.audiences) {
		return nil, wrongToken("the bearer token is for another audience", nil)
	}
	for _, name := range j.required {
		if _, ok := call.ClaimAt(t.claims, name); !ok {
			return nil, wrongToken(tokenInvalid, fmt.Errorf("the claim %s is missing", name))
		}
	}
	caller, err := callerOf(j.name, t)
	if err != nil {
		return nil, wrongToken(tokenInvalid, err)
	}
	until := now.Add(keptFor)
	if p.until.Before(until) {
		until = p.until
	}
	return &verification{caller: caller, key: k, from: p.from, until: until}, nil
}

// signer is the key that signed the token. One that is not known is looked for
// once more among newer keys, if there are any to be had.
func (j *jwtIssuer) signer(ctx context.Context, c *compact) (*key, error) {
	if j.allowed[c.header.alg] == nil {
		return nil, wrongToken(tokenInvalid, fmt.Errorf("the algorithm %q is not allowed", c.header.alg))
	}
	set, err := j.keys.current(), errUnknownKey
	if set != nil {
		var k *key
		if k, err = set.verify(c, j.allowed); err == nil {
			return k, nil
		}
	}
	if errors.Is(err, errUnknownKey) {
		newer, nerr := j.keys.newer(ctx, set)
		if nerr != nil {
			return nil, nerr
		}
		if newer != nil {
			var k *key
			if k, err = newer.verify(c, j.allowed); err == nil {
				return k, nil
			}
		}
	}
	return nil, wrongToken(tokenInvalid, err)
}
