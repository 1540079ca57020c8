package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// maxToken is how long a token may be. Nothing longer is looked at.
const maxToken = 16 << 10

// compact is a JWS in the compact serialisation (RFC 7515, section 7.1), taken
// apart and not yet believed.
type compact struct {
	signed    string // header and payload as they were signed
	header    header
	payload   []byte
	signature []byte
}

// header is what is used of a JOSE header. Keys that it carries or points to
// (jwk, jku, x5c, x5u) are never looked at.
type header struct {
	alg    string
	typ    string
	kid    string
	hasKid bool
}

// parseCompact takes a token apart that has one reading: three segments of
// base64url without padding, and a header without doubled or critical members.
func parseCompact(token string) (*compact, error) {
	if len(token) > maxToken {
		return nil, fmt.Errorf("the token has %d bytes: at most %d are taken", len(token), maxToken)
	}
	head, rest, ok := strings.Cut(token, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || strings.Contains(signature, ".") {
		return nil, errors.New("the token does not have three segments")
	}
	raw, err := decodeSegment(head)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	c := &compact{signed: token[:len(head)+1+len(payload)]}
	if c.header, err = parseHeader(raw); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if c.payload, err = decodeSegment(payload); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	if c.signature, err = decodeSegment(signature); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	if len(c.signature) == 0 {
		return nil, errors.New("the token has no signature")
	}
	return c, nil
}

// decodeSegment decodes base64url in its one canonical form: no padding, no line
// breaks, which encoding/base64 skips, and no bits left over.
func decodeSegment(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("it is not base64url")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errors.New("it is not base64url without padding")
	}
	return b, nil
}

func parseHeader(raw []byte) (header, error) {
	var h header
	m, err := parseObject(raw)
	if err != nil {
		return h, err
	}
	for _, name := range [...]string{"crit", "b64", "zip", "enc"} {
		if _, ok := m[name]; ok {
			return h, fmt.Errorf("member %q is not understood here", name)
		}
	}
	for _, f := range [...]struct {
		name string
		to   *string
	}{{"alg", &h.alg}, {"typ", &h.typ}, {"kid", &h.kid}} {
		v, there := m[f.name]
		s, ok := v.(string)
		if there && !ok {
			return h, fmt.Errorf("member %q is not a string", f.name)
		}
		*f.to = s
	}
	_, h.hasKid = m["kid"]
	return h, nil
}

// VerifySignature verifies a JWS in compact serialisation as the policy does
// before it looks at claims: with the same strictness, with keys of a key set in
// JSON (RFC 7517), and with the algorithms named. The payload may
// be anything. It is for those who test the policy or keep keys.
func VerifySignature(jwks []byte, algorithms []string, token string) error {
	set, err := parseKeys(jwks, true)
	if err != nil {
		return err
	}
	allowed, err := parseAlgorithms(algorithms)
	if err != nil {
		return err
	}
	c, err := parseCompact(token)
	if err != nil {
		return err
	}
	_, err = set.verify(c, allowed)
	return err
}
