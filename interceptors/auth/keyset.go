package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// maxUnnamed is how many keys are tried for a token that does not name its key.
const maxUnnamed = 4

// maxKeys is how many keys a set may have.
const maxKeys = 1000

var (
	errUnknownKey   = errors.New("the token is signed with a key that is not in the set")
	errBadSignature = errors.New("the signature is wrong")
)

// key is one that verifies signatures. It is immutable but for gone.
type key struct {
	kid, kty, alg, crv string
	hasKid             bool
	index              int // in its set, for messages
	public             any // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey, secret
	print              [sha256.Size]byte
	// gone says that the issuer has withdrawn the key: what was verified with it
	// counts no more.
	gone atomic.Bool
}

// seal computes the print, by which the same key is known again in a newer set.
func (k *key) seal() {
	var material string
	switch p := k.public.(type) {
	case *rsa.PublicKey:
		material = fmt.Sprintf("%x %x", p.N, p.E)
	case *ecdsa.PublicKey:
		point, _ := p.Bytes() // fails for no key that was parsed
		material = fmt.Sprintf("%x", point)
	case ed25519.PublicKey:
		material = fmt.Sprintf("%x", []byte(p))
	case secret:
		material = fmt.Sprintf("%x", []byte(p))
	}
	k.print = sha256.Sum256(fmt.Appendf(nil, "%q %t %q %q %q %s", k.kid, k.hasKid, k.kty, k.alg, k.crv, material))
}

// fits tells whether the key may verify what names this algorithm.
func (k *key) fits(name string, a *algorithm) bool {
	return k.kty == a.kty && k.crv == a.crv && (k.alg == "" || k.alg == name)
}

// keySet is what an issuer's keys are at one time. It is immutable.
type keySet struct {
	byKid   map[string]*key
	all     []*key
	skipped []string // what was not taken, and why
}

// parseKeys reads a key set (RFC 7517, section 5). Keys that cannot be used are
// skipped, for sets have keys of other kinds too; so are keys of which two have
// one name, and secrets beside public keys: a set is published or it is secret.
// Secrets are taken only where the set is known to be secret.
func parseKeys(data []byte, secrets bool) (*keySet, error) {
	m, err := parseObject(data)
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	list, ok := m["keys"].([]any)
	if !ok || len(list) > maxKeys {
		return nil, fmt.Errorf("key set: it has no list \"keys\" of at most %d", maxKeys)
	}
	set := &keySet{byKid: map[string]*key{}}
	var found []*key
	named := map[string]int{} // those that cannot be used count too: one of them may be the one meant
	for i, e := range list {
		m, _ := e.(map[string]any)
		if kid, ok := m["kid"].(string); ok && m["use"] != "enc" {
			named[kid]++
		}
		k, err := parseKey(m)
		if err == nil && k.kty == "oct" && !secrets {
			err = errors.New("a secret is taken from a file only")
		}
		if err != nil {
			set.skip(i, err.Error())
			continue
		}
		k.index = i
		found = append(found, k)
	}
	set.take(found, named)
	return set, nil
}

func (s *keySet) skip(i int, why string) {
	s.skipped = append(s.skipped, fmt.Sprintf("keys[%d]: %s", i, why))
}

// take keeps what is not ambiguous.
func (s *keySet) take(found []*key, named map[string]int) {
	public := slices.ContainsFunc(found, func(k *key) bool { return k.kty != "oct" })
	for _, k := range found {
		switch {
		case k.kty == "oct" && public:
			s.skip(k.index, "a secret does not belong beside public keys")
		case k.hasKid && named[k.kid] > 1:
			s.skip(k.index, fmt.Sprintf("%d keys are named %q", named[k.kid], k.kid))
		default:
			s.all = append(s.all, k)
			if k.hasKid {
				s.byKid[k.kid] = k
			}
		}
	}
}

// usable is an error if there is no key to verify anything with.
func (s *keySet) usable() error {
	if len(s.all) > 0 {
		return nil
	}
	return fmt.Errorf("key set: no key can be used: %s", strings.Join(append(s.skipped, "it has no others"), "; "))
}

// succeed makes s the successor of old: keys that are in both stay the same, so
// that what was verified with them holds, and the others of old are gone.
func (s *keySet) succeed(old *keySet) {
	if old == nil {
		return
	}
	known := make(map[[sha256.Size]byte]*key, len(old.all))
	for _, k := range old.all {
		known[k.print] = k
	}
	for i, k := range s.all {
		if same := known[k.print]; same != nil {
			delete(known, k.print)
			s.all[i] = same
			if k.hasKid {
				s.byKid[k.kid] = same
			}
		}
	}
	for _, k := range known {
		k.gone.Store(true)
	}
}

// verify returns the key with which c is signed. The algorithm must be allowed
// and be the key's. errUnknownKey says that a newer set may know better.
func (s *keySet) verify(c *compact, list allowed) (*key, error) {
	a := list[c.header.alg]
	if a == nil {
		return nil, fmt.Errorf("the algorithm %q is not allowed", c.header.alg)
	}
	if c.header.hasKid {
		k := s.byKid[c.header.kid]
		switch {
		case k == nil:
			return nil, errUnknownKey
		case !k.fits(c.header.alg, a):
			return nil, fmt.Errorf("the key is not for the algorithm %q", c.header.alg)
		case !a.verify(a, k.public, []byte(c.signed), c.signature):
			return nil, errBadSignature
		}
		return k, nil
	}
	var fitting []*key
	for _, k := range s.all {
		if k.fits(c.header.alg, a) {
			fitting = append(fitting, k)
		}
	}
	if len(fitting) > maxUnnamed {
		return nil, fmt.Errorf("the token does not name its key, and more than %d would fit", maxUnnamed)
	}
	for _, k := range fitting {
		if a.verify(a, k.public, []byte(c.signed), c.signature) {
			return k, nil
		}
	}
	return nil, errUnknownKey
}
